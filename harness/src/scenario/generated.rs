//! Streams the generator makes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use serde::Deserialize;
use skirl_engine::error::in_full;
use skirl_engine::format::json::{JsonOptions, read_json_lines};
use skirl_generator::{GeneratedBatch, StreamSpec};
use toml::de::ValueDeserializer;

use super::mistake::Mistakes;
use super::section::Value;
use super::stream::{Stream, StreamSource};

/// A stream the generator makes, as the scenario describes it.
#[derive(Debug, Clone)]
pub struct Generated {
    /// The description.
    pub spec: StreamSpec,
    /// Where it stands in the scenario file.
    span: Range<usize>,
}

impl Generated {
    /// Reads the table of the stream `name`; its columns are known once all streams are ([`settle`]).
    pub(super) fn read(name: &str, value: Value, mistakes: &Mistakes) -> Option<Stream> {
        let span = value.span();
        let spec = match StreamSpec::deserialize(ValueDeserializer::from(value)) {
            Ok(spec) => spec,
            Err(error) => {
                mistakes.note(error.span().unwrap_or(span), error.message());
                return None;
            }
        };
        let wrong = spec.check(name);
        for mistake in &wrong {
            mistakes.note(mistake.span.clone().unwrap_or(span.clone()), &mistake.message);
        }
        let source = StreamSource::Generated(Box::new(Generated { spec, span }));
        let schema = Arc::new(Schema::empty());
        wrong.is_empty().then_some(Stream {
            name: name.to_string(),
            schema,
            source,
            options: BTreeMap::new(),
        })
    }
}

/// The rows of streams, micro-batch by micro-batch.
pub(super) struct Made {
    /// What the rows are.
    pub rows: Vec<Vec<RecordBatch>>,
    /// What a reader makes of them, where some arrive spoilt.
    pub read: Option<Vec<Vec<RecordBatch>>>,
}

/// Gives generated streams their columns, and notes what is wrong between streams.
pub(super) fn settle(streams: &mut [Stream], mistakes: &Mistakes) {
    let specs = specs_of(streams);
    for (name, mistake) in skirl_generator::check(&specs) {
        let own = streams.iter().find(|stream| stream.name == name).and_then(generated_of);
        let span = mistake.span.or(own.map(|generated| generated.span.clone()));
        mistakes.note(span.unwrap_or(0..0), mistake.message);
    }
    if mistakes.len() > 0 {
        return;
    }
    for stream in streams {
        if let StreamSource::Generated(generated) = &stream.source {
            match skirl_generator::Stream::new(&stream.name, &specs, 0) {
                Ok(made) => stream.schema = made.schema(),
                Err(error) => mistakes.note(generated.span.clone(), error.to_string()),
            }
        }
    }
}

/// The micro-batches of every stream from `seed`. The error is a sentence.
pub(super) fn make(streams: &[Stream], seed: u64) -> Result<Made, String> {
    let made = skirl_generator::generate(&specs_of(streams), seed).map_err(|error| in_full(&error))?;
    let mut generated = made.streams.into_iter().map(|stream| stream.micro_batches);
    let mut rows = Vec::with_capacity(streams.len());
    let mut read = Vec::with_capacity(streams.len());
    let mut is_spoilt = false;
    for stream in streams {
        let batches = match &stream.source {
            StreamSource::Given(batches) => batches.clone(),
            StreamSource::Generated(_) => {
                let batches = generated.next().expect("every generated stream was made");
                is_spoilt |= batches.iter().any(|batch| batch.raw.is_some());
                read.push(batches.iter().map(read_again).collect::<Result<_, String>>()?);
                rows.push(batches.into_iter().map(|batch| batch.rows).collect());
                continue;
            }
        };
        read.push(batches.clone());
        rows.push(batches);
    }
    Ok(Made {
        rows,
        read: is_spoilt.then_some(read),
    })
}

/// What the engine reads where rows arrive as text that may be spoilt.
fn read_again(batch: &GeneratedBatch) -> Result<RecordBatch, String> {
    let Some(raw) = &batch.raw else {
        return Ok(batch.rows.clone());
    };
    let options = JsonOptions::new(&BTreeMap::new(), 0).map_err(|error| in_full(&error))?;
    read_json_lines(raw, &batch.rows.schema(), &options).map_err(|error| in_full(&error))
}

fn specs_of(streams: &[Stream]) -> Vec<(String, StreamSpec)> {
    let spec = |stream: &Stream| Some((stream.name.clone(), generated_of(stream)?.spec.clone()));
    streams.iter().filter_map(spec).collect()
}

fn generated_of(stream: &Stream) -> Option<&Generated> {
    match &stream.source {
        StreamSource::Generated(generated) => Some(generated),
        StreamSource::Given(_) => None,
    }
}
