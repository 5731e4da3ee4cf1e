//! Skirl tells people whether their stream processing is right.
//!
//! A [`trace::Trace`] is replayed on a system under test and judged by an [`oracle`] that derives the right answer from
//! the trace alone.

pub mod case;
pub mod job;
pub mod oracle;
pub mod run;
pub mod trace;
