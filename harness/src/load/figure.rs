//! The figures of a run by name, as SLOs and comparisons ask for them.

use std::fmt;

use super::latency::Span;

/// A figure of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Figure {
    /// The largest value of a span that a share of the rows does not exceed, in percent: `p99`, `end_to_end.p99.9`.
    Quantile(Span, f64),
    /// The largest value of a span.
    Max(Span),
    /// The mean of a span.
    Mean(Span),
    /// Rows that were acknowledged and are not there.
    Lost,
    /// Rows that are there again.
    Duplicates,
    /// Rows behind a later one.
    Reordered,
    /// Rows that could not be written, or were never queued.
    Failed,
    /// Acknowledged rows per second.
    Throughput,
    /// The most rows that were acknowledged and the consumer did not have.
    Lag,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds.
    Micros,
    /// Rows.
    Rows,
    /// Rows per second.
    RowsPerSecond,
}

const NAMES: [&str; 6] = ["lost", "duplicates", "reordered", "failed", "throughput", "lag"];

impl Figure {
    /// The figures that count rows of a whole run.
    pub const COUNTS: [Figure; 6] = [
        Figure::Lost,
        Figure::Duplicates,
        Figure::Reordered,
        Figure::Failed,
        Figure::Throughput,
        Figure::Lag,
    ];

    /// The figure of this name.
    ///
    /// # Errors
    /// A sentence that says what to write.
    pub fn parse(text: &str) -> Result<Figure, String> {
        if let Some((_, figure)) = NAMES.iter().zip(Figure::COUNTS).find(|(name, _)| **name == text) {
            return Ok(figure);
        }
        let (span, value) = match text.split_once('.').map(|(span, value)| (span_of(span), value)) {
            Some((Some(span), value)) => (span, value),
            _ => (Span::Latency, text),
        };
        match value {
            "max" => Ok(Figure::Max(span)),
            "mean" => Ok(Figure::Mean(span)),
            _ => {
                let percent = value.strip_prefix('p').and_then(|percent| percent.parse::<f64>().ok());
                let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
                percent
                    .map(|percent| Figure::Quantile(span, percent))
                    .ok_or_else(|| unknown(text))
            }
        }
    }

    /// What it counts.
    pub fn unit(self) -> Unit {
        match self {
            Figure::Quantile(..) | Figure::Max(_) | Figure::Mean(_) => Unit::Micros,
            Figure::Throughput => Unit::RowsPerSecond,
            Figure::Lost | Figure::Duplicates | Figure::Reordered | Figure::Failed | Figure::Lag => Unit::Rows,
        }
    }

    /// Whether more of it is better.
    pub fn is_better_high(self) -> bool {
        self == Figure::Throughput
    }

    /// Whether it is known only if rows are read back.
    pub fn needs_consumer(self) -> bool {
        match self {
            Figure::Lost | Figure::Duplicates | Figure::Reordered | Figure::Lag => true,
            Figure::Quantile(span, _) | Figure::Max(span) | Figure::Mean(span) => span == Span::EndToEnd,
            Figure::Failed | Figure::Throughput => false,
        }
    }
}

fn span_of(name: &str) -> Option<Span> {
    Span::ALL.into_iter().find(|span| span.name() == name)
}

fn unknown(text: &str) -> String {
    let values = ["p50", "p99", "p99.9", "max", "mean"];
    let value = text.split_once('.').map(|(_, value)| value);
    let spans = Span::ALL
        .iter()
        .filter_map(|span| Some(format!("{}.{}", span.name(), value?)));
    let known = NAMES.iter().chain(&values).map(|name| name.to_string()).chain(spans);
    let near = known
        .map(|known| (strsim::damerau_levenshtein(&known, text), known))
        .min();
    let near = near.filter(|(distance, known)| *distance <= known.len().div_ceil(3));
    let hint = near.map_or_else(String::new, |(_, known)| format!(" (did you mean `{known}`?)"));
    format!(
        "there is no figure `{text}`{hint}; the figures are p50, p99.9 or any other, max and mean, of `latency.` (which may \
         be left out), `service.`, `schedule.` or `end_to_end.`; lost, duplicates, reordered, failed, throughput and lag"
    )
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = |span: Span| {
            if span == Span::Latency {
                String::new()
            } else {
                format!("{}.", span.name())
            }
        };
        match self {
            Figure::Quantile(span, percent) => write!(f, "{}p{percent}", prefix(*span)),
            Figure::Max(span) => write!(f, "{}max", prefix(*span)),
            Figure::Mean(span) => write!(f, "{}mean", prefix(*span)),
            count => {
                let named = NAMES.iter().zip(Figure::COUNTS).find(|(_, known)| known == count);
                f.write_str(named.map_or("", |(name, _)| name))
            }
        }
    }
}

