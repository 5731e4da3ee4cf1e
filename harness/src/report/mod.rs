//! What a run of trials says: to a person, to a program, to a build server.
//!
//! A report holds nothing that could differ when the run is repeated. To add a format, write `report/<name>.rs` with a
//! function from [`Report`] to text.

pub mod json;
pub mod junit;
mod paint;
pub mod results;
pub mod terminal;

use crate::judge::{Outcome, Status};

pub use paint::Paint;

/// The outcomes of a run, in the order of the trials.
#[derive(Debug, Default)]
pub struct Report {
    /// What became of each trial.
    pub entries: Vec<Entry>,
}

/// One trial of a report.
#[derive(Debug)]
pub enum Entry {
    /// It ran; `again` is the command that repeats it, for a failure that was saved.
    Ran {
        /// What became of it.
        outcome: Box<Outcome>,
        /// The command that repeats it.
        again: Option<String>,
    },
    /// It never started: its file is wrong or its rows cannot be made.
    NotRun {
        /// The trial, or its file.
        name: String,
        /// Why.
        reason: String,
    },
}

impl Entry {
    /// How it ended.
    pub fn status(&self) -> Status {
        match self {
            Entry::Ran { outcome, .. } => outcome.status,
            Entry::NotRun { .. } => Status::CouldNotRun,
        }
    }
}

impl Report {
    /// How many trials ended in `status`.
    pub fn count(&self, status: Status) -> usize {
        self.entries.iter().filter(|entry| entry.status() == status).count()
    }

    /// 0 all passed, 1 a check failed, 2 something could not run.
    pub fn exit_code(&self) -> u8 {
        let worst = self.entries.iter().map(Entry::status).max();
        match worst {
            None | Some(Status::Passed) => 0,
            Some(Status::Failed) => 1,
            Some(Status::CouldNotRun) => 2,
        }
    }
}
