//! Records as columns: those of Spark's Kafka source, so that a query on a topic runs on its recording as it is.

use std::sync::{Arc, OnceLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, Int32Builder, Int64Builder, ListBuilder, RecordBatch, StringBuilder,
    StructBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{Int32Type, Int64Type, SchemaRef, TimestampMicrosecondType};
use skirl_engine::source::kafka;

use super::record::Record;

/// The columns of Spark's Kafka source with `includeHeaders`, by its names and types.
pub fn kafka_schema() -> SchemaRef {
    static SCHEMA: OnceLock<SchemaRef> = OnceLock::new();
    Arc::clone(SCHEMA.get_or_init(|| kafka::schema(true)))
}

/// Gathers records of a topic into a batch.
pub(super) struct Gathered {
    topic: String,
    records: usize,
    bytes: usize,
    key: BinaryBuilder,
    value: BinaryBuilder,
    topics: StringBuilder,
    partition: Int32Builder,
    offset: Int64Builder,
    timestamp: TimestampMicrosecondBuilder,
    timestamp_type: Int32Builder,
    headers: ListBuilder<StructBuilder>,
}

impl Gathered {
    pub fn of(topic: &str) -> Self {
        let (names, values) = (Box::new(StringBuilder::new()), Box::new(BinaryBuilder::new()));
        let header = StructBuilder::new(kafka::header_fields(), vec![names, values]);
        Gathered {
            topic: topic.to_string(),
            records: 0,
            bytes: 0,
            key: BinaryBuilder::new(),
            value: BinaryBuilder::new(),
            topics: StringBuilder::new(),
            partition: Int32Builder::new(),
            offset: Int64Builder::new(),
            timestamp: TimestampMicrosecondBuilder::new().with_timezone("+00:00"),
            timestamp_type: Int32Builder::new(),
            headers: ListBuilder::new(header).with_field(kafka::header()),
        }
    }

    pub fn records(&self) -> usize {
        self.records
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn push(&mut self, record: &Record) {
        self.records += 1;
        self.bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        self.key.append_option(record.key);
        self.value.append_option(record.value);
        self.topics.append_value(&self.topic);
        self.partition.append_value(record.partition);
        self.offset.append_value(record.offset);
        self.timestamp.append_value(record.timestamp_ms.saturating_mul(1_000));
        self.timestamp_type.append_value(record.timestamp_type);
        for (name, value) in &record.headers {
            let header = self.headers.values();
            header
                .field_builder::<StringBuilder>(0)
                .expect("names are texts")
                .append_value(name);
            let values = header.field_builder::<BinaryBuilder>(1).expect("values are bytes");
            values.append_option(*value);
            header.append(true);
        }
        // As Spark: no headers are NULL, not an empty list.
        self.headers.append(!record.headers.is_empty());
    }

    /// The batch, after which nothing is gathered any more.
    pub fn finish(&mut self) -> RecordBatch {
        (self.records, self.bytes) = (0, 0);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.key.finish()),
            Arc::new(self.value.finish()),
            Arc::new(self.topics.finish()),
            Arc::new(self.partition.finish()),
            Arc::new(self.offset.finish()),
            Arc::new(self.timestamp.finish()),
            Arc::new(self.timestamp_type.finish()),
            Arc::new(self.headers.finish()),
        ];
        RecordBatch::try_new(kafka_schema(), columns).expect("builders of the schema's types")
    }
}

/// Record `row` of a batch that has [`kafka_schema`].
pub(super) fn record(batch: &RecordBatch, row: usize) -> Record<'_> {
    let bytes = |column: usize| {
        let column = batch.column(column).as_binary::<i32>();
        column.is_valid(row).then(|| column.value(row))
    };
    Record {
        partition: batch.column(3).as_primitive::<Int32Type>().value(row),
        offset: batch.column(4).as_primitive::<Int64Type>().value(row),
        timestamp_ms: batch
            .column(5)
            .as_primitive::<TimestampMicrosecondType>()
            .value(row)
            .div_euclid(1_000),
        timestamp_type: batch.column(6).as_primitive::<Int32Type>().value(row),
        key: bytes(0),
        value: bytes(1),
        headers: headers(batch, row),
    }
}

fn headers(batch: &RecordBatch, row: usize) -> Vec<(&str, Option<&[u8]>)> {
    let lists = batch.column(7).as_list::<i32>();
    if lists.is_null(row) {
        return Vec::new();
    }
    let (start, end) = (
        lists.value_offsets()[row] as usize,
        lists.value_offsets()[row + 1] as usize,
    );
    let entries = lists.values().as_struct();
    let (names, values) = (
        entries.column(0).as_string::<i32>(),
        entries.column(1).as_binary::<i32>(),
    );
    let header = |at| (names.value(at), values.is_valid(at).then(|| values.value(at)));
    (start..end).map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_from_their_columns() {
        let plain = Record {
            partition: 1,
            offset: 7,
            timestamp_ms: 1_700_000_000_123,
            timestamp_type: 0,
            key: Some(b"Porto"),
            value: Some(b""),
            headers: vec![],
        };
        let odd = Record {
            timestamp_ms: -1,
            timestamp_type: -1,
            key: None,
            value: None,
            headers: vec![("a", Some(b"\xff")), ("a", None), ("b", Some(b""))],
            ..plain.clone()
        };
        let mut gathered = Gathered::of("scotsmen");
        [&plain, &odd, &plain]
            .into_iter()
            .for_each(|record| gathered.push(record));
        assert_eq!((gathered.records(), gathered.bytes()), (3, 10));
        let batch = gathered.finish();
        assert_eq!([0, 1, 2].map(|row| record(&batch, row)), [plain.clone(), odd, plain]);
        assert_eq!(gathered.finish().num_rows(), 0);
    }
}
