//! A compact micro-batch engine for streaming SQL with the semantics of Spark Structured Streaming.
//!
//! Arrows point down: query -> micro-batch -> plan -> operator -> state -> storage. Sources, sinks and the clock are
//! leaves. [`sql`] is the front end alone: the harness's oracle uses it and nothing else of the engine.

mod checkpoint;
pub mod clock;
pub mod error;
pub mod format;
mod micro_batch;
mod operator;
mod plan;
mod progress;
mod query;
mod session;
pub mod sink;
pub mod source;
pub mod spelling;
pub mod sql;
pub mod storage;
mod trigger;
pub mod watermark;

pub use error::{Error, Result};
pub use progress::{BatchProgress, OperatorProgress};
pub use query::{RunningQuery, StreamWriter, StreamingQuery};
pub use session::Session;
pub use trigger::Trigger;

/// What a query emits in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputMode {
    /// Rows that will never change.
    Append,
    /// Rows that changed in this batch.
    Update,
    /// The whole result table.
    Complete,
}

impl OutputMode {
    /// Spark's name of the mode, lower case.
    pub fn name(self) -> &'static str {
        match self {
            OutputMode::Append => "append",
            OutputMode::Update => "update",
            OutputMode::Complete => "complete",
        }
    }
}
