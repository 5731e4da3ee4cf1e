//! The honest load test of a Kafka setup.
//!
//! Load is *open*: when each row is to be sent is settled before the run ([`schedule`]), and nothing moves it, neither a
//! full queue nor a broker that stands still. A row's latency counts from that moment, so a broker that stops for two
//! seconds is seen by every row that would have been sent meanwhile, not by the one that happened to be under way.
//!
//! [`run()`] makes the topics ([`topic`]), lets workers send ([`worker`], and in it [`sender`] and [`acks`]) and a consumer
//! read back ([`receive`]). What each row carries ([`stamp`]) tells which were lost, doubled or reordered ([`ledger`]);
//! [`latency`] keeps every value, without clipping. That makes an [`outcome`], of which a [`verdict`] says whether it means
//! anything and whether it kept the objectives ([`slo`]); a [`report`] tells people and programs.
//!
//! Moments, histograms, objectives and the ledger know no broker and no machine: they are tested with a clock that is
//! moved by hand.

pub mod acks;
pub mod baseline;
pub mod capacity;
pub mod clock;
pub mod cost;
pub mod disk;
pub mod error;
pub mod figure;
pub mod latency;
pub mod ledger;
pub mod live;
pub mod merge;
pub mod outcome;
pub mod outlet;
pub mod plan;
pub mod process;
pub mod receive;
pub mod report;
pub mod rows;
pub mod run;
pub mod schedule;
pub mod sender;
pub mod sequence;
pub mod slo;
pub mod stamp;
pub mod streams;
pub mod tally;
pub mod topic;
pub mod verdict;
pub mod worker;

pub use error::{Error, Result};
pub use outcome::Outcome;
pub use plan::Plan;
pub use run::{View, run};
pub use slo::Slo;
pub use verdict::{Ending, Verdict};
