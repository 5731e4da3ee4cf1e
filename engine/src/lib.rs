//! A compact micro-batch engine for streaming SQL with the semantics of Spark Structured Streaming.
//!
//! Arrows point down: query -> micro-batch -> plan -> operator -> state -> storage. Sources, sinks and the clock are
//! leaves. [`sql`] is the front end alone: the harness's oracle uses it and nothing else of the engine.

pub mod error;
pub mod format;
pub mod sink;
pub mod source;
pub mod sql;

pub use error::{Error, Result};

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
