//! What can go wrong while a trace is fitted.

use std::path::PathBuf;

/// The result of fitting.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a trace could not be fitted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no trace.
    #[error("{} is no trace: {reason}; give a directory that `skirl record` or `skirl generate` wrote", .path.display())]
    NoTrace {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// What was asked for does not go together.
    #[error("{0}")]
    Request(String),
    /// The records of a stream cannot be read.
    #[error(transparent)]
    Recording(#[from] crate::recording::Error),
    /// The rows of a stream cannot be read.
    #[error("stream `{stream}`: {reason}")]
    Rows {
        /// The stream.
        stream: String,
        /// Why.
        reason: String,
    },
    /// A look-alike could not be made.
    #[error(transparent)]
    Generator(#[from] skirl_generator::Error),
}
