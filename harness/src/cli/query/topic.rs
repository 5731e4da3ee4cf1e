//! Topics of Kafka as streams, tables and the sink of `skirl query`.

use anyhow::Result;
use arrow::datatypes::SchemaRef;
use skirl_engine::Session;
use skirl_engine::sink::KafkaSink;
use skirl_engine::source::Source;
use skirl_engine::source::kafka::{KafkaSource, KafkaTable};
use skirl_kafka::Address;

use super::{Request, StreamRequest, TableRequest};
use crate::cli::out;
use crate::scenario::format_schema;

/// Makes a stream of a topic.
pub(super) fn add_stream(
    session: &mut Session,
    stream: &StreamRequest,
    address: &Address,
    request: &Request,
) -> Result<()> {
    let properties = request.kafka.properties(&address.bootstrap)?;
    let mut options = stream.options.clone();
    if let Some(topic) = &address.topic {
        options.insert("subscribe".to_string(), topic.clone());
    }
    let source = KafkaSource::new(&properties, &options)?;
    source
        .remarks()
        .iter()
        .for_each(|remark| out::remark(format_args!("stream `{}`: {remark}\n", stream.name)));
    session.read_stream(&stream.name, source.schema(), move || {
        Ok(Box::new(KafkaSource::new(&properties, &options)?))
    })?;
    parse_values(session, &stream.name, stream.schema.as_ref())
}

/// Reads a topic as it is now into a table.
pub(super) fn add_table(
    session: &mut Session,
    table: &TableRequest,
    address: &Address,
    request: &Request,
) -> Result<()> {
    let mut options = table.options.clone();
    if let Some(topic) = &address.topic {
        options.insert("subscribe".to_string(), topic.clone());
    }
    let read = KafkaTable::read(&request.kafka.properties(&address.bootstrap)?, &options)?;
    read.remarks
        .iter()
        .for_each(|remark| out::remark(format_args!("table `{}`: {remark}\n", table.name)));
    session.add_table(&table.name, read.rows)?;
    parse_values(session, &table.name, table.schema.as_ref())
}

/// The sink to topics.
pub(super) fn sink(address: &Address, request: &Request) -> Result<KafkaSink> {
    let mut options = request.sink.options.clone();
    if let Some(topic) = &address.topic {
        options.entry("topic".to_string()).or_insert_with(|| topic.clone());
    }
    Ok(KafkaSink::new(
        &request.kafka.properties(&address.bootstrap)?,
        &options,
    )?)
}

/// Puts the columns of JSON values in the place of Kafka's, if they are given.
fn parse_values(session: &mut Session, name: &str, schema: Option<&SchemaRef>) -> Result<()> {
    let Some(schema) = schema else { return Ok(()) };
    let ddl = format_schema(schema).replace('\'', "\\'");
    let sql = format!("SELECT value.* FROM (SELECT from_json(CAST(value AS STRING), '{ddl}') AS value FROM `{name}`)");
    session.create_view(name, &sql, None)?;
    Ok(())
}
