//! What became of each input row, what an output row was made of, and what the oracle remarks on a query.

use serde_json::{Value, json};
use skirl::case::parse_case;
use skirl::oracle::{self, Admission, Advice, Expectation, Freedom};
use skirl::rows::rows_json;

const WINDOWS: &str = "SELECT window.start AS b, count(*) AS c FROM s GROUP BY window(timestamp, '3 minutes')";

/// One stream `scotsmen` under a watermark of 30 seconds as view `s`; rows are (district, new_scotsmen, minute:second).
fn expect(sql: &str, mode: &str, batches: &[&[(Option<&str>, i32, &str)]]) -> Expectation {
    let row = |(district, number, time): &(Option<&str>, i32, &str)| -> Value {
        let time = (!time.is_empty()).then(|| format!("2024-12-03T10:{time}Z"));
        json!([district, number, time])
    };
    let batches: Vec<Value> = batches.iter().map(|rows| rows.iter().map(row).collect()).collect();
    let case = json!({
        "name": "ledger",
        "streams": {"scotsmen": {
            "schema": [["district", "string"], ["new_scotsmen", "int"], ["timestamp", "timestamp"]],
            "batches": batches,
        }},
        "views": [{
            "name": "s",
            "sql": "SELECT * FROM scotsmen",
            "watermark": {"column": "timestamp", "delay": "30 seconds"},
        }],
        "sql": sql,
        "output_mode": mode,
    });
    let case = parse_case(&case).expect("a case of this test is well formed");
    oracle::expect(&case.job, &case.trace)
}

fn admissions(expectation: &Expectation) -> Vec<Admission> {
    expectation.ledger.rows.iter().map(|row| row.admission).collect()
}

#[test]
fn a_row_is_late_when_its_window_has_closed_and_accepted_while_it_is_open() {
    let expectation = expect(
        WINDOWS,
        "append",
        &[
            &[(None, 1, "00:00")],
            &[(None, 2, "03:30")],
            &[(None, 3, "05:00")],
            &[(None, 4, "02:59.999"), (None, 5, "03:00")],
        ],
    );
    let want = [
        Admission::OnTime,
        Admission::OnTime,
        Admission::OnTime,
        Admission::Dropped(0),
        Admission::LateAccepted,
    ];
    assert_eq!(admissions(&expectation), want);
    let drop = &expectation.ledger.drops[0];
    assert_eq!((drop.operator, drop.batch_id, &drop.rows[..]), (0, 3, &[3][..]));
    assert_eq!(
        drop.late_by(),
        0,
        "the window ends exactly at the watermark of the batch before"
    );
    assert_eq!(expectation.operators, ["3-minute aggregation"]);
}

#[test]
fn a_row_dropped_from_some_of_its_windows_only_is_accepted() {
    let sql = "SELECT window.start AS b, count(*) AS c FROM s GROUP BY window(timestamp, '10 minutes', '5 minutes')";
    let batches: [&[_]; 3] = [&[(None, 1, "01:00")], &[(None, 2, "11:00")], &[(None, 3, "06:00")]];
    let expectation = expect(sql, "append", &batches);
    // [10:00, 10:10) closed with the watermark of 10:10:30, [10:05, 10:15) is open.
    assert_eq!(admissions(&expectation)[2], Admission::OnTime);
    assert!(
        expectation.ledger.drops.is_empty(),
        "lateness is judged by the batch before"
    );
    let batches: [&[_]; 4] = [&[(None, 1, "01:00")], &[(None, 2, "11:00")], &[], &[(None, 3, "06:00")]];
    let expectation = expect(sql, "append", &batches);
    assert_eq!(admissions(&expectation)[2], Admission::LateAccepted);
    assert_eq!(expectation.ledger.drops.len(), 1);
    assert_eq!(expectation.run.batches[3].dropped, [1]);
}

#[test]
fn a_filtered_row_and_one_without_a_time_are_told_apart() {
    let sql = "SELECT window.start AS b, count(*) AS c FROM s WHERE district = 'Porto' GROUP BY window(timestamp, '3 minutes')";
    let expectation = expect(
        sql,
        "update",
        &[&[
            (Some("Porto"), 1, "00:00"),
            (Some("Faro"), 2, "01:00"),
            (Some("Porto"), 3, ""),
        ]],
    );
    assert_eq!(
        admissions(&expectation),
        [Admission::OnTime, Admission::Filtered, Admission::Filtered]
    );
    assert_eq!(
        expectation.ledger.rows[1].event_time, None,
        "the filter sank below the watermark"
    );
}

