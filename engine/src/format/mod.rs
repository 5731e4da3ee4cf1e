//! Rows as text and bytes, read and written as Spark does.
//!
//! [`number`] and [`time`] are the ground: single values between text and Arrow's integers and doubles. [`json`],
//! [`csv`], [`parquet`] and [`text`] read and write whole columns, [`infer`] finds the schema a file suggests and
//! [`options`] understands Spark's names for all their settings.
//!
//! To add a format, write `format/<name>.rs` and give it a variant in [`FileFormat`](crate::source::files::FileFormat).

pub(crate) mod column;
pub mod csv;
pub mod infer;
pub mod json;
pub mod number;
pub mod options;
pub mod parquet;
pub mod text;
pub mod time;
#[cfg(test)]
mod vectors;
