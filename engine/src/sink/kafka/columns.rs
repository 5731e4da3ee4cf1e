//! The columns a sink over Kafka takes, as Spark has them: `value`, and maybe `key`, `topic`, `headers`, `partition`.

use arrow::array::{Array, AsArray, BinaryArray, ListArray, PrimitiveArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Int32Type, Schema};
use skirl_kafka::Row;

use crate::sql::spark_type_name;
use crate::{Error, Result};

/// Where the columns are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Columns {
    topic: Option<usize>,
    key: Option<usize>,
    value: usize,
    headers: Option<usize>,
    partition: Option<usize>,
}

impl Columns {
    /// Finds the columns of a query; the option `topic` stands for the column.
    ///
    /// # Errors
    /// A column that must be there and is not, or that has a type Kafka does not take, in Spark's words.
    pub(super) fn of(schema: &Schema, has_topic: bool) -> Result<Columns> {
        let topic = if has_topic {
            None
        } else {
            let missing = "topic option required when no 'topic' attribute is present. Use the topic option for setting a \
                           topic.";
            Some(find(schema, "topic", is_text, "string")?.ok_or_else(|| refused(missing))?)
        };
        Ok(Columns {
            topic,
            key: find(schema, "key", is_bytes, "string or binary")?,
            value: find(schema, "value", is_bytes, "string or binary")?
                .ok_or_else(|| refused("Required attribute 'value' not found"))?,
            headers: find(schema, "headers", is_headers, "array<struct<key:string,value:binary>>")?,
            partition: find(schema, "partition", |kind| *kind == DataType::Int32, "int")?,
        })
    }
}

fn find(schema: &Schema, name: &str, fits: impl Fn(&DataType) -> bool, wanted: &str) -> Result<Option<usize>> {
    let Some((index, field)) = schema
        .fields()
        .iter()
        .enumerate()
        .find(|(_, field)| field.name() == name)
    else {
        return Ok(None);
    };
    if fits(field.data_type()) {
        return Ok(Some(index));
    }
    Err(refused(&format!(
        "{name} attribute unsupported type {}. {name} must be a(n) {wanted}",
        spark_type_name(field.data_type())
    )))
}

fn refused(sentence: &str) -> Error {
    Error::spark("_LEGACY_ERROR_TEMP_3080", sentence)
}

fn is_text(kind: &DataType) -> bool {
    *kind == DataType::Utf8
}

fn is_bytes(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::Binary)
}

fn is_headers(kind: &DataType) -> bool {
    let DataType::List(element) = kind else { return false };
    let DataType::Struct(fields) = element.data_type() else {
        return false;
    };
    let types: Vec<_> = fields
        .iter()
        .map(|field| (field.name().as_str(), field.data_type()))
        .collect();
    types == [("key", &DataType::Utf8), ("value", &DataType::Binary)]
}

/// A batch of rows as Kafka takes them.
pub(super) struct Batch<'a> {
    topics: Option<&'a StringArray>,
    keys: Option<Bytes<'a>>,
    values: Bytes<'a>,
    headers: Option<Headers<'a>>,
    partitions: Option<&'a PrimitiveArray<Int32Type>>,
}

/// A header: its name and its value.
pub(super) type Header<'a> = (&'a str, Option<&'a [u8]>);

impl<'a> Batch<'a> {
    /// Looks at the rows of a batch.
    pub(super) fn of(rows: &'a RecordBatch, columns: &Columns) -> Batch<'a> {
        Batch {
            topics: columns.topic.map(|topic| rows.column(topic).as_string()),
            keys: columns.key.map(|key| Bytes::of(rows.column(key))),
            values: Bytes::of(rows.column(columns.value)),
            headers: columns
                .headers
                .map(|headers| Headers::of(rows.column(headers).as_list())),
            partitions: columns.partition.map(|partition| rows.column(partition).as_primitive()),
        }
    }

    /// The topic a row names; `None` if the option does.
    ///
    /// # Errors
    /// A row without a topic.
    pub(super) fn topic(&self, row: usize) -> Result<Option<&'a str>> {
        match self.topics {
            Some(topics) if topics.is_null(row) => Err(Error::spark(
                "KAFKA_NULL_TOPIC_IN_DATA",
                "The Kafka message data sent to the producer contains a null topic. Use the `topic` option for setting a \
                 default topic.",
            )),
            topics => Ok(topics.map(|topics| topics.value(row))),
        }
    }

    /// Appends the headers of a row; where they begin and end.
    ///
    /// # Errors
    /// A header without a name.
    pub(super) fn headers(&self, row: usize, into: &mut Vec<Header<'a>>) -> Result<std::ops::Range<usize>> {
        let start = into.len();
        if let Some(headers) = &self.headers {
            headers.append(row, into)?;
        }
        Ok(start..into.len())
    }

