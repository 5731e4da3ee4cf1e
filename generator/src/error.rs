//! What can go wrong, in sentences for the person who meets it.

use std::path::PathBuf;

use arrow::error::ArrowError;

use crate::spec::SpecError;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why rows could not be made or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A stream's specification is wrong.
    #[error("stream `{stream}`: {}", .mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Spec {
        /// The stream.
        stream: String,
        /// All that is wrong with it.
        mistakes: Vec<SpecError>,
    },

    /// Arrivals are spread too far for the cut.
    #[error(
        "stream `{stream}` would need more than 1,000,000 micro-batches; make `batch` longer, \
         or give its lateness a `max`"
    )]
    TooManyMicroBatches {
        /// The stream.
        stream: String,
    },

    /// Something asked for does not go together.
    #[error("{0}")]
    Unsupported(String),

    /// A value that a format cannot carry.
    #[error("column `{column}` holds a line break, which CSV cannot carry line by line; write JSON or Parquet")]
    LineBreakInCsv {
        /// The column.
        column: String,
    },

    /// A file or directory could not be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },

    /// A directory already holds another trace.
    #[error("{} already holds files; choose an empty directory, or remove it", .path.display())]
    DirectoryInUse {
        /// The directory.
        path: PathBuf,
    },

    /// Rows did not fit their columns.
    #[error("cannot build rows")]
    Arrow(#[from] ArrowError),

    /// Parquet could not be written.
    #[error("cannot encode Parquet")]
    Parquet(#[from] parquet::errors::ParquetError),

    /// Kafka did not do what was asked.
    #[error(transparent)]
    Kafka(#[from] skirl_kafka::Error),

    /// `trace.toml` could not be written or read.
    #[error("cannot describe the trace: {0}")]
    Trace(String),
}
