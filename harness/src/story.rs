//! How a difference came about: the group, what was expected and came, and the input rows responsible with their fate.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::check::Evidence;
use crate::oracle::{Admission, Fate};
use crate::rows::{Difference, Row, compact, row_values, same_value, shown, shown_time_us, shown_watermark};
use crate::shape::Shape;

/// A story tells so many groups, and so many rows of each.
const GROUPS_TOLD: usize = 5;
const ROWS_TOLD: usize = 12;

/// The lines that tell what differs in batch `batch_id`.
pub fn tell(difference: &Difference, batch_id: u64, evidence: &Evidence) -> Vec<String> {
    let fallback = Shape::of_unknown(&evidence.run.batches);
    let shape = evidence.shape.unwrap_or(&fallback);
    let pairs = paired(difference, shape);
    let mut lines = Vec::new();
    for pair in pairs.values().take(GROUPS_TOLD) {
        tell_group(pair, shape, batch_id, evidence, &mut lines);
    }
    if pairs.len() > GROUPS_TOLD {
        lines.push(format!("and {} more groups", pairs.len() - GROUPS_TOLD));
    }
    lines
}

/// Rows dropped as late in batch `batch_id`, a line each.
pub fn dropped_in(batch_id: u64, evidence: &Evidence) -> Vec<String> {
    let dropped = |fate: &&Fate| fate.batch_id == batch_id && matches!(fate.admission, Admission::Dropped { .. });
    let fates: Vec<&Fate> = evidence.expectation.ledger.iter().filter(dropped).collect();
    told_fates(&fates, evidence)
}

/// Missing and surplus rows of one group.
#[derive(Default)]
struct Pair<'a> {
    missing: Vec<&'a Row>,
    surplus: Vec<&'a Row>,
}

fn paired<'a>(difference: &'a Difference, shape: &Shape) -> BTreeMap<String, Pair<'a>> {
    let mut pairs: BTreeMap<String, Pair> = BTreeMap::new();
    for row in &difference.missing {
        pairs.entry(compact(&shape.key_of(row))).or_default().missing.push(row);
    }
    for row in &difference.surplus {
        pairs.entry(compact(&shape.key_of(row))).or_default().surplus.push(row);
    }
    pairs
}

fn tell_group(pair: &Pair, shape: &Shape, batch_id: u64, evidence: &Evidence, lines: &mut Vec<String>) {
    let Some(row) = pair.missing.first().or(pair.surplus.first()) else { return };
    let differing = differing_columns(pair, shape);
    lines.push(shape.describe_key(row));
    lines.extend(sides(&pair.missing, "expected", shape, &differing));
    lines.extend(sides(&pair.surplus, "actual", shape, &differing));
    lines.extend(elsewhere(row, shape, batch_id, evidence));
    let fates = responsible(row, shape, evidence);
    if !fates.is_empty() {
        lines.push("  rows concerned".to_string());
        lines.extend(told_fates(&fates, evidence).into_iter().map(|line| format!("    {line}")));
    }
}

/// Columns in which the expected and the actual row of a group differ; all that are no keys if there is no such pair.
fn differing_columns(pair: &Pair, shape: &Shape) -> Vec<usize> {
    let columns = 0..shape.names.len();
    match (pair.missing.as_slice(), pair.surplus.as_slice()) {
        ([expected], [actual]) => columns.filter(|n| !same_value(&expected[*n], &actual[*n])).collect(),
        _ => columns.filter(|n| !shape.is_key(*n)).collect(),
    }
}

fn sides(rows: &[&Row], word: &str, shape: &Shape, columns: &[usize]) -> Vec<String> {
    if rows.is_empty() {
        return vec![format!("  {word:<8}  nothing")];
    }
    let values = |row: &Row| {
        let shown = columns.iter().map(|n| format!("{} {}", shape.names[*n], shown(&row[*n])));
        shown.collect::<Vec<_>>().join(", ")
    };
    rows.iter().map(|row| format!("  {word:<8}  {}", if columns.is_empty() { "this row".into() } else { values(row) })).collect()
}

