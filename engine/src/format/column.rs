//! Columns that grow value by value and can take values back.
//!
//! A row may turn out malformed after half of it was read, and a key may come twice, so the readers need what Arrow's
//! builders do not offer: to drop the last values again. [`Column::finish`] hands the buffers to Arrow without a copy.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, ListArray, MapArray, StringArray, StructArray, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, FieldRef, Fields, TimeUnit};

use crate::{Error, Result};

/// A column under construction.
#[derive(Debug)]
pub(crate) struct Column {
    pub values: Values,
    /// One flag a value; `false` is NULL.
    valid: Vec<bool>,
    nulls: usize,
}

/// The values of a column by type.
#[derive(Debug)]
pub(crate) enum Values {
    Boolean(Vec<bool>),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal(Vec<i128>, u8, i8),
    Date(Vec<i32>),
    /// `true`: with time zone.
    Timestamp(Vec<i64>, bool),
    /// `true`: text, else bytes.
    Bytes(Bytes, bool),
    Struct(Fields, Vec<Column>),
    List(FieldRef, Vec<i32>, Box<Column>),
    /// Keys are text.
    Map(FieldRef, Vec<i32>, Box<Column>, Box<Column>),
    /// A type that only ever holds NULL.
    Null,
}

/// Texts behind one another.
#[derive(Debug)]
pub(crate) struct Bytes {
    /// One more than there are texts; the last is the end of the finished ones.
    pub offsets: Vec<i32>,
    pub data: Vec<u8>,
}

impl Bytes {
    /// Ends the text that was appended to `data`.
    pub fn end(&mut self) -> Result<()> {
        let end = i32::try_from(self.data.len())
            .map_err(|_| Error::Invalid("a batch holds more than 2 GiB of text in one column".to_owned()))?;
        self.offsets.push(end);
        Ok(())
    }

    /// Forgets what was appended to `data` since the last text ended.
    pub fn rewind(&mut self) {
        let end = *self.offsets.last().expect("offsets start with 0");
        self.data.truncate(end as usize);
    }

    fn truncate(&mut self, len: usize) {
        self.offsets.truncate(len + 1);
        self.rewind();
    }

    fn remove(&mut self, range: Range<usize>) {
        let (start, end) = (self.offsets[range.start], self.offsets[range.end]);
        self.data.drain(start as usize..end as usize);
        remove_offsets(&mut self.offsets, range);
    }
}

/// Takes the ends of `range` out and moves the later ones to the front.
fn remove_offsets(offsets: &mut Vec<i32>, range: Range<usize>) {
    let removed = offsets[range.end] - offsets[range.start];
    offsets.drain(range.start + 1..range.end + 1);
    offsets[range.start + 1..]
        .iter_mut()
        .for_each(|offset| *offset -= removed);
}

/// Calls `$body` with the plain vector of values, if the type has one.
macro_rules! with_plain {
    ($values:expr, $vec:ident => $body:expr, $($other:pat => $otherwise:expr),+ $(,)?) => {
        match $values {
            Values::Boolean($vec) => $body,
            Values::Int8($vec) => $body,
            Values::Int16($vec) => $body,
            Values::Int32($vec) => $body,
            Values::Int64($vec) => $body,
            Values::Float32($vec) => $body,
            Values::Float64($vec) => $body,
            Values::Decimal($vec, ..) => $body,
            Values::Date($vec) => $body,
            Values::Timestamp($vec, _) => $body,
            $($other => $otherwise),+
        }
    };
}

