//! A run while it lasts: a line in the terminal, and figures for Prometheus.

mod prometheus;
mod terminal;

pub use prometheus::Exporter;
pub use terminal::Line;
