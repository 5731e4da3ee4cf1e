//! One stream being made: arrivals first, rows where they are wanted.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{nullif, take};
use arrow::datatypes::SchemaRef;

use super::GeneratedBatch;
use crate::arrival::{Arrival, Arrivals, Arrived, NULL_TIME};
use crate::encode::{Encoder, JsonEncoder};
use crate::error::{Error, Result};
use crate::lateness::{self, Scene};
use crate::pace::Pace;
use crate::seed::Seed;
use crate::spec::StreamSpec;
use crate::stream::{self, StreamKind};

/// One stream being generated, micro-batch by micro-batch: arrivals first (cheap), rows where they are wanted.
pub struct Stream {
    kind: Arc<dyn StreamKind>,
    arrivals: Arrivals,
    trailing: u64,
    json: Option<JsonEncoder>,
}

impl Stream {
    /// Stream `name` of `specs`, which must have been checked.
    ///
    /// # Errors
    /// When the stream is not there, or draws keys from one that is not.
    pub fn new(name: &str, specs: &[(String, StreamSpec)], seed: u64) -> Result<Stream> {
        let seed = Seed::new(seed);
        let kind = stream::build(name, specs, &seed)?;
        let Some((_, spec)) = specs.iter().find(|(known, _)| known == name) else {
            return Err(Error::Unsupported(format!("there is no stream `{name}`")));
        };
        let seed = seed.named(name);
        let schema = kind.schema();
        let is_text = |field: &Arc<arrow::datatypes::Field>| *field.data_type() == arrow::datatypes::DataType::Utf8;
        let scene = Scene {
            seed: seed.named("lateness"),
            sources: seed.named("sources"),
            start: spec.start.0,
            text_columns: schema.fields().iter().map(is_text).collect(),
            time_column: kind.time_column(),
        };
        let pace = Pace::new(&spec.pace, spec.start.0, &seed);
        let batches_from = spec.batches_from.unwrap_or(spec.start).0;
        let layers = lateness::layers(&spec.lateness, &scene);
        let arrivals = Arrivals::new(name, spec.rows, pace, layers, spec.cut(), batches_from).shifted(kind.shift());
        let json = lateness::corrupts(&spec.lateness).then(|| JsonEncoder::new(&schema));
        Ok(Stream {
            kind,
            arrivals,
            trailing: spec.trailing_batches,
            json,
        })
    }

    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        self.kind.schema()
    }

    /// The column with the event time, if there is one.
    pub fn time_column(&self) -> Option<usize> {
        self.kind.time_column()
    }

    /// Rows that have happened so far.
    pub fn rows_made(&self) -> u64 {
        self.arrivals.rows_made()
    }

    /// The arrivals of the next micro-batch; `None` after the last.
    ///
    /// # Errors
    /// When the stream would need too many micro-batches.
    pub fn next_arrivals(&mut self) -> Result<Option<Arrived>> {
        if let Some(arrivals) = self.arrivals.next_micro_batch()? {
            return Ok(Some(arrivals));
        }
        if self.trailing == 0 {
            return Ok(None);
        }
        self.trailing -= 1;
        Ok(Some(Arrived::Mixed(vec![])))
    }

    /// The micro-batch of these arrivals.
    ///
    /// # Errors
    /// When rows cannot be built.
    pub fn batch(&self, arrived: Arrived) -> Result<GeneratedBatch> {
        let sent = self.rows(&arrived)?;
        let arrivals = arrived.into_arrivals();
        let Some(json) = &self.json else {
            return Ok(GeneratedBatch {
                rows: sent,
                raw: None,
                arrivals,
            });
        };
        let mut raw = vec![];
        json.encode_spoilt(&sent, |row| arrivals[row].fault, &mut raw)?;
        Ok(GeneratedBatch {
            rows: parsed(&sent, &arrivals)?,
            raw: Some(raw),
            arrivals,
        })
    }

    /// Appends the file of these arrivals to `out`.
    ///
    /// # Errors
    /// When rows cannot be built or encoded.
    pub fn encode(&self, arrived: &Arrived, encoder: &Encoder, out: &mut Vec<u8>) -> Result<()> {
        self.encode_rows(&self.rows(arrived)?, arrived, encoder, out)
    }

    /// As [`Stream::encode`], with the rows of these arrivals at hand.
    pub(crate) fn encode_rows(
        &self,
        sent: &RecordBatch,
        arrived: &Arrived,
        encoder: &Encoder,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        match (&self.json, arrived) {
            (Some(json), Arrived::Mixed(arrivals)) => json.encode_spoilt(sent, |row| arrivals[row].fault, out),
            _ => encoder.encode(sent, out),
        }
    }

    /// The rows of these arrivals as they are sent, before anything spoils them.
    ///
    /// # Errors
    /// When rows cannot be built.
    pub fn rows(&self, arrived: &Arrived) -> Result<RecordBatch> {
        match arrived {
            Arrived::InOrder { first_row, times } => {
                let rows: Vec<u64> = (*first_row..*first_row + times.len() as u64).collect();
                self.kind.rows(&rows, times)
            }
            Arrived::Mixed(arrivals) => self.mixed_rows(arrivals),
        }
    }

    fn mixed_rows(&self, arrivals: &[Arrival]) -> Result<RecordBatch> {
        let rows = if arrivals.is_sorted_by_key(|arrival| arrival.row) {
            let rows: Vec<u64> = arrivals.iter().map(|arrival| arrival.row).collect();
            let times: Vec<i64> = arrivals.iter().map(|arrival| arrival.event_time).collect();
            self.kind.rows(&rows, &times)?
        } else {
            self.rows_out_of_order(arrivals)?
        };
        let Some(column) = self.kind.time_column() else {
            return Ok(rows);
        };
        with_column(&rows, column, stamps(arrivals))
    }

    /// Draws cost least in row order, so rows are made in it and then put in the order of arrival.
    fn rows_out_of_order(&self, arrivals: &[Arrival]) -> Result<RecordBatch> {
        let by_row = in_row_order(arrivals);
        let rows: Vec<u64> = by_row.iter().map(|(row, _)| *row).collect();
        let times: Vec<i64> = by_row
            .iter()
            .map(|(_, place)| arrivals[*place as usize].event_time)
            .collect();
        let made = self.kind.rows(&rows, &times)?;
        let mut source = vec![0u32; arrivals.len()];
        for (made_at, (_, place)) in by_row.iter().enumerate() {
            source[*place as usize] = made_at as u32;
        }
        let source = UInt32Array::from(source);
        let mut columns = made.columns().to_vec();
        for (index, column) in columns.iter_mut().enumerate() {
            // Event times are set from the arrivals afterwards.
            if self.kind.time_column() != Some(index) {
                *column = take(&*column, &source, None)?;
            }
        }
        Ok(RecordBatch::try_new(made.schema(), columns)?)
    }
}

