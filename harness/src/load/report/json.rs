//! A run as a program reads it, and as it is stored for comparison and merging.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Report;
use crate::load::baseline::Change;
use crate::load::figure::Figure;
use crate::load::latency::Span;
use crate::load::outcome::Outcome;
use crate::load::slo::{Kept, Slo};
use crate::load::verdict::Ending;

/// The version of what is stored; it grows when older files are not read any more.
const FORMAT: u32 = 1;

/// Quantiles that are written out, in percent.
const QUANTILES: [f64; 5] = [50.0, 90.0, 99.0, 99.9, 99.99];

#[derive(Serialize, Deserialize)]
struct Stored {
    skirl_load: u32,
    ending: String,
    #[serde(default)]
    invalid: Option<String>,
    #[serde(default)]
    slos: Vec<Value>,
    /// For people and programs; what is read again is `run`.
    #[serde(default)]
    figures: Value,
    #[serde(default)]
    remarks: Vec<String>,
    #[serde(default)]
    compared: Vec<Value>,
    run: Outcome,
}

/// The report as JSON.
pub fn render(report: &Report) -> String {
    let verdict = &report.verdict;
    let slo = |(slo, kept): &(Slo, Kept)| {
        let (kept, found) = match kept {
            Kept::Yes(found) => (true, found),
            Kept::No(found) | Kept::Unknown(found) => (false, found),
        };
        json!({ "slo": slo.to_string(), "kept": kept, "found": found })
    };
    let change = |change: &Change| {
        json!({
            "figure": change.figure.to_string(), "now": change.now, "then": change.then, "ratio": change.ratio(),
            "beyond_noise": change.beyond_noise,
        })
    };
    let stored = Stored {
        skirl_load: FORMAT,
        ending: match verdict.ending() {
            Ending::Passed => "passed",
            Ending::Failed => "failed",
            Ending::Invalid => "invalid",
        }
        .into(),
        invalid: verdict.invalid.clone(),
        slos: verdict.slos.iter().map(slo).collect(),
        figures: figures(&report.outcome),
        remarks: verdict.remarks.clone(),
        compared: verdict.changes.iter().map(change).collect(),
        run: report.outcome.clone(),
    };
    let mut text = serde_json::to_string_pretty(&stored).expect("a report in memory can be written");
    text.push('\n');
    text
}

/// Figures by name; times in microseconds, `null` for what has no end.
fn figures(outcome: &Outcome) -> Value {
    let mut figures = Map::new();
    let mut note = |figure: Figure| {
        if let Ok(value) = outcome.figure(figure) {
            figures.insert(figure.to_string(), json!(value));
        }
    };
    for span in Span::ALL {
        QUANTILES
            .iter()
            .for_each(|percent| note(Figure::Quantile(span, *percent)));
        note(Figure::Max(span));
        note(Figure::Mean(span));
    }
    for count in Figure::COUNTS {
        note(count);
    }
    Value::Object(figures)
}

/// A run that was stored.
///
/// # Errors
/// A sentence that says what the text is not.
pub fn read(text: &str) -> Result<Outcome, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
    match value.get("skirl_load").and_then(Value::as_u64) {
        None => return Err("it is no report of `skirl load --json`".into()),
        Some(format) if format != u64::from(FORMAT) => {
            return Err(format!(
                "it is a report of format {format}, and this skirl reads {FORMAT}; run the test again"
            ));
        }
        Some(_) => {}
    }
    let stored: Stored = serde_json::from_value(value).map_err(|error| format!("it is no whole report: {error}"))?;
    Ok(stored.run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::outcome::tests::outcome;
    use crate::load::verdict::Verdict;

    #[test]
    fn a_stored_run_is_read_again() {
        let outcome = outcome(3, |_| 5);
        let slos = [
            Slo::parse("p99 < 20ms").unwrap(),
            Slo::parse("throughput > 1M/s").unwrap(),
        ];
        let verdict = Verdict::of(&outcome, &slos, None);
        let text = render(&Report {
            outcome: outcome.clone(),
            verdict,
        });
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&value["ending"], &value["slos"][0]["kept"]),
            (&json!("failed"), &json!(true))
        );
        assert_eq!(value["figures"]["throughput"], json!(100.0));
        assert_eq!(read(&text).unwrap(), outcome);
    }

    #[test]
    fn what_is_no_stored_run_is_told() {
        for (text, said) in [
            ("p99: 5", "no JSON"),
            ("{}", "no report of `skirl load --json`"),
            (r#"{"skirl_load": 9}"#, "format 9"),
            (r#"{"skirl_load": 1}"#, "no whole report"),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains(said), "{message}");
        }
    }
}
