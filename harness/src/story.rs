//! How a difference came about: the group, what was expected and came, and the input rows responsible with their fate.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::check::Evidence;
use crate::oracle::{Admission, Drop, LedgerRow};
use crate::rows::{Difference, Row, compact, row_values, same_value, shown, shown_time_us, shown_watermark};
use crate::run::Run;
use crate::shape::Shape;

/// A story tells so many groups, and so many rows of each.
const GROUPS_TOLD: usize = 5;
const ROWS_TOLD: usize = 12;

/// The lines that tell what differs in batch `batch_id`.
pub fn tell(difference: &Difference, batch_id: u64, evidence: &Evidence) -> Vec<String> {
    let fallback = Shape::of_unknown(&evidence.run.batches);
    let shape = evidence.shape.unwrap_or(&fallback);
    let mut teller = Teller {
        batch_id,
        evidence,
        shape,
        sources: BTreeMap::new(),
    };
    let pairs = paired(difference, shape);
    let mut lines: Vec<String> = pairs
        .values()
        .take(GROUPS_TOLD)
        .flat_map(|pair| teller.tell_group(pair))
        .collect();
    if pairs.len() > GROUPS_TOLD {
        lines.push(format!("and {} more groups", pairs.len() - GROUPS_TOLD));
    }
    lines
}

/// Rows dropped as late in batch `batch_id`, a line each.
pub fn dropped_in(batch_id: u64, evidence: &Evidence) -> Vec<String> {
    let ledger = &evidence.expectation.ledger;
    let drops = ledger.drops.iter().filter(|drop| drop.batch_id == batch_id);
    let fates: Vec<Fate> = drops
        .flat_map(|drop| drop.rows.iter().map(move |row| (*row, Some(drop))))
        .collect();
    told(&fates, evidence)
}

/// Missing and surplus rows of one group.
#[derive(Default)]
struct Pair<'a> {
    missing: Vec<&'a Row>,
    surplus: Vec<&'a Row>,
}

/// A ledger row's position, and the drop that kept it from counting.
type Fate<'a> = (usize, Option<&'a Drop>);

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

/// Tells the groups of one batch.
struct Teller<'a> {
    batch_id: u64,
    evidence: &'a Evidence<'a>,
    shape: &'a Shape,
    /// Rows of the trace as values, each (stream, micro-batch) converted when first asked.
    sources: BTreeMap<(usize, usize), Vec<Row>>,
}

impl<'a> Teller<'a> {
    fn tell_group(&mut self, pair: &Pair) -> Vec<String> {
        let Some(row) = pair.missing.first().or(pair.surplus.first()) else {
            return Vec::new();
        };
        let columns = differing_columns(pair, self.shape);
        let mut lines = vec![self.shape.describe_key(row)];
        lines.extend(self.sides(&pair.missing, "expected", &columns));
        lines.extend(self.sides(&pair.surplus, "actual", &columns));
        lines.extend(self.elsewhere(row));
        let fates = self.responsible(pair);
        if !fates.is_empty() {
            lines.push("  rows concerned".to_string());
            lines.extend(
                told(&fates, self.evidence)
                    .into_iter()
                    .map(|line| format!("    {line}")),
            );
        }
        lines
    }

    fn sides(&self, rows: &[&Row], word: &str, columns: &[usize]) -> Vec<String> {
        let values = |row: &Row| {
            let shown = columns
                .iter()
                .map(|n| format!("{} {}", self.shape.names[*n], shown(&row[*n])));
            shown.collect::<Vec<_>>().join(", ")
        };
        match rows {
            [] => vec![format!("  {word:<8}  nothing")],
            rows if columns.is_empty() => vec![format!("  {word:<8}  {}", times(rows.len()))],
            rows => rows.iter().map(|row| format!("  {word:<8}  {}", values(row))).collect(),
        }
    }

    /// Other batches in which the same group came out, or should have.
    fn elsewhere(&self, row: &[Value]) -> Option<String> {
        if !self.shape.has_all_keys {
            return None;
        }
        let key = self.shape.key_of(row);
        let batches_with = |run: &Run| -> Vec<u64> {
            let others = run.batches.iter().filter(|batch| batch.batch_id != self.batch_id);
            let has_key = |rows| row_values(rows).iter().any(|row| self.shape.key_of(row) == key);
            others
                .filter(|batch| has_key(&batch.rows))
                .map(|batch| batch.batch_id)
                .collect()
        };
        let (expected, actual) = (
            batches_with(&self.evidence.expectation.run),
            batches_with(self.evidence.run),
        );
        (expected != actual).then(|| {
            format!(
                "  this group also belongs in {}, and came out in {}",
                batch_list(&expected),
                batch_list(&actual)
            )
        })
    }