/// Rows with their places in `arrivals`, by row: most already ascend, the late ones are sorted and merged in.
fn in_row_order(arrivals: &[Arrival]) -> Vec<(u64, u32)> {
    let mut ascending = Vec::with_capacity(arrivals.len());
    let mut late = vec![];
    let mut latest = None;
    for (place, arrival) in arrivals.iter().enumerate() {
        let entry = (arrival.row, place as u32);
        if Some(arrival.row) >= latest {
            latest = Some(arrival.row);
            ascending.push(entry);
        } else {
            late.push(entry);
        }
    }
    late.sort_unstable();
    ascending.append(&mut late);
    // Two ascending runs: the stable sort finds and merges them.
    ascending.sort();
    ascending
}

fn stamps(arrivals: &[Arrival]) -> ArrayRef {
    let stamps: TimestampMicrosecondArray = if arrivals.iter().any(|arrival| arrival.stamp == NULL_TIME) {
        arrivals
            .iter()
            .map(|arrival| (arrival.stamp != NULL_TIME).then_some(arrival.stamp))
            .collect()
    } else {
        arrivals
            .iter()
            .map(|arrival| arrival.stamp)
            .collect::<Vec<i64>>()
            .into()
    };
    Arc::new(stamps.with_timezone("+00:00"))
}

fn with_column(rows: &RecordBatch, column: usize, values: ArrayRef) -> Result<RecordBatch> {
    let mut columns = rows.columns().to_vec();
    columns[column] = values;
    Ok(RecordBatch::try_new(rows.schema(), columns)?)
}

/// What a parser makes of the rows: NULL where a fault hides a value.
fn parsed(sent: &RecordBatch, arrivals: &[Arrival]) -> Result<RecordBatch> {
    if arrivals.iter().all(|arrival| arrival.fault.is_none()) {
        return Ok(sent.clone());
    }
    let column = |(index, values): (usize, &ArrayRef)| {
        let hidden = arrivals
            .iter()
            .map(|arrival| Some(arrival.fault.is_some_and(|fault| fault.hides(index))));
        nullif(values, &hidden.collect::<BooleanArray>())
    };
    let columns: std::result::Result<Vec<ArrayRef>, _> = sent.columns().iter().enumerate().map(column).collect();
    Ok(RecordBatch::try_new(sent.schema(), columns?)?)
}
