//! What the sink of a query refuses, whatever the query is (spark-semantics 16).

use arrow::datatypes::SchemaRef;
use skirl_engine::{Error, OutputMode, Result};

use crate::job::{Job, SinkFormat};

/// What a sink refuses when the query is first started: it lacks a name or a checkpoint, or has a mode the sink cannot
/// take.
pub(super) fn check_start(job: &Job) -> Result<()> {
    let sink = &job.sink;
    if sink.format == SinkFormat::Memory && sink.name.is_none() {
        return Err(Error::nameless("queryName must be specified for memory sink."));
    }
    if !sink.format.is_files() {
        return Ok(());
    }
    if job.output_mode != OutputMode::Append {
        return Err(Error::spark(
            "STREAMING_OUTPUT_MODE.UNSUPPORTED_DATASOURCE",
            format!(
                "Invalid streaming output mode: {}. This output mode is not supported in Data Source {}.",
                job.output_mode.name(),
                sink.format.name()
            ),
        ));
    }
    if !sink.checkpoint {
        return Err(Error::nameless("checkpointLocation must be specified"));
    }
    Ok(())
}

/// What a sink fails with in the first batch: CSV has no form for columns with parts.
pub(super) fn write_failure(job: &Job, schema: &SchemaRef) -> Option<Error> {
    let fields = schema.fields().iter().filter(|_| job.sink.format == SinkFormat::Csv);
    let nested = fields.into_iter().find(|field| field.data_type().is_nested())?;
    Some(Error::spark(
        "UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE",
        format!("The CSV datasource doesn't support the column `{}`.", nested.name()),
    ))
}

/// Whether a sink refuses to go on from a checkpoint: a memory table starts empty, and only complete mode fills it again.
pub(super) fn forgets(job: &Job) -> bool {
    job.sink.format == SinkFormat::Memory && job.output_mode != OutputMode::Complete
}

/// The refusal of a sink that [`forgets`].
pub(super) fn refused_restart() -> Error {
    Error::nameless(
        "This query does not support recovering from checkpoint location. Delete its offsets to start over.",
    )
}
