//! Service level objectives: `p99 < 20ms`, `lost == 0`, `throughput >= 49k/s`, `p99 < 1.2 * baseline`.

use std::fmt;

use skirl_generator::parse_rows;
use skirl_generator::spec::Micros;

use super::figure::{Figure, Unit, shown};

/// An objective.
#[derive(Debug, Clone, PartialEq)]
pub struct Slo {
    text: String,
    figure: Figure,
    comparison: Comparison,
    bound: Bound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

/// The comparisons as they are written, longer ones first.
const COMPARISONS: [(&str, Comparison); 6] = [
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    /// In the figure's unit.
    Value(f64),
    /// So many times the stored run's figure.
    TimesBaseline(f64),
}

/// What became of an objective.
#[derive(Debug, Clone, PartialEq)]
pub enum Kept {
    /// It was kept; the figure.
    Yes(String),
    /// It was missed; the figure and the bound.
    No(String),
    /// It cannot be told, and so counts as missed; why.
    Unknown(String),
}

impl Slo {
    /// Reads an objective.
    ///
    /// # Errors
    /// A sentence that says what to write.
    pub fn parse(text: &str) -> Result<Slo, String> {
        let text = text.trim();
        let found = COMPARISONS
            .iter()
            .find_map(|(sign, comparison)| Some((text.split_once(sign)?, *comparison)));
        let Some(((figure, bound), comparison)) = found else {
            let hint = if text.contains('=') { "; equality is `==`" } else { "" };
            return Err(format!(
                "`{text}` compares nothing{hint}; write for example `p99 < 20ms` or `lost == 0`"
            ));
        };
        let figure = Figure::parse(figure.trim()).map_err(|error| format!("in `{text}`: {error}"))?;
        let bound = parse_bound(bound.trim(), figure).map_err(|error| format!("in `{text}`: {error}"))?;
        Ok(Slo {
            text: text.to_string(),
            figure,
            comparison,
            bound,
        })
    }

    /// The figure it is about.
    pub fn figure(&self) -> Figure {
        self.figure
    }

    /// Whether a stored run is needed to tell.
    pub fn needs_baseline(&self) -> bool {
        matches!(self.bound, Bound::TimesBaseline(_))
    }

