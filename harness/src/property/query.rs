//! Random queries of every supported shape.

use proptest::prelude::*;
use proptest::sample::select;

use crate::job::{Job, OutputMode};

const SCOTSMEN: (&str, &str) = ("scotsmen", "district STRING, new_scotsmen INT, timestamp TIMESTAMP");
const BAGPIPE: (&str, &str) = ("bagpipe", "district STRING, bagpipe_sales INT, timestamp TIMESTAMP");

/// Queries over `scotsmen`, `bagpipe` and the table `population`: selections, aggregations over tumbling and sliding
/// windows, keys, distinct rows and everything, joins of two streams with a time range, aggregations above them, and
/// joins with a table; in every output mode Spark allows.
pub fn jobs() -> impl Strategy<Value = Job> {
    prop_oneof![
        2 => selections(),
        4 => windows(),
        2 => groups(),
        3 => joins(),
        1 => table_joins(),
    ]
}

fn delays() -> impl Strategy<Value = &'static str> {
    select(vec!["0 seconds", "30 seconds", "1 minute", "2 minutes"])
}

fn modes(allowed: &'static [OutputMode]) -> impl Strategy<Value = OutputMode> {
    select(allowed)
}

const APPEND: OutputMode = OutputMode::Append;
const UPDATE: OutputMode = OutputMode::Update;
const COMPLETE: OutputMode = OutputMode::Complete;

/// A job over `scotsmen` as `s`, with a watermark.
fn job_on_s(sql: &str, delay: &str, mode: OutputMode) -> Job {
    let mut job = Job::new(&[SCOTSMEN], sql).expect("the schema is right");
    job.add_view("s", "SELECT * FROM scotsmen", Some(("timestamp", delay)));
    job.output_mode = mode;
    job
}

fn selections() -> impl Strategy<Value = Job> {
    let queries = select(vec![
        "SELECT * FROM s",
        "SELECT upper(district) AS d, new_scotsmen + 1 AS n FROM s WHERE new_scotsmen > 2",
        "SELECT district, timestamp FROM s WHERE district IS NOT NULL AND timestamp >= '2024-12-03 10:02:00'",
        "SELECT district, window(timestamp, '3 minutes') AS w FROM s",
    ]);
    (queries, delays(), modes(&[APPEND, UPDATE])).prop_map(|(sql, delay, mode)| job_on_s(sql, delay, mode))
}

fn windows() -> impl Strategy<Value = Job> {
    let sizes = select(vec![
        "'1 minute'",
        "'3 minutes'",
        "'3 minutes', '3 minutes', '30 seconds'",
        "'4 minutes', '1 minute'",
        "'5 minutes', '2 minutes'",
    ]);
    let aggregates = select(vec![
        "count(*) AS c, sum(new_scotsmen) AS s, avg(new_scotsmen) AS a",
        "count(new_scotsmen) AS c, min(new_scotsmen) AS low, max(timestamp) AS last",
        "count_if(new_scotsmen > 2) AS c, sum(new_scotsmen) FILTER (WHERE district = 'Porto') AS s, every(new_scotsmen > 0) AS e",
        "max(sqrt(new_scotsmen)) AS high, min(sqrt(new_scotsmen)) AS low", // of negative numbers NaN
    ]);
    let keys = select(vec![", district", ""]);
    let having = select(vec!["", " HAVING count(*) > 1"]);
    let filter = select(vec!["", " WHERE district <> 'Faro'", " WHERE new_scotsmen >= 0"]);
    let modes = modes(&[APPEND, UPDATE, COMPLETE]);
    (sizes, aggregates, keys, having, filter, delays(), modes).prop_map(
        |(size, aggregates, key, having, filter, delay, mode)| {
            let sql = format!(
                "SELECT window.start AS start, window.end AS end{key}, {aggregates} \
                 FROM s{filter} GROUP BY window(timestamp, {size}){key}{having}"
            );
            job_on_s(&sql, delay, mode)
        },
    )
}

