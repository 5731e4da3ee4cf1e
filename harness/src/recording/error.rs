//! What can go wrong while topics are recorded or put back.

use std::path::PathBuf;

/// The result of recording.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a topic could not be recorded or put back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Kafka did not do what was asked.
    #[error(transparent)]
    Kafka(#[from] skirl_kafka::Error),
    /// What was asked for does not go together.
    #[error("{0}")]
    Request(String),
    /// A file or directory cannot be read or written.
    #[error("cannot access {}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file with records is not what a recording holds.
    #[error("{}: {reason}", .path.display())]
    Records {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Values cannot be read as rows.
    #[error("cannot read values of `{stream}` as rows")]
    Rows {
        /// The stream.
        stream: String,
        /// Why.
        source: skirl_engine::Error,
    },
    /// Rows or records cannot be built.
    #[error("cannot build records")]
    Arrow(#[from] arrow::error::ArrowError),
    /// `trace.toml` or a schedule.
    #[error(transparent)]
    Generator(#[from] skirl_generator::Error),
}

impl Error {
    pub(super) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io { path, source }
    }
}