    /// Judges by the figures of this run and of a stored one; either says why it has none.
    pub fn judge(
        &self,
        run: impl Fn(Figure) -> Result<f64, String>,
        baseline: impl Fn(Figure) -> Result<f64, String>,
    ) -> Kept {
        let unit = self.figure.unit();
        let bound = match self.bound {
            Bound::Value(value) => Ok(value),
            Bound::TimesBaseline(factor) => baseline(self.figure).map(|value| value * factor),
        };
        match (run(self.figure), bound) {
            (Err(why), _) | (_, Err(why)) => Kept::Unknown(why),
            (Ok(value), Ok(bound)) if self.comparison.holds(value, bound) => Kept::Yes(shown(value, unit)),
            (Ok(value), Ok(bound)) => Kept::No(match self.bound {
                Bound::Value(_) => shown(value, unit),
                Bound::TimesBaseline(_) => format!("{}, and the bound is {}", shown(value, unit), shown(bound, unit)),
            }),
        }
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Comparison {
    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Comparison::Less => value < bound,
            Comparison::LessOrEqual => value <= bound,
            Comparison::Greater => value > bound,
            Comparison::GreaterOrEqual => value >= bound,
            Comparison::Equal => value == bound,
            Comparison::NotEqual => value != bound,
        }
    }
}

fn parse_bound(text: &str, figure: Figure) -> Result<Bound, String> {
    if text.contains("baseline") {
        let factor = text.replacen("baseline", "", 1);
        let factor = factor.trim().trim_start_matches('*').trim_end_matches('*').trim();
        let factor = if factor.is_empty() {
            Ok(1.0)
        } else {
            factor.parse::<f64>()
        };
        let factor = factor.map_err(|_| format!("`{text}` is no bound; write for example `1.2 * baseline`"))?;
        return Ok(Bound::TimesBaseline(factor));
    }
    let value = match figure.unit() {
        Unit::Micros => parse_micros(text, figure),
        Unit::Rows => parse_rows(text).map(|rows| rows as f64),
        Unit::RowsPerSecond => parse_rows(text.trim_end_matches("/s").trim())
            .map(|rows| rows as f64)
            .map_err(|_| format!("`{text}` is no rate; write for example `49k/s`")),
    };
    value.map(Bound::Value)
}

fn parse_micros(text: &str, figure: Figure) -> Result<f64, String> {
    match Micros::parse(text) {
        Ok(micros) if micros.0 >= 0 => Ok(micros.0 as f64),
        _ if text.parse::<f64>().is_ok() => Err(format!(
            "{figure} is a time and needs a unit; write for example `{text}ms`"
        )),
        _ => Err(format!(
            "`{text}` is no time; write for example `20ms`, `1.5s` or `800us`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str, value: f64, stored: f64) -> Kept {
        Slo::parse(text).unwrap().judge(|_| Ok(value), |_| Ok(stored))
    }

    #[test]
    fn objectives_compare_figures_with_bounds_in_their_units() {
        for (text, value, kept) in [
            ("p99 < 20ms", 19_999.0, true),
            ("p99 < 20ms", 20_000.0, false),
            ("p99<=20ms", 20_000.0, true),
            ("max < 1.5s", 1_500_000.0, false),
            ("mean > 800us", 900.0, true),
            ("lost == 0", 0.0, true),
            ("lost==0", 1.0, false),
            ("duplicates != 0", 3.0, true),
            ("lag < 10k", 10_000.0, false),
            ("throughput >= 49k/s", 49_000.0, true),
            ("throughput >= 49k", 48_999.0, false),
        ] {
            let judged = judge(text, value, 0.0);
            assert_eq!(matches!(judged, Kept::Yes(_)), kept, "{text} of {value}: {judged:?}");
        }
    }

    #[test]
    fn an_objective_may_be_relative_to_a_stored_run() {
        for (text, kept) in [
            ("p99 < 1.2 * baseline", true),
            ("p99 < baseline * 1.05", false),
            ("p99 <= baseline", false),
            ("p99 < 2baseline", true),
        ] {
            let judged = judge(text, 11_000.0, 10_000.0);
            assert_eq!(matches!(judged, Kept::Yes(_)), kept, "{text}: {judged:?}");
        }
        assert_eq!(
            judge("p99 <= baseline", 11_000.0, 10_000.0),
            Kept::No("11.0 ms, and the bound is 10.0 ms".into())
        );
    }

    #[test]
    fn what_is_not_known_is_not_kept() {
        let slo = Slo::parse("lost == 0").unwrap();
        let unknown = slo.judge(|_| Err("no consumer".into()), |_| Ok(0.0));
        assert_eq!(unknown, Kept::Unknown("no consumer".into()));
    }

    #[test]
    fn mistakes_say_what_to_write() {
        let messages: Vec<String> = [
            "p99 20ms",
            "lost = 0",
            "p99 < 20",
            "p99 < fast",
            "lsot == 0",
            "throughput > lots",
            "lost == few",
            "p99 < 1,2 * baseline",
        ]
        .into_iter()
        .map(|text| Slo::parse(text).unwrap_err())
        .collect();
        insta::assert_snapshot!(messages.join("\n"), @r#"
        `p99 20ms` compares nothing; write for example `p99 < 20ms` or `lost == 0`
        `lost = 0` compares nothing; equality is `==`; write for example `p99 < 20ms` or `lost == 0`
        in `p99 < 20`: p99 is a time and needs a unit; write for example `20ms`
        in `p99 < fast`: `fast` is no time; write for example `20ms`, `1.5s` or `800us`
        in `lsot == 0`: there is no figure `lsot` (did you mean `lost`?); the figures are p50, p99.9 or any other, max and mean, of `latency.` (which may be left out), `service.`, `schedule.` or `end_to_end.`; lost, duplicates, reordered, failed, throughput and lag
        in `throughput > lots`: `lots` is no rate; write for example `49k/s`
        in `lost == few`: `few` is not a number of rows; write for example 2000, 50k, 1M or 1.5M
        in `p99 < 1,2 * baseline`: `1,2 * baseline` is no bound; write for example `1.2 * baseline`
        "#);
    }
}