impl Column {
    /// An empty column of `data_type` with room for `rows`.
    pub fn new(data_type: &DataType, rows: usize) -> Result<Column> {
        let bytes = || Bytes {
            offsets: first_offset(rows),
            data: Vec::with_capacity(rows * 8),
        };
        let values = match data_type {
            DataType::Boolean => Values::Boolean(Vec::with_capacity(rows)),
            DataType::Int8 => Values::Int8(Vec::with_capacity(rows)),
            DataType::Int16 => Values::Int16(Vec::with_capacity(rows)),
            DataType::Int32 => Values::Int32(Vec::with_capacity(rows)),
            DataType::Int64 => Values::Int64(Vec::with_capacity(rows)),
            DataType::Float32 => Values::Float32(Vec::with_capacity(rows)),
            DataType::Float64 => Values::Float64(Vec::with_capacity(rows)),
            DataType::Decimal128(precision, scale) => Values::Decimal(Vec::with_capacity(rows), *precision, *scale),
            DataType::Date32 => Values::Date(Vec::with_capacity(rows)),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                Values::Timestamp(Vec::with_capacity(rows), zone.is_some())
            }
            DataType::Utf8 => Values::Bytes(bytes(), true),
            DataType::Binary => Values::Bytes(bytes(), false),
            DataType::Struct(fields) => Values::Struct(fields.clone(), Column::for_fields(fields, rows)?),
            DataType::List(element) => Values::List(
                Arc::clone(element),
                first_offset(rows),
                Box::new(Column::new(element.data_type(), rows)?),
            ),
            DataType::Map(entries, _) => {
                let DataType::Struct(pair) = entries.data_type() else {
                    return Err(unsupported(data_type));
                };
                if pair.len() != 2 || pair[0].data_type() != &DataType::Utf8 {
                    return Err(Error::Invalid(format!(
                        "a map needs keys of type STRING, found {data_type}"
                    )));
                }
                let keys = Box::new(Column::new(pair[0].data_type(), rows)?);
                let values = Box::new(Column::new(pair[1].data_type(), rows)?);
                Values::Map(Arc::clone(entries), first_offset(rows), keys, values)
            }
            DataType::Null => Values::Null,
            other => return Err(unsupported(other)),
        };
        Ok(Column {
            values,
            valid: Vec::with_capacity(rows),
            nulls: 0,
        })
    }

    /// One empty column a field.
    pub fn for_fields(fields: &Fields, rows: usize) -> Result<Vec<Column>> {
        fields
            .iter()
            .map(|field| Column::new(field.data_type(), rows))
            .collect()
    }

    pub fn len(&self) -> usize {
        self.valid.len()
    }

    /// Counts the value that was just appended to [`Column::values`].
    pub fn push_valid(&mut self) {
        self.valid.push(true);
    }

    pub fn push_null(&mut self) {
        self.valid.push(false);
        self.nulls += 1;
        match &mut self.values {
            Values::Bytes(bytes, _) => {
                bytes.rewind();
                bytes.offsets.extend_from_within(bytes.offsets.len() - 1..);
            }
            Values::Struct(_, columns) => columns.iter_mut().for_each(Column::push_null),
            Values::List(_, offsets, _) | Values::Map(_, offsets, ..) => {
                offsets.extend_from_within(offsets.len() - 1..);
            }
            Values::Null => {}
            plain => with_plain!(plain, values => values.push(Default::default()), _ => {}),
        }
    }

    /// Keeps the first `len` values.
    pub fn truncate(&mut self, len: usize) {
        if self.valid.len() > len {
            self.nulls -= self.valid[len..].iter().filter(|valid| !**valid).count();
            self.valid.truncate(len);
        }
        match &mut self.values {
            Values::Bytes(bytes, _) => bytes.truncate(len),
            // A struct may be cut in the middle: some columns already have the row that goes.
            Values::Struct(_, columns) => columns.iter_mut().for_each(|column| column.truncate(len)),
            Values::List(_, offsets, elements) => {
                offsets.truncate(len + 1);
                elements.truncate(last(offsets));
            }
            Values::Map(_, offsets, keys, values) => {
                offsets.truncate(len + 1);
                keys.truncate(last(offsets));
                values.truncate(last(offsets));
            }
            Values::Null => {}
            plain => with_plain!(plain, values => values.truncate(len), _ => {}),
        }
    }

    /// Takes out the values of `range`.
    pub fn remove(&mut self, range: Range<usize>) {
        self.nulls -= self.valid[range.clone()].iter().filter(|valid| !**valid).count();
        self.valid.drain(range.clone());
        match &mut self.values {
            Values::Bytes(bytes, _) => bytes.remove(range),
            Values::Struct(_, columns) => columns.iter_mut().for_each(|column| column.remove(range.clone())),
            Values::List(_, offsets, elements) => {
                elements.remove(offsets[range.start] as usize..offsets[range.end] as usize);
                remove_offsets(offsets, range);
            }
            Values::Map(_, offsets, keys, values) => {
                let inner = offsets[range.start] as usize..offsets[range.end] as usize;
                keys.remove(inner.clone());
                values.remove(inner);
                remove_offsets(offsets, range);
            }
            Values::Null => {}
            plain => with_plain!(plain, values => { values.drain(range); }, _ => {}),
        }
    }

    /// Whether value `row` is there.
    pub fn is_valid(&self, row: usize) -> bool {
        self.valid[row]
    }

    /// The column as an Arrow array.
    pub fn finish(self) -> Result<ArrayRef> {
        let rows = self.valid.len();
        let nulls = (self.nulls > 0).then(|| NullBuffer::new(BooleanBuffer::from(self.valid)));
        Ok(match self.values {
            Values::Boolean(values) => Arc::new(BooleanArray::new(BooleanBuffer::from(values), nulls)),
            Values::Int8(values) => Arc::new(Int8Array::new(values.into(), nulls)),
            Values::Int16(values) => Arc::new(Int16Array::new(values.into(), nulls)),
            Values::Int32(values) => Arc::new(Int32Array::new(values.into(), nulls)),
            Values::Int64(values) => Arc::new(Int64Array::new(values.into(), nulls)),
            Values::Float32(values) => Arc::new(Float32Array::new(values.into(), nulls)),
            Values::Float64(values) => Arc::new(Float64Array::new(values.into(), nulls)),
            Values::Decimal(values, precision, scale) => {
                Arc::new(Decimal128Array::new(values.into(), nulls).with_precision_and_scale(precision, scale)?)
            }
            Values::Date(values) => Arc::new(Date32Array::new(values.into(), nulls)),
            Values::Timestamp(values, zoned) => {
                let array = TimestampMicrosecondArray::new(values.into(), nulls);
                Arc::new(if zoned { array.with_timezone("+00:00") } else { array })
            }
            Values::Bytes(bytes, true) => Arc::new(StringArray::try_new(
                offset_buffer(bytes.offsets),
                Buffer::from_vec(bytes.data),
                nulls,
            )?),
            Values::Bytes(bytes, false) => Arc::new(BinaryArray::try_new(
                offset_buffer(bytes.offsets),
                Buffer::from_vec(bytes.data),
                nulls,
            )?),
            Values::Struct(fields, columns) => {
                let columns = columns.into_iter().map(Column::finish).collect::<Result<Vec<_>>>()?;
                if columns.is_empty() {
                    Arc::new(StructArray::new_empty_fields(rows, nulls))
                } else {
                    Arc::new(StructArray::try_new(fields, columns, nulls)?)
                }
            }
            Values::List(element, offsets, elements) => Arc::new(ListArray::try_new(
                element,
                offset_buffer(offsets),
                elements.finish()?,
                nulls,
            )?),
            Values::Map(entries, offsets, keys, values) => {
                let DataType::Struct(pair) = entries.data_type() else {
                    return Err(unsupported(entries.data_type()));
                };
                let pairs = StructArray::try_new(pair.clone(), vec![keys.finish()?, values.finish()?], None)?;
                Arc::new(MapArray::try_new(entries, offset_buffer(offsets), pairs, nulls, false)?)
            }
            Values::Null => new_null_array(&DataType::Null, rows),
        })
    }
}