#[test]
fn rows_behind_a_failure_are_not_read() {
    let sql = "SELECT 10 / new_scotsmen AS x FROM s";
    let expectation = expect(
        sql,
        "append",
        &[&[(None, 1, "00:00")], &[(None, 0, "00:01")], &[(None, 2, "00:02")]],
    );
    assert_eq!(
        admissions(&expectation),
        [Admission::OnTime, Admission::NotRead, Admission::NotRead]
    );
    assert_eq!(expectation.run.batches.len(), 1);
    assert_eq!(
        expectation.run.error.and_then(|error| error.condition).as_deref(),
        Some("STREAM_FAILED")
    );
}

#[test]
fn an_output_row_names_the_rows_that_made_it_and_those_that_came_too_late() {
    let sql =
        "SELECT window.start AS b, district, count(*) AS c FROM s GROUP BY window(timestamp, '3 minutes'), district";
    let expectation = expect(
        sql,
        "update",
        &[
            &[
                (Some("Porto"), 1, "00:00"),
                (Some("Faro"), 2, "00:00"),
                (Some("Porto"), 3, "02:00"),
            ],
            &[(Some("Porto"), 4, "01:00")],
        ],
    );
    let batch = &expectation.run.batches[1];
    assert_eq!(
        rows_json(&batch.rows),
        [json!(["2024-12-03T10:00:00.000000Z", "Porto", 3])]
    );
    let rows: Vec<usize> = expectation.explain(1, 0).iter().map(|part| part.row).collect();
    assert_eq!(rows, [0, 2, 3]);
    assert!(expectation.explain(1, 1).is_empty(), "there is no second row");
}

#[test]
fn complete_mode_drops_nothing_and_the_oracle_says_so() {
    let batches: [&[_]; 4] = [&[(None, 1, "00:00")], &[(None, 2, "30:00")], &[], &[(None, 3, "00:01")]];
    let expectation = expect(WINDOWS, "complete", &batches);
    assert!(expectation.advice.contains(&Advice::CompleteDropsNothing));
    assert_eq!(admissions(&expectation)[2], Admission::LateAccepted);
    assert_eq!(expect(WINDOWS, "append", &batches).advice, []);
}

#[test]
fn state_that_never_goes_is_named() {
    let by_time = "SELECT timestamp, count(*) AS c FROM s GROUP BY timestamp";
    let expectation = expect(by_time, "append", &[&[(None, 1, ""), (None, 2, "00:00")]]);
    assert_eq!(
        expectation.advice,
        [Advice::StuckInState {
            operator: "aggregation".into(),
            rows: 1
        }]
    );
    let by_district = "SELECT district, count(*) AS c FROM s GROUP BY district";
    let expectation = expect(by_district, "update", &[&[(None, 1, "00:00")]]);
    assert_eq!(
        expectation.advice,
        [Advice::GroupsNeverEvicted, Advice::WatermarkJudgesNothing]
    );
    let self_join = "SELECT a.district FROM s a JOIN s b ON a.district = b.district";
    let expectation = expect(self_join, "append", &[&[(Some("Porto"), 1, "00:00")]]);
    assert!(expectation.advice.contains(&Advice::LatenessNotJudged { left: true }));
    assert!(
        expectation
            .advice
            .contains(&Advice::JoinSideNeverEvicted { left: false })
    );
}

#[test]
fn a_limit_leaves_open_which_rows() {
    let expectation = expect(
        "SELECT district FROM s LIMIT 2",
        "append",
        &[&[(None, 1, "00:00")], &[(None, 2, "00:00"), (None, 3, "00:00")]],
    );
    assert_eq!(expectation.freedoms, [Freedom::AnyRowsOfLimit]);
    let rows: Vec<usize> = expectation
        .run
        .batches
        .iter()
        .map(|batch| batch.rows.num_rows())
        .collect();
    assert_eq!(rows, [1, 1]);
}

#[test]
fn a_pair_that_comes_too_late_for_its_aggregation_names_both_rows() {
    let sql = "SELECT window.start AS b, count(*) AS c FROM \
               (SELECT a.timestamp AS t FROM s a JOIN s b ON a.district = b.district AND b.timestamp >= a.timestamp) \
               GROUP BY window(t, '3 minutes')";
    let porto = Some("Porto");
    let batches: [&[_]; 4] = [
        &[(porto, 1, "00:00")],
        &[(porto, 2, "10:00")],
        &[],
        &[(porto, 3, "11:00")],
    ];
    let expectation = expect(sql, "append", &batches);
    let of_aggregation: Vec<_> = expectation
        .ledger
        .drops
        .iter()
        .filter(|drop| drop.operator == 0)
        .collect();
    assert_eq!(of_aggregation.len(), 1, "{:?}", expectation.ledger.drops);
    assert_eq!(of_aggregation[0].rows, [0, 2]);
}
