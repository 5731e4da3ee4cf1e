//! Skirl tells people whether their stream processing is right.
//!
//! A [`scenario`] says streams, a query and what must happen. Its [`trace::Trace`] is replayed on a [`system`] under
//! test and judged by an [`oracle`] that derives the right answer from the trace alone; [`check`]s compare, a
//! [`report`] tells the story. [`property`] does the same for random traces in a test of your own.
//! [`broker`] starts a real Apache Kafka for a test, and takes it away again.

pub mod advice;
#[cfg(unix)]
pub mod broker;
pub mod case;
pub mod check;
pub mod cli;
pub mod cut;
pub mod fit;
pub mod job;
pub mod judge;
pub mod load;
mod once;
pub mod oracle;
pub mod property;
pub mod recording;
pub mod replay;
pub mod report;
pub mod rows;
pub mod run;
pub mod scenario;
pub mod shape;
mod story;
pub mod system;
pub mod trace;
