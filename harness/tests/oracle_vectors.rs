//! What the oracle derives is what real Spark emitted, for every recorded case of the shapes it covers.

use std::path::{Path, PathBuf};

use skirl::case::{Case, Expected, differences, read_case, read_expected};
use skirl::oracle::{self, Expectation, Freedom};
use skirl::rows::rows_json;
use skirl::run::Run;

const UNSUPPORTED: &str = "SKIRL_UNSUPPORTED";

/// What the front end does not plan yet.
const NOT_PLANNED: [&str; 6] = [
    "i_session_nokey_append",
    "i_session_update_error",
    "k_window_of_window_column_called_window_error",
    "k_window_time_beside_window_error",
    "k_window_time_complete_error",
    "k_window_time_update_error",
];

#[test]
fn stateless_queries() {
    all_agree("vectors", |name| name.starts_with("a_"));
}

#[test]
fn aggregations_without_windows() {
    all_agree("vectors", |name| name.starts_with("b_"));
}

#[test]
fn windows_and_watermarks() {
    all_agree("vectors", |name| name.starts_with("c_"));
}

#[test]
fn inner_joins_of_streams() {
    all_agree("vectors", |name| name.starts_with("d_") || name == "f_gap_match_inner");
}

#[test]
fn aggregations_of_joins() {
    all_agree("vectors", |name| name.starts_with("e_"));
}

#[test]
fn joins_with_tables() {
    all_agree("vectors", |name| name.starts_with("g_"));
}

#[test]
fn sliding_and_shifted_windows() {
    all_agree("vectors", |name| name.starts_with("h_"));
}

#[test]
fn restarts() {
    let covered = [
        "s_drip_select",
        "s_drip_tumble",
        "s_drip_join_inner",
        "s_drip_join_hour",
        "s_drip_union",
        "s_drip_watermark",
    ];
    all_agree("vectors", |name| covered.iter().any(|prefix| name.starts_with(prefix)));
}

#[test]
fn unions_under_and_over_watermarks() {
    all_agree("vectors", |name| name.starts_with("m_"));
}

#[test]
fn what_real_spark_answered_to_our_own_questions() {
    // The front end does not plan IN in HAVING yet, and takes NOT (x NOT IN ...) for something else than IN.
    let not_planned = ["q02_having_in", "y53_subq", "z53_subq"];
    all_agree("asked", |name| !not_planned.contains(&name));
}

#[test]
fn a_case_is_right_or_not_supported_yet() {
    let wrong = disagreements("vectors", |_| true, true);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_spark_refuses_is_never_called_unsupported() {
    let mut wrong = vec![];
    let refused = |(case, expected): &(Case, Expected)| {
        expected.fails && expected.batches.is_empty() && !NOT_PLANNED.contains(&case.name.as_str())
    };
    for (case, _) in cases("vectors").iter().filter(|c| refused(c)) {
        let error = oracle::expect(&case.job, &case.trace).run.error;
        let condition = error.as_ref().and_then(|error| error.condition.as_deref());
        if error.is_none() || condition == Some(UNSUPPORTED) {
            wrong.push(format!("{}: {error:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The oracle agrees with Spark on every case of this set, and supports it.
#[track_caller]
fn all_agree(set: &str, wanted: impl Fn(&str) -> bool) {
    let wrong = disagreements(set, wanted, false);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn disagreements(set: &str, wanted: impl Fn(&str) -> bool, unsupported_is_fine: bool) -> Vec<String> {
    let mut wrong = vec![];
    let mut asked = 0;
    for (case, expected) in cases(set).into_iter().filter(|(case, _)| wanted(&case.name)) {
        asked += 1;
        let Expectation { run, freedoms, .. } = oracle::expect(&case.job, &case.trace);
        let expected = if freedoms.contains(&Freedom::AnyRowsOfLimit) {
            with_rows_of(expected, &run)
        } else {
            expected
        };
        let condition = run.error.as_ref().and_then(|error| error.condition.as_deref());
        if condition == Some(UNSUPPORTED) {
            if !unsupported_is_fine {
                wrong.push(format!("{}: {}", case.name, run.error.expect("just seen").message));
            }
            continue;
        }
        wrong.extend(
            differences(&expected, &run)
                .into_iter()
                .map(|difference| format!("{}: {difference}", case.name)),
        );
    }
    assert!(asked > 0, "no case of {set} is in this group");
    wrong
}

/// LIMIT without an order fixes how many rows there are, not which.
fn with_rows_of(mut expected: Expected, run: &Run) -> Expected {
    for (expected, actual) in expected.batches.iter_mut().zip(&run.batches) {
        let rows = rows_json(&actual.rows);
        if expected.rows.as_ref().is_some_and(|wanted| wanted.len() == rows.len()) {
            expected.rows = Some(rows);
        }
    }
    expected
}

fn cases(set: &str) -> Vec<(Case, Expected)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures")
        .join(set);
    let mut files: Vec<PathBuf> = std::fs::read_dir(root.join("cases"))
        .expect("the fixtures are there")
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.sort();
    let read = |path: &PathBuf| {
        let name = path.file_name().expect("a file has a name");
        let case = read_case(path).unwrap_or_else(|error| panic!("{error}"));
        let expected = read_expected(&root.join("expected").join(name)).unwrap_or_else(|error| panic!("{error}"));
        (case, expected)
    };
    files.iter().map(read).collect()
}
