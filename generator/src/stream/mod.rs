//! The kinds of streams: what the rows of each are.
//!
//! To add a kind, write `stream/<name>.rs`, give it a variant in [`Kind`] and a line in [`build`].

mod bagpipe;
mod custom;
mod scotsmen;
mod weather;

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

pub use bagpipe::Bagpipe;
pub use custom::{ColumnModel, ColumnSpec, ColumnType, Custom, Literal};
pub use scotsmen::Scotsmen;
pub use weather::Weather;

use crate::arrival::Shift;
use crate::error::{Error, Result};
use crate::seed::Seed;
use crate::spec::{Kind, SpecError, StreamSpec};

/// Makes the rows of a stream; every value depends on the seed and its row's number and event time alone.
pub trait StreamKind: fmt::Debug + Send + Sync {
    /// The columns.
    fn schema(&self) -> SchemaRef;

    /// The column with the event time, if there is one.
    fn time_column(&self) -> Option<usize>;

    /// The rows of these numbers (any, usually ascending) that happened at `event_times`.
    ///
    /// # Errors
    /// When another stream that values are drawn from fails.
    fn rows(&self, rows: &[u64], event_times: &[i64]) -> Result<RecordBatch>;

    /// Moves event times away from the pace, for rows that follow others.
    fn shift(&self) -> Option<Shift> {
        None
    }
}

/// The type of every timestamp: Spark's TIMESTAMP, an instant.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))
}

/// The kind at work for stream `name` of `specs`.
///
/// # Errors
/// When a column draws from a stream or column that is not there, or from itself.
pub fn build(name: &str, specs: &[(String, StreamSpec)], seed: &Seed) -> Result<Arc<dyn StreamKind>> {
    build_within(name, specs, seed, &mut vec![])
}

/// As [`build`]; `path` holds the streams whose columns led here.
fn build_within(
    name: &str,
    specs: &[(String, StreamSpec)],
    seed: &Seed,
    path: &mut Vec<String>,
) -> Result<Arc<dyn StreamKind>> {
    let Some((_, spec)) = specs.iter().find(|(known, _)| known == name) else {
        let names: Vec<&str> = specs.iter().map(|(known, _)| known.as_str()).collect();
        return Err(Error::Unsupported(format!(
            "there is no stream `{name}`; there are {}",
            names.join(", ")
        )));
    };
    if path.iter().any(|earlier| earlier == name) {
        let message = format!(
            "its keys come from stream `{name}` again through {}; break the circle",
            path.join(", ")
        );
        return Err(Error::Spec {
            stream: name.into(),
            mistakes: vec![SpecError { span: None, message }],
        });
    }
    path.push(name.to_owned());
    let seed_of_stream = seed.named(name);
    let kind: Arc<dyn StreamKind> = match spec.kind {
        Kind::Scotsmen => Arc::new(Scotsmen::new(seed_of_stream)),
        Kind::Bagpipe => {
            let followed = seed.named(spec.follows.as_deref().unwrap_or("scotsmen"));
            Arc::new(Bagpipe::new(seed_of_stream, Scotsmen::new(followed)))
        }
        Kind::Weather => Arc::new(Weather::new(seed_of_stream)),
        Kind::Custom => Arc::new(Custom::new(name, &spec.columns, specs, seed, path)?),
    };
    path.pop();
    Ok(kind)
}

/// A schema of nullable columns.
fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, kind)| Field::new(*name, kind.clone(), true))
        .collect();
    Arc::new(Schema::new(fields))
}

fn timestamps(times: &[i64]) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::new(times.to_vec().into(), None).with_timezone("+00:00"))
}
