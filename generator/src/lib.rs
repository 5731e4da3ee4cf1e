//! Synthetic streams with controllable lateness: same seed, same bytes, on every machine.
//!
//! A [`StreamSpec`] says what a stream is. Its [`stream`] kind makes values, its [`pace`] says when rows happen, the
//! layers of [`lateness`] say how they arrive, and [`arrival`] cuts what arrives into micro-batches. [`generate()`] does
//! this in memory, [`run`] writes a [`trace`].
//!
//! ```
//! use skirl_generator::{StreamSpec, generate};
//!
//! let spec = StreamSpec::from_toml(
//!     r#"
//!     kind = "scotsmen"
//!     rows = 600
//!     batch = "1m"
//!     lateness = { model = "pareto", share = 0.05, scale = "10s", max = "2m" }
//!     "#,
//! )
//! .unwrap();
//! let trace = generate(&[("scotsmen".into(), spec)], 7).unwrap();
//! let scotsmen = &trace.streams[0];
//! assert_eq!(scotsmen.micro_batches.iter().map(|batch| batch.rows.num_rows()).sum::<usize>(), 600);
//! println!("{}", scotsmen.card);
//! ```

pub mod arrival;
pub mod card;
pub mod distribution;
pub mod encode;
pub mod error;
mod generate;
pub mod lateness;
pub mod pace;
pub mod progress;
pub mod seed;
pub mod spec;
pub mod stream;
pub mod target;
pub mod trace;

pub use arrival::{Arrival, Arrived};
pub use card::DisorderCard;
pub use encode::Format;
pub use error::{Error, Result};
pub use generate::{
    GenerateRequest, GeneratedBatch, GeneratedStream, GeneratedTrace, Shard, Stream, StreamSummary, Summary, Target,
    check, generate, run,
};
pub use lateness::parse_lateness;
pub use progress::{Bars, Progress, Silent};
pub use seed::Seed;
pub use spec::{Kind, SpecError, StreamSpec, parse_rows};