fn first_offset(rows: usize) -> Vec<i32> {
    let mut offsets = Vec::with_capacity(rows + 1);
    offsets.push(0);
    offsets
}

pub(crate) fn last(offsets: &[i32]) -> usize {
    *offsets.last().expect("offsets start with 0") as usize
}

fn offset_buffer(offsets: Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::from(offsets))
}

fn unsupported(data_type: &DataType) -> Error {
    Error::Invalid(format!("text cannot be read into a column of type {data_type}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Array;
    use arrow::datatypes::Field;

    #[test]
    fn values_can_be_taken_back() {
        let element = Arc::new(Field::new("element", DataType::Utf8, true));
        let mut column = Column::new(&DataType::List(element), 0).unwrap();
        for texts in [vec!["a", "b"], vec![], vec!["c"], vec!["d", "e"]] {
            push(&mut column, &texts);
        }
        column.push_null();
        column.remove(0..2);
        column.truncate(2);
        let array = column.finish().unwrap();
        let lists = array.as_any().downcast_ref::<ListArray>().unwrap();
        assert_eq!(lists.len(), 2);
        assert_eq!(lists.null_count(), 0);
        let texts = |row: usize| format!("{:?}", lists.value(row)).replace(['\n', ' '], "");
        assert!(
            texts(0).ends_with("[\"c\",]") && texts(1).ends_with("[\"d\",\"e\",]"),
            "{} {}",
            texts(0),
            texts(1)
        );
    }

    fn push(column: &mut Column, texts: &[&str]) {
        let Values::List(_, offsets, elements) = &mut column.values else {
            panic!("a list")
        };
        for text in texts {
            let Values::Bytes(bytes, _) = &mut elements.values else {
                panic!("texts")
            };
            bytes.data.extend_from_slice(text.as_bytes());
            bytes.end().unwrap();
            elements.push_valid();
        }
        offsets.push(elements.len() as i32);
        column.push_valid();
    }
}
