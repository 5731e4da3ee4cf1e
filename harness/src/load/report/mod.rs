//! What a run came to, for a person, a program, a build server and HDR's own tools.
//!
//! To add a format, write `report/<name>.rs` with a function from [`Report`] to text.

pub mod hdr;
pub mod json;
pub mod junit;
pub mod text;

use super::outcome::Outcome;
use super::verdict::Verdict;

/// A run and what is to be said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What was measured.
    pub outcome: Outcome,
    /// Whether it means anything, and whether it was what was asked for.
    pub verdict: Verdict,
}
