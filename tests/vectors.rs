//! What real Spark emitted, case by case: the engine emits it, and the oracle derives it.
//!
//! `fixtures/vectors` are the cases given to the project. Those of supported shapes must agree with Spark; each other is
//! either right or refused as `SKIRL_UNSUPPORTED`, and what Spark refuses is never called that. `fixtures/asked` are
//! cases of our own that Spark was asked about; all of them must agree.

use std::path::Path;

use libtest_mimic::{Arguments, Failed, Trial};
use skirl::case::{Case, Expected, differences, read_case, read_expected};
use skirl::check::is_unsupported;
use skirl::oracle::{self, Freedom};
use skirl::replay::replay;
use skirl::rows::rows_json;
use skirl::run::Run;
use skirl::scenario::find;
use skirl::system::Embedded;

/// Vectors whose names begin so are of supported shapes.
const SUPPORTED: &[&str] = &[
    "a_",
    "b_",
    "c_",
    "d_",
    "e_",
    "f_gap_match_inner",
    "g_",
    "h_",
    "m_",
    "s_drip_join_hour",
    "s_drip_join_inner",
    "s_drip_select",
    "s_drip_tumble",
    "s_drip_union",
    "s_drip_watermark",
];

/// Whose LIMIT, over the groups of an aggregation, is without an order: which rows there are is then Spark's hash order.
const LIMIT_OF_GROUPS: &[&str] = &["q05_agg_limit_append"];

/// Refusals of Spark's that Skirl does not come to: it has no such query at all yet.
const NOT_PLANNED: &[&str] = &[
    "i_session_nokey_append",
    "i_session_update_error",
    "k_window_of_window_column_called_window_error",
    "k_window_time_beside_window_error",
    "k_window_time_complete_error",
    "k_window_time_update_error",
];

/// The same of the engine alone: the oracle knows the refusal.
const NOT_RUN: &[&str] = &["j_dedup_within_watermark_no_watermark_error"];

fn main() {
    libtest_mimic::run(&Arguments::from_args(), trials()).exit();
}

fn trials() -> Vec<Trial> {
    let is_supported = |name: &str| SUPPORTED.iter().any(|group| name.starts_with(group));
    let mut trials = trials_of("vectors", is_supported);
    trials.extend(trials_of("asked", |_| true));
    for group in SUPPORTED {
        if !trials.iter().any(|trial| trial.name().contains(&format!("::{group}"))) {
            trials.push(failure("vectors", format!("no vector is called `{group}...`")));
        }
    }
    trials
}

/// The tests of a folder of cases; of those that are supported, `SKIRL_UNSUPPORTED` is no answer.
fn trials_of(set: &'static str, is_supported: impl Fn(&str) -> bool) -> Vec<Trial> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(set);
    let cases = match find(&[root.join("cases")], "json") {
        Ok(cases) => cases,
        Err(error) => return vec![failure(set, error)],
    };
    let mut trials = Vec::new();
    for case in cases {
        let name = case.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let expected = root.join("expected").join(format!("{name}.json"));
        let is_supported = is_supported(&name);
        for (kind, run) in [("engine", engine_agrees as Agrees), ("oracle", oracle_agrees)] {
            let (case, expected) = (case.clone(), expected.clone());
            trials.push(Trial::test(format!("{kind}::{name}"), move || {
                let (case, expected) = (read_case(&case)?, read_expected(&expected)?);
                run(&case, expected, is_supported)
            }));
        }
    }
    trials
}

/// A test in the name of a folder that fails.
fn failure(set: &str, reason: impl ToString) -> Trial {
    let reason = reason.to_string();
    Trial::test(set, || Err(Failed::from(reason)))
}

/// What is made of the case agrees with Spark's result, as far as Skirl supports the case.
type Agrees = fn(&Case, Expected, bool) -> Result<(), Failed>;

fn engine_agrees(case: &Case, mut expected: Expected, is_supported: bool) -> Result<(), Failed> {
    let run = replay(&mut Embedded::default(), &case.job, &case.trace);
    let name = case.name.as_str();
    if LIMIT_OF_GROUPS.contains(&name) {
        take_rows_of(&mut expected, &run);
    }
    let is_excused = NOT_PLANNED.contains(&name) || NOT_RUN.contains(&name);
    agrees(&expected, &run, is_supported, is_excused)
}

fn oracle_agrees(case: &Case, mut expected: Expected, is_supported: bool) -> Result<(), Failed> {
    let derived = oracle::expect(&case.job, &case.trace);
    if derived.freedoms.contains(&Freedom::AnyRowsOfLimit) {
        take_rows_of(&mut expected, &derived.run);
    }
    let is_excused = NOT_PLANNED.contains(&case.name.as_str());
    agrees(&expected, &derived.run, is_supported, is_excused)
}

/// LIMIT without an order fixes how many rows there are, not which.
fn take_rows_of(expected: &mut Expected, run: &Run) {
    for (expected, derived) in expected.batches.iter_mut().zip(&run.batches) {
        let rows = rows_json(&derived.rows);
        if expected.rows.as_ref().is_some_and(|wanted| wanted.len() == rows.len()) {
            expected.rows = Some(rows);
        }
    }
}

/// `is_excused`: it may be called unsupported though Spark refuses it.
fn agrees(expected: &Expected, run: &Run, is_supported: bool, is_excused: bool) -> Result<(), Failed> {
    if is_unsupported(run) && !is_supported {
        let is_refused = expected.fails && expected.batches.is_empty();
        if is_refused && !is_excused {
            return Err("Spark refuses this; it is called unsupported here".into());
        }
        return Ok(());
    }
    match differences(expected, run) {
        differences if differences.is_empty() => Ok(()),
        differences => Err(differences.join("\n").into()),
    }
}