/// A value as people read it: `4.20 ms`, `50.0 k rows/s`, `3`.
pub fn shown(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Micros => shown_micros(value),
        Unit::Rows => shown_count(value),
        Unit::RowsPerSecond => format!("{} rows/s", shown_short(value)),
    }
}

/// Microseconds in the unit that fits; `never` for what has no end.
pub fn shown_micros(micros: f64) -> String {
    match micros {
        f64::INFINITY => "never".into(),
        micros if micros < 1_000.0 => format!("{micros:.0} us"),
        micros if micros < 10_000.0 => format!("{:.2} ms", micros / 1e3),
        micros if micros < 100_000.0 => format!("{:.1} ms", micros / 1e3),
        micros if micros < 1_000_000.0 => format!("{:.0} ms", micros / 1e3),
        micros => format!("{:.2} s", micros / 1e6),
    }
}

/// A count with its thousands apart.
pub fn shown_count(count: f64) -> String {
    let digits = format!("{count:.0}");
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A number with a letter for its thousands.
pub fn shown_short(value: f64) -> String {
    match value {
        value if value < 1e3 => format!("{value:.0}"),
        value if value < 1e6 => format!("{:.1} k", value / 1e3),
        value => format!("{:.2} M", value / 1e6),
    }
}

/// Bytes in the unit that fits.
pub fn shown_bytes(bytes: f64) -> String {
    match bytes {
        bytes if bytes < 1e3 => format!("{bytes:.0} B"),
        bytes if bytes < 1e6 => format!("{:.1} kB", bytes / 1e3),
        bytes if bytes < 1e9 => format!("{:.1} MB", bytes / 1e6),
        bytes => format!("{:.1} GB", bytes / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_known_by_name_and_show_the_name_they_were_asked_by() {
        for (text, figure) in [
            ("p99", Figure::Quantile(Span::Latency, 99.0)),
            ("p99.99", Figure::Quantile(Span::Latency, 99.99)),
            ("end_to_end.p99.9", Figure::Quantile(Span::EndToEnd, 99.9)),
            ("schedule.max", Figure::Max(Span::Schedule)),
            ("mean", Figure::Mean(Span::Latency)),
            ("lost", Figure::Lost),
            ("throughput", Figure::Throughput),
        ] {
            assert_eq!(Figure::parse(text), Ok(figure), "{text}");
            assert_eq!(figure.to_string(), text);
        }
        assert_eq!(Figure::parse("latency.p50"), Ok(Figure::Quantile(Span::Latency, 50.0)));
    }

    #[test]
    fn a_mistyped_figure_is_told_the_nearest_one() {
        for (text, near) in [
            ("loss", "lost"),
            ("p99x", "p99"),
            ("duplicate", "duplicates"),
            ("endtoend.p99", "end_to_end.p99"),
        ] {
            let message = Figure::parse(text).unwrap_err();
            assert!(message.contains(&format!("did you mean `{near}`?")), "{message}");
        }
        assert!(!Figure::parse("happiness").unwrap_err().contains("did you mean"));
        assert!(Figure::parse("p101").is_err());
    }

    #[test]
    fn values_are_shown_in_the_unit_that_fits() {
        let shown: Vec<String> = [0.0, 950.0, 4_204.0, 20_000.0, 340_000.0, 2_007_000.0, f64::INFINITY]
            .map(shown_micros)
            .into();
        assert_eq!(
            shown,
            ["0 us", "950 us", "4.20 ms", "20.0 ms", "340 ms", "2.01 s", "never"]
        );
        assert_eq!(
            (shown_count(1_234_567.0), shown_count(12.0)),
            ("1,234,567".into(), "12".into())
        );
        assert_eq!(
            (shown_short(50_000.0), shown_short(1_634_000.0)),
            ("50.0 k".into(), "1.63 M".into())
        );
    }
}
