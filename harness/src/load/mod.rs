//! The honest load test of a Kafka setup.
//!
//! Load is *open*: when each row is to be sent is settled before the run ([`schedule`]), and nothing moves it, neither a
//! full queue nor a broker that stands still. A row's latency counts from that moment, so a broker that stops for two
//! seconds is seen by every row that would have been sent meanwhile, not by the one that happened to be under way.
//!
//! [`sender`] queues rows when they are due; [`acks`] notes when each was acknowledged; [`receive`] reads them back and
//! [`ledger`] tells which were lost, doubled or reordered. [`latency`] keeps every value, without clipping.

pub mod clock;
pub mod error;
pub mod latency;
pub mod ledger;
pub mod outlet;
pub mod rows;
pub mod schedule;
pub mod sender;
pub mod sequence;
pub mod stamp;
pub mod tally;
