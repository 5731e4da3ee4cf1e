//! How far a long run is.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Hears of progress.
pub trait Progress {
    /// Of stream `stream`, `done` of `total` rows are made; called after every micro-batch.
    fn rows(&mut self, stream: &str, done: u64, total: u64);

    /// Stream `stream` is complete.
    fn finished(&mut self, _stream: &str) {}
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn rows(&mut self, _stream: &str, _done: u64, _total: u64) {}
}

/// A bar for each stream on standard error; nothing where that is no terminal.
#[derive(Debug, Default)]
pub struct Bars {
    bar: Option<ProgressBar>,
}

impl Progress for Bars {
    fn rows(&mut self, stream: &str, done: u64, total: u64) {
        self.bar
            .get_or_insert_with(|| new_bar(stream, total))
            .set_position(done);
    }

    fn finished(&mut self, _stream: &str) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn new_bar(stream: &str, total: u64) -> ProgressBar {
    let terminal = std::io::stderr().is_terminal();
    let target = if terminal {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} rows {per_sec} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(total), target)
        .with_style(style)
        .with_message(stream.to_owned())
}
