//! One line, redrawn, where a person looks on; nothing where standard error is no terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::load::figure::{shown_micros, shown_short};
use crate::load::run::View;
use crate::load::tally::Counts;

/// The line of a run.
pub struct Line {
    bar: ProgressBar,
    before: Option<(i64, Counts)>,
    rates: (f64, f64),
}

/// Rates are taken over at least so long, in nanoseconds.
const RATE_SPAN: i64 = 1_000_000_000;

impl Default for Line {
    fn default() -> Line {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template("{msg}").expect("the template is right"));
        Line {
            bar,
            before: None,
            rates: (0.0, 0.0),
        }
    }
}

impl Line {
    /// Draws the counts of now.
    pub fn show(&mut self, view: &View) {
        self.rates = self.rates(view.now.0, view.counts);
        self.bar.set_message(text(view, self.rates));
        self.bar.tick();
    }

    /// Rows queued and acknowledged per second, lately.
    fn rates(&mut self, now: i64, counts: Counts) -> (f64, f64) {
        let (then, before) = *self.before.get_or_insert((now, counts));
        if now - then < RATE_SPAN {
            return self.rates;
        }
        self.before = Some((now, counts));
        let per_second = |rows: u64| rows as f64 * 1e9 / (now - then) as f64;
        (
            per_second(counts.queued - before.queued),
            per_second(counts.acknowledged - before.acknowledged),
        )
    }

    /// Takes the line away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn text(view: &View, (queued, acknowledged): (f64, f64)) -> String {
    let counts = &view.counts;
    let seconds = view.now.0 as f64 / 1e9;
    let total = view.plan.timing.duration.as_secs_f64();
    let when = match view.now.0 {
        ..0 => format!("warm-up, {:.0} s to go", -seconds),
        _ if view.is_draining => "waiting for the last rows".to_string(),
        _ => format!("{seconds:.0} of {total:.0} s"),
    };
    let mut text = format!(
        "{when} | sent {}/s, acknowledged {}/s | p50 {} p99 {} max {} | in flight {}",
        shown_short(queued),
        shown_short(acknowledged),
        shown_micros(counts.p50_us as f64),
        shown_micros(counts.p99_us as f64),
        shown_micros(counts.max_us as f64),
        shown_short(counts.in_flight() as f64)
    );
    if view.plan.receive.is_some() {
        text += &format!(" | lag {}", shown_short(counts.lag() as f64));
    }
    for (count, what) in [
        (counts.failed, "failed"),
        (counts.duplicates, "doubled"),
        (counts.reordered, "reordered"),
    ] {
        if count > 0 {
            text += &format!(" | {} {what}", shown_short(count as f64));
        }
    }
    if counts.behind_ns > 100_000_000 {
        text += &format!(" | {} behind", shown_micros(counts.behind_ns as f64 / 1e3));
    }
    text
}
