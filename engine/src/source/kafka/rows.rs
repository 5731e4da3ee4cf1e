//! Rows of Kafka as columns: key, value, topic, partition, offset, timestamp, timestampType and, if asked for, headers.
//!
//! Bytes go from librdkafka's buffers straight into Arrow's, and columns nobody looks at are not made: they are NULL.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use skirl_kafka::{Fetched, TimestampType};

use crate::Result;
use crate::format::columns::Columns;
use crate::operator::CHUNK_ROWS;
use crate::sql::timestamp_type;

/// Bytes of keys, values and headers after which a chunk is full, so that no column comes near Arrow's 2 GiB.
const CHUNK_BYTES: usize = 64 << 20;

/// The columns of a source over Kafka.
pub fn schema(include_headers: bool) -> SchemaRef {
    let mut fields = vec![
        Field::new("key", DataType::Binary, true),
        Field::new("value", DataType::Binary, true),
        Field::new("topic", DataType::Utf8, true),
        Field::new("partition", DataType::Int32, true),
        Field::new("offset", DataType::Int64, true),
        Field::new("timestamp", timestamp_type(), true),
        Field::new("timestampType", DataType::Int32, true),
    ];
    if include_headers {
        fields.push(Field::new("headers", DataType::List(header()), true));
    }
    Arc::new(Schema::new(fields))
}

/// An element of `headers`.
pub fn header() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Struct(header_fields()), true))
}

/// A header: its key and its value.
pub fn header_fields() -> Fields {
    Fields::from(vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("value", DataType::Binary, true),
    ])
}

/// What is made of rows: the schema, and which of its columns.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    schema: SchemaRef,
    /// A chunk of NULLs for each column that is not needed.
    absent: Vec<Option<ArrayRef>>,
}

impl Layout {
    /// All columns.
    pub(super) fn new(include_headers: bool) -> Layout {
        Layout::of(schema(include_headers), &Columns::All)
    }

    /// The same schema, with only some columns made.
    pub(super) fn with(&self, columns: &Columns) -> Layout {
        Layout::of(Arc::clone(&self.schema), columns)
    }

    fn of(schema: SchemaRef, columns: &Columns) -> Layout {
        let absent = schema.fields().iter().enumerate().map(|(index, field)| {
            let is_absent = !columns.contains(index);
            is_absent.then(|| new_null_array(field.data_type(), CHUNK_ROWS))
        });
        Layout {
            absent: absent.collect(),
            schema,
        }
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

/// Rows of one partition on their way into columns.
pub(super) struct Chunk<'a> {
    layout: &'a Layout,
    topic: &'a str,
    partition: i32,
    rows: usize,
    keys: Option<Bytes>,
    values: Option<Bytes>,
    offsets: Option<Vec<i64>>,
    timestamps: Option<Vec<i64>>,
    timestamp_types: Option<Vec<i32>>,
    headers: Option<Headers>,
}

impl<'a> Chunk<'a> {
    /// An empty chunk.
    pub(super) fn new(layout: &'a Layout, topic: &'a str, partition: i32) -> Chunk<'a> {
        let is_needed = |column: usize| layout.absent.get(column).is_some_and(Option::is_none);
        Chunk {
            layout,
            topic,
            partition,
            rows: 0,
            keys: is_needed(0).then(Bytes::default),
            values: is_needed(1).then(Bytes::default),
            offsets: is_needed(4).then(Vec::new),
            timestamps: is_needed(5).then(Vec::new),
            timestamp_types: is_needed(6).then(Vec::new),
            headers: is_needed(7).then(Headers::default),
        }
    }

    /// Adds a row; whether the chunk is full then. It fills up at the same row each time.
    #[inline]
    pub(super) fn push(&mut self, row: &Fetched) -> bool {
        self.rows += 1;
        if let Some(keys) = &mut self.keys {
            keys.push(row.key());
        }
        if let Some(values) = &mut self.values {
            values.push(row.value());
        }
        if let Some(offsets) = &mut self.offsets {
            offsets.push(row.offset());
        }
        if self.timestamps.is_some() || self.timestamp_types.is_some() {
            self.push_timestamp(row);
        }
        if let Some(headers) = &mut self.headers {
            headers.push(row);
        }
        self.rows >= CHUNK_ROWS || self.bytes() >= CHUNK_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    fn push_timestamp(&mut self, row: &Fetched) {
        let (time_ms, kind) = row.timestamp_ms();
        if let Some(timestamps) = &mut self.timestamps {
            timestamps.push(time_ms.saturating_mul(1_000));
        }
        if let Some(types) = &mut self.timestamp_types {
            types.push(match kind {
                TimestampType::None => -1,
                TimestampType::CreateTime => 0,
                TimestampType::LogAppendTime => 1,
            });
        }
    }

    #[inline]
    fn bytes(&self) -> usize {
        let bytes = |column: &Option<Bytes>| column.as_ref().map_or(0, |column| column.data.len());
        let headers = self
            .headers
            .as_ref()
            .map_or(0, |headers| headers.names.data.len() + headers.values.data.len());
        bytes(&self.keys) + bytes(&self.values) + headers
    }

    /// The rows so far as a batch; the chunk is empty then.
    ///
    /// # Errors
    /// None for rows that Kafka takes.
    pub(super) fn take(&mut self) -> Result<RecordBatch> {
        let rows = std::mem::take(&mut self.rows);
        let layout = self.layout;
        let columns = layout.absent.iter().enumerate().map(|(column, absent)| match absent {
            Some(nulls) => Ok(nulls.slice(0, rows)),
            None => self.column(column, rows),
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&layout.schema), columns)?)
    }