fn groups() -> impl Strategy<Value = Job> {
    let changing = select(vec![
        "SELECT district, count(*) AS c, sum(new_scotsmen) AS s FROM s GROUP BY district",
        "SELECT DISTINCT district FROM s",
        "SELECT sqrt(new_scotsmen) AS root, count(*) AS c FROM s GROUP BY sqrt(new_scotsmen)",
        // Windows of a time that is not the event time: the condition sinks below the watermark.
        "SELECT w, count(*) AS c FROM (SELECT window(timestamp_seconds(60 * new_scotsmen), '3 minutes') AS w FROM s) \
         WHERE w.start > '1970-01-01 00:02:00' GROUP BY w",
        "SELECT count(*) AS c, sum(new_scotsmen) AS s, max(timestamp) AS last FROM s",
    ]);
    let final_groups = select(vec![
        "SELECT DISTINCT district, timestamp FROM s",
        "SELECT timestamp, count(*) AS c FROM s GROUP BY timestamp",
    ]);
    prop_oneof![
        (changing, delays(), modes(&[UPDATE, COMPLETE])).prop_map(|(sql, delay, mode)| job_on_s(sql, delay, mode)),
        (final_groups, delays(), modes(&[APPEND, UPDATE])).prop_map(|(sql, delay, mode)| job_on_s(sql, delay, mode)),
    ]
}

fn joins() -> impl Strategy<Value = Job> {
    let ranges = select(vec![
        "b.sold >= c.converted AND b.sold <= c.converted + INTERVAL 2 minutes",
        "b.sold > c.converted AND b.sold < c.converted + INTERVAL 90 seconds",
        "b.sold BETWEEN c.converted - INTERVAL 1 minute AND c.converted + INTERVAL 1 minute",
        "b.sold = c.converted",
    ]);
    let outputs = select(vec![
        (
            "SELECT c.district, c.converted, b.sold, new_scotsmen, bagpipe_sales",
            "",
        ),
        (
            "SELECT window.start AS start, c.district, sum(new_scotsmen) AS n, sum(bagpipe_sales) AS sales, count(*) AS c",
            " GROUP BY window(b.sold, '3 minutes'), c.district",
        ),
    ]);
    let policies = select(vec!["min", "max"]);
    (ranges, outputs, policies, delays(), delays(), modes(&[APPEND, UPDATE])).prop_map(
        |(range, (output, group), policy, delay, other_delay, mode)| {
            let sql = format!("{output} FROM c JOIN b ON c.district = b.district AND {range}{group}");
            let mut job = Job::new(&[SCOTSMEN, BAGPIPE], &sql).expect("the schemas are right");
            let converted = "SELECT district, new_scotsmen, timestamp AS converted FROM scotsmen";
            job.add_view("c", converted, Some(("converted", delay)));
            let sold = "SELECT district, bagpipe_sales, timestamp AS sold FROM bagpipe";
            job.add_view("b", sold, Some(("sold", other_delay)));
            job.conf.insert(
                "spark.sql.streaming.multipleWatermarkPolicy".to_string(),
                policy.to_string(),
            );
            job.output_mode = mode;
            job
        },
    )
}

fn table_joins() -> impl Strategy<Value = Job> {
    let joins = select(vec!["JOIN", "LEFT JOIN", "LEFT SEMI JOIN", "LEFT ANTI JOIN"]);
    (joins, delays(), modes(&[APPEND, UPDATE])).prop_map(|(join, delay, mode)| {
        let columns = if join.ends_with("SEMI JOIN") || join.ends_with("ANTI JOIN") {
            "s.*"
        } else {
            "s.*, pop"
        };
        let sql = format!("SELECT {columns} FROM s {join} population p ON s.district = p.district");
        let mut job = job_on_s(&sql, delay, mode);
        let rows = [("Porto", 237_591), ("Lisboa", 544_851), ("Lisboa", 1)];
        job.add_table(
            "population",
            "district STRING, pop INT",
            &rows.map(|(district, pop)| [district.into(), pop.to_string()]),
        )
        .expect("the rows are right");
        job
    })
}