/// Other batches in which the same group came out, or should have.
fn elsewhere(row: &[Value], shape: &Shape, batch_id: u64, evidence: &Evidence) -> Vec<String> {
    if !shape.has_all_keys {
        return Vec::new();
    }
    let key = shape.key_of(row);
    let batches_with = |run: &crate::run::Run| -> Vec<u64> {
        let has_key = |rows: &arrow::array::RecordBatch| row_values(rows).iter().any(|row| shape.key_of(row) == key);
        run.batches.iter().filter(|batch| batch.batch_id != batch_id && has_key(&batch.rows)).map(|b| b.batch_id).collect()
    };
    let (expected, actual) = (batches_with(&evidence.expectation.run), batches_with(evidence.run));
    if expected == actual {
        return Vec::new();
    }
    let list = |ids: &[u64]| match ids {
        [] => "no other batch".to_string(),
        [id] => format!("batch {id}"),
        ids => format!("batches {}", ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")),
    };
    vec![format!("  this group also belongs in {}, and came out in {}", list(&expected), list(&actual))]
}

/// The ledger's rows that fall in the row's window and have its keys.
fn responsible<'a>(row: &[Value], shape: &Shape, evidence: &'a Evidence) -> Vec<&'a Fate> {
    let window = shape.window_of(row);
    let keys = shape.source_keys(row);
    if window.is_none() && keys.is_empty() {
        return Vec::new();
    }
    let within = |fate: &Fate| match (window, fate.event_time) {
        (Some((start, end)), Some(time)) => start.is_none_or(|start| time >= start) && end.is_none_or(|end| time < end),
        (Some(_), None) => false,
        (None, _) => true,
    };
    let mut cells = SourceCells::new(evidence);
    evidence.expectation.ledger.iter().filter(|fate| within(fate) && cells.match_keys(fate, &keys)).collect()
}

/// The rows of the trace as values, each micro-batch converted when first asked.
struct SourceCells<'a> {
    evidence: &'a Evidence<'a>,
    converted: BTreeMap<(usize, usize), Vec<Row>>,
}

impl<'a> SourceCells<'a> {
    fn new(evidence: &'a Evidence<'a>) -> Self {
        SourceCells { evidence, converted: BTreeMap::new() }
    }

    /// Whether the row of `fate` has the values of `keys` in the columns they come from.
    fn match_keys(&mut self, fate: &Fate, keys: &[(Vec<(usize, usize)>, Value)]) -> bool {
        let rows = self.converted.entry((fate.stream, fate.micro_batch)).or_insert_with(|| {
            let rows = &self.evidence.trace.micro_batches[fate.micro_batch].rows[fate.stream];
            rows.as_ref().map(row_values).unwrap_or_default()
        });
        let Some(row) = rows.get(fate.row) else { return false };
        keys.iter().all(|(sources, value)| {
            let mut own = sources.iter().filter(|(stream, _)| *stream == fate.stream).peekable();
            own.peek().is_none() || own.any(|(_, column)| same_value(&row[*column], value))
        })
    }
}

fn told_fates(fates: &[&Fate], evidence: &Evidence) -> Vec<String> {
    // What was not taken explains most, so it comes first.
    let mut fates = fates.to_vec();
    fates.sort_by_key(|fate| (matches!(fate.admission, Admission::OnTime), fate.batch_id, fate.stream, fate.row));
    let mut lines: Vec<String> = fates.iter().take(ROWS_TOLD).map(|fate| told_fate(fate, evidence)).collect();
    if fates.len() > ROWS_TOLD {
        lines.push(format!("and {} more rows", fates.len() - ROWS_TOLD));
    }
    lines
}

/// `row 17 of scotsmen, batch 6: event time 10:02:59.999, dropped by the 3-minute aggregation, watermark 10:03:00.000`.
fn told_fate(fate: &Fate, evidence: &Evidence) -> String {
    let stream = &evidence.job.streams[fate.stream].0;
    let time = fate.event_time.map_or("NULL".to_string(), shown_time_us);
    let fate_text = match &fate.admission {
        Admission::OnTime => "on time".to_string(),
        Admission::LateAccepted => "late but accepted".to_string(),
        Admission::Undecided => "undecided".to_string(),
        Admission::Dropped { operator, watermark } => {
            format!("dropped by the {operator}, watermark {}", shown_watermark(Some(*watermark)))
        }
    };
    format!("row {} of {stream}, batch {}: event time {time}, {fate_text}", fate.row, fate.batch_id)
}
