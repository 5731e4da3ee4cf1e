//! Why a load test could not run. What it measured, good or bad, is no error.

/// The result of running a load test.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a load test could not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Kafka did not do what was asked.
    #[error(transparent)]
    Kafka(#[from] skirl_kafka::Error),

    /// Rows cannot be made.
    #[error(transparent)]
    Rows(#[from] skirl_generator::Error),

    /// What is asked for does not go together.
    #[error("{0}")]
    Plan(String),

    /// The rows would not fit on a broker's disk.
    #[error("{0}")]
    Disk(String),

    /// A file of another run cannot be used.
    #[error("{0}")]
    File(String),

    /// A worker process could not do its part.
    #[error("worker {worker} {what}")]
    Worker {
        /// Its number.
        worker: u32,
        /// What became of it.
        what: String,
    },
}
