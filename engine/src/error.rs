//! What can go wrong, with the condition Spark names it by.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use datafusion::error::DataFusionError;

/// The condition of everything Spark runs and Skirl does not yet.
pub const SKIRL_UNSUPPORTED: &str = "SKIRL_UNSUPPORTED";

/// The outer condition of an error that ends a running query.
pub const STREAM_FAILED: &str = "STREAM_FAILED";

/// Result with the engine's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error and what caused it, as one sentence: `cannot access rows.csv: permission denied`.
pub fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |sentence, cause| format!("{sentence}: {cause}"))
}

/// An error of the engine. It says what happened, its source why; [`in_full`] says both.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Spark refuses or fails this too.
    #[error("{message}")]
    Spark {
        /// Spark's error condition (`DIVIDE_BY_ZERO`), if the error has a name.
        condition: Option<Cow<'static, str>>,
        /// What was found, what was wanted, what to do.
        message: String,
    },

    /// Spark runs this, Skirl does not yet.
    #[error("{0}")]
    Unsupported(String),

    /// A running query ended; the batches before it stay.
    #[error("query failed in batch {batch_id}")]
    StreamFailed {
        /// The batch that failed.
        batch_id: u64,
        /// Why.
        source: Box<Error>,
    },

    /// A file or directory cannot be read or written.
    #[error("cannot access {}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },

    /// Anything else a user did wrong: bad option, bad schema, bad checkpoint.
    #[error("{0}")]
    Invalid(String),

    /// DataFusion failed where neither Spark nor Skirl has a name for it.
    #[error("{0}")]
    DataFusion(DataFusionError),
}

impl Error {
    /// An error Spark has a condition for.
    pub fn spark(condition: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Error::Spark {
            condition: Some(condition.into()),
            message: message.into(),
        }
    }

    /// An error Spark has, without a lasting name.
    pub fn nameless(message: impl Into<String>) -> Self {
        Error::Spark {
            condition: None,
            message: message.into(),
        }
    }

    /// What makes an error of one about the file or directory at `path`.
    pub fn io(path: &Path) -> impl Fn(std::io::Error) -> Self + '_ {
        |source| Error::Io {
            path: path.to_path_buf(),
            source,
        }
    }

    /// Something Spark runs and Skirl does not yet, in a sentence.
    pub fn unsupported(sentence: impl Into<String>) -> Self {
        Error::Unsupported(sentence.into())
    }

    /// The outer condition, as Spark reports it; `SKIRL_UNSUPPORTED` for what Skirl does not run yet.
    pub fn condition(&self) -> Option<&str> {
        match self {
            Error::Spark { condition, .. } => condition.as_deref(),
            Error::Unsupported(_) => Some(SKIRL_UNSUPPORTED),
            // What Skirl cannot evaluate is no failure of Spark's.
            Error::StreamFailed { source, .. } if matches!(**source, Error::Unsupported(_)) => Some(SKIRL_UNSUPPORTED),
            Error::StreamFailed { .. } => Some(STREAM_FAILED),
            _ => None,
        }
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

impl From<DataFusionError> for Error {
    /// Digs out our own error where DataFusion only carried it.
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::External(source) => match source.downcast::<Error>() {
                Ok(own) => *own,
                Err(source) => Error::DataFusion(DataFusionError::External(source)),
            },
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => Error::from(*inner),
            DataFusionError::ArrowError(source, note) => match *source {
                arrow::error::ArrowError::ExternalError(inner) => match inner.downcast::<Error>() {
                    Ok(own) => *own,
                    Err(inner) => match inner.downcast::<DataFusionError>() {
                        Ok(inner) => Error::from(*inner),
                        Err(inner) => Error::DataFusion(DataFusionError::External(inner)),
                    },
                },
                source => Error::DataFusion(DataFusionError::ArrowError(Box::new(source), note)),
            },
            DataFusionError::Collection(mut errors) if !errors.is_empty() => Error::from(errors.swap_remove(0)),
            other => Error::DataFusion(other),
        }
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Error::from(DataFusionError::from(error))
    }
}