    /// A row; its headers were gathered before.
    pub(super) fn row<'h>(&'h self, row: usize, headers: &'h [Header<'a>]) -> Row<'h> {
        Row {
            partition: self
                .partitions
                .filter(|all| all.is_valid(row))
                .map(|all| all.value(row)),
            key: self.keys.as_ref().and_then(|keys| keys.get(row)),
            value: self.values.get(row),
            timestamp_ms: None,
            headers,
            tag: 0,
        }
    }
}

/// A column of text or bytes.
enum Bytes<'a> {
    Text(&'a StringArray),
    Binary(&'a BinaryArray),
}

impl<'a> Bytes<'a> {
    fn of(column: &'a arrow::array::ArrayRef) -> Bytes<'a> {
        match column.as_string_opt() {
            Some(texts) => Bytes::Text(texts),
            None => Bytes::Binary(column.as_binary()),
        }
    }

    #[inline]
    fn get(&self, row: usize) -> Option<&'a [u8]> {
        match self {
            Bytes::Text(texts) => texts.is_valid(row).then(|| texts.value(row).as_bytes()),
            Bytes::Binary(bytes) => bytes.is_valid(row).then(|| bytes.value(row)),
        }
    }
}

struct Headers<'a> {
    lists: &'a ListArray,
    names: &'a StringArray,
    values: &'a BinaryArray,
}

impl<'a> Headers<'a> {
    fn of(lists: &'a ListArray) -> Headers<'a> {
        let pairs = lists.values().as_struct();
        Headers {
            lists,
            names: pairs.column(0).as_string(),
            values: pairs.column(1).as_binary(),
        }
    }

    fn append(&self, row: usize, into: &mut Vec<Header<'a>>) -> Result<()> {
        if self.lists.is_null(row) {
            return Ok(());
        }
        let ends = self.lists.value_offsets();
        for header in ends[row] as usize..ends[row + 1] as usize {
            if self.names.is_null(header) {
                return Err(Error::nameless(
                    "a header has no key; give each a name, or leave it out",
                ));
            }
            let value = self.values.is_valid(header).then(|| self.values.value(header));
            into.push((self.names.value(header), value));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array};

    use super::*;
    use crate::sql::parse_schema_ddl;

    fn refusal(ddl: &str, has_topic: bool) -> String {
        let schema = parse_schema_ddl(ddl).unwrap();
        match Columns::of(&schema, has_topic) {
            Err(error) => error.to_string(),
            Ok(columns) => format!("{columns:?}"),
        }
    }

    #[test]
    fn columns_are_refused_in_spark_s_words() {
        let messages = [
            refusal("value STRING", false),
            refusal("key STRING, topic STRING", false),
            refusal("value INT", true),
            refusal("value STRING, key INT", true),
            refusal("value STRING, topic BINARY", false),
            refusal("value STRING, partition BIGINT", true),
            refusal("value STRING, headers ARRAY<STRING>", true),
            refusal(
                "value BINARY, headers ARRAY<STRUCT<key: STRING, value: BINARY>>, partition INT, key BINARY, topic STRING",
                false,
            ),
            refusal("value BINARY, topic INT, other DOUBLE", true),
        ];
        insta::assert_snapshot!(messages.join("\n"), @r##"
        topic option required when no 'topic' attribute is present. Use the topic option for setting a topic.
        Required attribute 'value' not found
        value attribute unsupported type int. value must be a(n) string or binary
        key attribute unsupported type int. key must be a(n) string or binary
        topic attribute unsupported type binary. topic must be a(n) string
        partition attribute unsupported type bigint. partition must be a(n) int
        headers attribute unsupported type array<string>. headers must be a(n) array<struct<key:string,value:binary>>
        Columns { topic: Some(4), key: Some(3), value: 0, headers: Some(1), partition: Some(2) }
        Columns { topic: None, key: None, value: 0, headers: None, partition: None }
        "##);
    }

    #[test]
    fn a_row_without_a_topic_and_a_header_without_a_name_are_errors() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("value", Arc::new(StringArray::from(vec!["a", "b"]))),
            ("topic", Arc::new(StringArray::from(vec![Some("t"), None]))),
            ("partition", Arc::new(Int32Array::from(vec![None, Some(3)]))),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let columns = Columns::of(rows.schema_ref(), false).unwrap();
        let batch = Batch::of(&rows, &columns);
        assert_eq!(batch.topic(0).unwrap(), Some("t"));
        insta::assert_snapshot!(batch.topic(1).unwrap_err(), @"The Kafka message data sent to the producer contains a null topic. Use the `topic` option for setting a \
                 default topic.");
        assert_eq!(
            (batch.row(0, &[]).partition, batch.row(1, &[]).partition),
            (None, Some(3))
        );
        assert_eq!(batch.row(1, &[]).value, Some(&b"b"[..]));
    }
}