    fn column(&mut self, column: usize, rows: usize) -> Result<ArrayRef> {
        Ok(match column {
            0 => taken(&mut self.keys, Bytes::take).into_binary()?,
            1 => taken(&mut self.values, Bytes::take).into_binary()?,
            2 => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(self.topic, rows))),
            3 => Arc::new(Int32Array::from(vec![self.partition; rows])),
            4 => Arc::new(Int64Array::from(taken(&mut self.offsets, std::mem::take))),
            5 => {
                let times = TimestampMicrosecondArray::from(taken(&mut self.timestamps, std::mem::take));
                Arc::new(times.with_data_type(timestamp_type()))
            }
            6 => Arc::new(Int32Array::from(taken(&mut self.timestamp_types, std::mem::take))),
            _ => taken(&mut self.headers, std::mem::take).into_list()?,
        })
    }
}

fn taken<T: Default>(column: &mut Option<T>, take: impl FnOnce(&mut T) -> T) -> T {
    column.as_mut().map(take).unwrap_or_default()
}

/// Byte strings behind one another, some of them NULL.
struct Bytes {
    ends: Vec<i32>,
    data: Vec<u8>,
    /// Rows that are NULL.
    nulls: Vec<usize>,
}

impl Default for Bytes {
    fn default() -> Self {
        Bytes {
            ends: vec![0],
            data: Vec::new(),
            nulls: Vec::new(),
        }
    }
}

impl Bytes {
    #[inline]
    fn push(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.data.extend_from_slice(bytes),
            None => self.nulls.push(self.len()),
        }
        // A chunk is full long before: Kafka's rows are a few megabytes at most.
        self.ends.push(i32::try_from(self.data.len()).unwrap_or(i32::MAX));
    }

    fn len(&self) -> usize {
        self.ends.len() - 1
    }

    /// What is there; what comes next has as much room.
    fn take(&mut self) -> Bytes {
        let mut next = Bytes {
            ends: Vec::with_capacity(self.ends.len()),
            data: Vec::with_capacity(self.data.len() + self.data.len() / 16),
            nulls: Vec::new(),
        };
        next.ends.push(0);
        std::mem::replace(self, next)
    }

    fn parts(self) -> (OffsetBuffer<i32>, Buffer, Option<NullBuffer>) {
        let rows = self.len();
        let nulls = (!self.nulls.is_empty()).then(|| {
            let mut valid = vec![true; rows];
            self.nulls.iter().for_each(|row| valid[*row] = false);
            NullBuffer::from(valid)
        });
        (
            OffsetBuffer::new(ScalarBuffer::from(self.ends)),
            Buffer::from_vec(self.data),
            nulls,
        )
    }

    fn into_binary(self) -> Result<ArrayRef> {
        let (offsets, data, nulls) = self.parts();
        Ok(Arc::new(BinaryArray::try_new(offsets, data, nulls)?))
    }
}

/// Headers of rows: a list each, NULL for none.
#[derive(Default)]
struct Headers {
    names: Bytes,
    values: Bytes,
    /// Headers up to the end of each row.
    ends: Vec<i32>,
}

impl Headers {
    fn push(&mut self, row: &Fetched) {
        for (name, value) in row.headers() {
            self.names.push(Some(name.as_bytes()));
            self.values.push(value);
        }
        self.ends.push(i32::try_from(self.names.len()).unwrap_or(i32::MAX));
    }

    fn into_list(self) -> Result<ArrayRef> {
        let mut offsets = vec![0];
        offsets.extend(self.ends);
        let has_any: Vec<bool> = offsets.windows(2).map(|pair| pair[0] < pair[1]).collect();
        let (name_offsets, names, _) = self.names.parts();
        let names: ArrayRef = Arc::new(StringArray::try_new(name_offsets, names, None)?);
        let structs = StructArray::try_new(header_fields(), vec![names, self.values.into_binary()?], None)?;
        let lists = ListArray::try_new(
            header(),
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            Arc::new(structs),
            Some(NullBuffer::from(has_any)),
        )?;
        Ok(Arc::new(lists))
    }
}