    /// The input rows behind the group: those the oracle made it of, or those that fit a group it has not.
    fn responsible(&mut self, pair: &Pair) -> Vec<Fate<'a>> {
        let expectation = self.evidence.expectation;
        let batch = expectation
            .run
            .batches
            .iter()
            .find(|batch| batch.batch_id == self.batch_id);
        if let (Some(batch), Some(missing)) = (batch, pair.missing.first()) {
            let position = row_values(&batch.rows).iter().position(|row| row == *missing);
            let parts = position
                .map(|row| expectation.explain(self.batch_id, row))
                .unwrap_or_default();
            return parts
                .iter()
                .map(|part| (part.row, (!part.counted).then(|| self.drop_of(part.row)).flatten()))
                .collect();
        }
        let Some(surplus) = pair.surplus.first() else {
            return Vec::new();
        };
        self.fitting(surplus)
    }

    /// The drop of a ledger row, the last up to this batch if there are several.
    fn drop_of(&self, row: usize) -> Option<&'a Drop> {
        let mut drops = self.evidence.expectation.ledger.drops.iter();
        drops.rfind(|drop| drop.batch_id <= self.batch_id && drop.rows.contains(&row))
    }

    /// The ledger's rows that fall in the row's window and have its keys.
    fn fitting(&mut self, row: &[Value]) -> Vec<Fate<'a>> {
        let window = self.shape.window_of(row);
        let keys = self.shape.source_keys(row);
        if window.is_none() && keys.is_empty() {
            return Vec::new();
        }
        let within = |row: &LedgerRow| match (window, row.event_time) {
            (Some((start, end)), Some(time)) => {
                start.is_none_or(|start| time >= start) && end.is_none_or(|end| time < end)
            }
            (window, _) => window.is_none(),
        };
        let ledger = &self.evidence.expectation.ledger;
        let fits: Vec<usize> = (0..ledger.rows.len())
            .filter(|n| within(&ledger.rows[*n]) && self.has_keys(&ledger.rows[*n], &keys))
            .collect();
        fits.into_iter().map(|row| (row, self.drop_of(row))).collect()
    }

    /// Whether a row has the values of `keys` in the columns they come from.
    fn has_keys(&mut self, row: &LedgerRow, keys: &[(Vec<(usize, usize)>, Value)]) -> bool {
        let trace = self.evidence.trace;
        let rows = self.sources.entry((row.stream, row.micro_batch)).or_insert_with(|| {
            trace.micro_batches[row.micro_batch].rows[row.stream]
                .as_ref()
                .map(row_values)
                .unwrap_or_default()
        });
        let Some(values) = rows.get(row.row) else { return false };
        keys.iter().all(|(sources, value)| {
            let mut own = sources.iter().filter(|(stream, _)| *stream == row.stream).peekable();
            own.peek().is_none() || own.any(|(_, column)| same_value(&values[*column], value))
        })
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

fn times(count: usize) -> String {
    if count == 1 {
        "this row".to_string()
    } else {
        format!("this row, {count} times")
    }
}

fn batch_list(ids: &[u64]) -> String {
    match ids {
        [] => "no other batch".to_string(),
        [id] => format!("batch {id}"),
        ids => format!(
            "batches {}",
            ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
        ),
    }
}

/// A line for each fate; what did not count explains most, so it comes first.
fn told(fates: &[Fate], evidence: &Evidence) -> Vec<String> {
    let mut fates = fates.to_vec();
    fates.sort_by_key(|(row, drop)| (drop.is_none(), *row));
    let mut lines: Vec<String> = fates
        .iter()
        .take(ROWS_TOLD)
        .map(|fate| told_fate(*fate, evidence))
        .collect();
    if fates.len() > ROWS_TOLD {
        lines.push(format!("and {} more rows", fates.len() - ROWS_TOLD));
    }
    lines
}

/// `row 17 of scotsmen, batch 6: event time 2024-12-03 10:02:59.999, dropped by the 3-minute aggregation, watermark
/// 2024-12-03 10:03:00.000`. Rows of a micro-batch are counted from 1, as the lines of its file.
fn told_fate((row, drop): Fate, evidence: &Evidence) -> String {
    let ledger_row = &evidence.expectation.ledger.rows[row];
    let stream = &evidence.job.streams[ledger_row.stream].0;
    let batch = ledger_row
        .batch_id
        .map_or("never read".to_string(), |batch_id| format!("batch {batch_id}"));
    let time = ledger_row.event_time.map_or("NULL".to_string(), shown_time_us);
    let first_drop = match ledger_row.admission {
        Admission::Dropped(n) => evidence.expectation.ledger.drops.get(n),
        _ => None,
    };
    let fate = match (drop.or(first_drop), ledger_row.admission) {
        (Some(drop), _) => dropped(drop, &evidence.expectation.operators),
        (None, Admission::LateAccepted) => "late but accepted".to_string(),
        (None, Admission::Filtered) => "left out by a condition of the query".to_string(),
        (None, Admission::NotRead) => "not read before the query ended".to_string(),
        (None, _) => "on time".to_string(),
    };
    format!(
        "row {} of {stream}, {batch}: event time {time}, {fate}",
        ledger_row.row + 1
    )
}

fn dropped(drop: &Drop, operators: &[String]) -> String {
    let operator = operators.get(drop.operator).map_or("an operator", String::as_str);
    format!(
        "dropped by the {operator}, watermark {}",
        shown_watermark(Some(drop.watermark))
    )
}
