//! Streams the generator makes.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::mistake::Mistakes;
use super::section::Value;
use super::stream::{Stream, StreamSource};

/// A stream the generator makes, as the scenario describes it.
#[derive(Debug, Clone)]
pub struct Generated {}

impl Generated {
    /// Reads the table of the stream `name`.
    pub(super) fn read(name: &str, value: Value, mistakes: &Mistakes) -> Option<Generated> {
        mistakes.note(value.span(), format!("stream `{name}`: no generator yet"));
        None
    }

    /// The columns of its rows.
    pub fn schema(&self) -> SchemaRef {
        unreachable!()
    }
}

/// The micro-batches of every stream; the generated ones are made together, since one may follow another.
pub(super) fn make(streams: &[Stream], _seed: u64) -> Result<Vec<Vec<RecordBatch>>, String> {
    Ok(streams.iter().map(|stream| match &stream.source {
        StreamSource::Given(batches) => batches.clone(),
        StreamSource::Generated(_) => vec![],
    }).collect())
}
