//! One micro-batch after another: what is in each, and how a crash between any two lines is repaired.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use crate::checkpoint::{Checkpoint, OffsetEntry, OffsetMetadata, Resumed};
use crate::clock::Clock;
use crate::operator::{Incoming, Input, Turn};
use crate::plan::Prepared;
use crate::progress::BatchProgress;
use crate::sink::Sink;
use crate::source::{Offset, ReadLimit, Source};
use crate::sql::BatchTime;
use crate::watermark::{MultipleWatermarkPolicy, Observed, WatermarkTracker};
use crate::{Error, OutputMode, Result};

/// The setting that says how several watermarks make one; it holds for the life of a query.
pub(crate) const POLICY: &str = "spark.sql.streaming.multipleWatermarkPolicy";

/// The execution of a query: everything that changes from batch to batch.
pub(crate) struct MicroBatches {
    pub prepared: Prepared,
    pub mode: OutputMode,
    pub sources: Vec<Box<dyn Source>>,
    pub sink: Box<dyn Sink>,
    pub checkpoint: Option<Checkpoint>,
    pub clock: Arc<dyn Clock>,
    pub batch_time: BatchTime,
    pub no_data_batches: bool,
    /// Settings that go to the offset log.
    pub conf: BTreeMap<String, String>,
    position: Position,
}

/// Where a run stands between two batches.
struct Position {
    next_batch: u64,
    ends: Vec<Option<Offset>>,
    tracker: WatermarkTracker,
    /// Watermark of the batch before: bounds late rows of the next.
    late_ms: i64,
    /// Whether the last batch *of this run* left something to do without data; a restart forgets it.
    owes_batch: bool,
    /// A batch of an earlier run that was logged and not committed.
    pending: Option<OffsetEntry>,
}

impl MicroBatches {
    /// Starts, or resumes where the checkpoint says.
    pub(crate) fn start(
        prepared: Prepared,
        mode: OutputMode,
        sources: Vec<Box<dyn Source>>,
        sink: Box<dyn Sink>,
        checkpoint: Option<Checkpoint>,
        clock: Arc<dyn Clock>,
        batch_time: BatchTime,
        conf: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let resumed = checkpoint
            .as_ref()
            .map(Checkpoint::resume)
            .transpose()?
            .unwrap_or_default();
        let no_data_batches = flag(conf, "spark.sql.streaming.noDataMicroBatches.enabled", true)?;
        let conf = kept_settings(conf, &resumed);
        let position = Position::of(&resumed, &prepared, sources.len(), policy(&conf)?);
        let mut batches = Self {
            prepared,
            mode,
            sources,
            sink,
            checkpoint,
            clock,
            batch_time,
            no_data_batches,
            conf,
            position,
        };
        for source in &mut batches.sources {
            source.use_clock(Arc::clone(&batches.clock));
        }
        batches.restore(&resumed)?;
        Ok(batches)
    }

    fn restore(&mut self, resumed: &Resumed) -> Result<()> {
        let Some(checkpoint) = &self.checkpoint else {
            return Ok(());
        };
        for (index, source) in self.sources.iter_mut().enumerate() {
            source.restore(checkpoint.source_dir(index).as_deref())?;
        }
        if let Some((last, _)) = &resumed.committed {
            if checkpoint.is_spark_s() {
                return self.refuse_state();
            }
            let tables = checkpoint.read_state(last.batch_id)?;
            self.prepared.root.restore(&mut tables.into_iter())?;
        }
        Ok(())
    }

    /// Spark's state cannot be read; a query without any can go on from Spark's offsets.
    fn refuse_state(&self) -> Result<()> {
        let mut tables = Vec::new();
        self.prepared.root.snapshot(&mut tables)?;
        if tables.is_empty() {
            return Ok(());
        }
        Err(Error::Invalid(
            "the checkpoint is Spark's: its offsets can be taken up, its state cannot, and this query has state; start it with a \
             checkpoint of its own"
                .into(),
        ))
    }

    /// From here on, only what is available now.
    pub(crate) fn prepare_available_now(&mut self) -> Result<()> {
        self.sources
            .iter_mut()
            .try_for_each(|source| source.prepare_available_now())
    }

    /// Runs the next micro-batch, if there is anything to do (spark-semantics 1.1).
    pub(crate) fn run_next(&mut self, limit: ReadLimit, without_data: bool) -> Result<Option<BatchProgress>> {
        let Some(batch) = self.construct_next(limit, without_data)? else {
            return Ok(None);
        };
        let batch_id = batch.batch_id;
        self.run(batch).map(Some).map_err(|error| match error {
            failed @ Error::StreamFailed { .. } => failed,
            source => Error::StreamFailed {
                batch_id,
                source: Box::new(source),
            },
        })
    }

    fn construct_next(&mut self, limit: ReadLimit, without_data: bool) -> Result<Option<OffsetEntry>> {
        if let Some(pending) = self.position.pending.take() {
            return Ok(Some(pending)); // as it was logged, whatever has arrived since
        }
        let starts = &self.position.ends;
        let mut ends = Vec::with_capacity(starts.len());
        for (source, start) in self.sources.iter_mut().zip(starts) {
            let latest = source.latest_offset(start.as_ref(), limit)?;
            ends.push(latest.or_else(|| start.clone()));
        }
        let new_data = ends != *starts;
        let due = without_data && self.no_data_batches && self.position.owes_batch;
        if !new_data && !due {
            return Ok(None);
        }
        let entry = OffsetEntry {
            batch_id: self.position.next_batch,
            metadata: OffsetMetadata {
                batch_watermark_ms: self.position.tracker.global_ms(),
                batch_timestamp_ms: self.clock.now_ms(),
                conf: self.conf.clone(),
            },
            ends,
        };
        if let Some(checkpoint) = &mut self.checkpoint {
            checkpoint.log_offsets(&entry)?; // from here on, a restart repeats exactly this batch
        }
        Ok(Some(entry))
    }

    fn run(&mut self, batch: OffsetEntry) -> Result<BatchProgress> {
        let watermark_ms = batch.metadata.batch_watermark_ms;
        self.batch_time.set(batch.metadata.batch_timestamp_ms);
        // A watermark above a watermark is an error also where no operator asks.
        self.prepared.root.output_watermark(watermark_ms)?;
        let Emitted {
            rows,
            observed,
            input_rows,
        } = self.emit(&batch)?;
        self.sink.write(batch.batch_id, &rows, self.mode)?; // a sink ignores an id it already has

        self.position.tracker.advance(&observed);
        self.commit(&batch)?;
        let mut operators = Vec::new();
        self.prepared.root.progress(&mut operators);
        let warnings = self.sources.iter_mut().flat_map(|source| source.warnings()).collect();
        Ok(BatchProgress {
            batch_id: batch.batch_id,
            watermark_ms: self.position.tracker.is_watermarked().then_some(watermark_ms),
            input_rows,
            output_rows: rows.num_rows() as u64,
            operators,
            warnings,
        })
    }

    /// Reads the batch and runs it through the operators. A source with much to read does so on a thread of its own, while
    /// operators work on what it has read.
    fn emit(&mut self, batch: &OffsetEntry) -> Result<Emitted> {
        let readers = &self.prepared.readers;
        let root = &mut self.prepared.root;
        let mut pumps = Vec::new();
        let mut supplies = Vec::new();
        let spans = self.position.ends.iter().zip(&batch.ends);
        for ((source, (start, end)), readers) in self.sources.iter_mut().zip(spans).zip(readers) {
            supplies.push(match end {
                Some(end) if start.as_ref() != Some(end) => {
                    // Rows on their way can be had once only.
                    if *readers == 1 && source.has_many(start.as_ref(), end) {
                        let (pump, incoming) = Incoming::new();
                        pumps.push((pump, source, start.as_ref(), end));
                        Supply::Coming(incoming)
                    } else {
                        Supply::Here(source.read(start.as_ref(), end)?)
                    }
                }
                _ => Supply::Here(vec![]),
            });
        }
        let input: Vec<Input> = supplies.iter().map(Supply::input).collect();
        let mut turn = Turn {
            input: &input,
            late_ms: self.position.late_ms,
            evict_ms: batch.metadata.batch_watermark_ms,
            mode: self.mode,
            observed: Observed::default(),
        };
        let emitted = std::thread::scope(|scope| {
            for (pump, source, start, end) in pumps {
                scope.spawn(move || pump.run(source.as_mut(), start, end));
            }
            let emitted = root.run(&mut turn);
            supplies.iter().for_each(Supply::close); // no source waits for operators that have failed
            emitted
        });
        Ok(Emitted {
            rows: one_batch(emitted?, &self.prepared.schema)?,
            observed: turn.observed,
            input_rows: supplies.iter().map(Supply::rows).collect(),
        })
    }

    fn commit(&mut self, batch: &OffsetEntry) -> Result<()> {
        let watermark_ms = batch.metadata.batch_watermark_ms;
        let next_ms = self.position.tracker.global_ms();
        if let Some(checkpoint) = &mut self.checkpoint {
            let mut tables = Vec::new();
            self.prepared.root.snapshot(&mut tables)?;
            checkpoint.write_state(batch.batch_id, &tables)?;
            checkpoint.log_commit(batch.batch_id, next_ms)?;
        }
        for (source, end) in self.sources.iter_mut().zip(&batch.ends) {
            if let Some(end) = end {
                source.commit(end)?;
            }
        }
        // A plan whose watermarks cannot be derived fails in the next batch, which is then due; this one is done. Spark
        // derives them whether or not an operator asks.
        let root = &self.prepared.root;
        let derived = root.output_watermark(next_ms);
        let owes = derived.and_then(|_| root.wants_another_batch(watermark_ms, next_ms, self.mode));
        self.position.owes_batch = owes.unwrap_or(true);
        self.position.late_ms = watermark_ms;
        self.position.next_batch = batch.batch_id + 1;
        self.position.ends = batch.ends.clone();
        Ok(())
    }
}

/// What a batch emitted, and what was seen on the way.
struct Emitted {
    rows: RecordBatch,
    observed: Observed,
    input_rows: Vec<u64>,
}

/// The rows of a source for one batch.
enum Supply {
    Here(Vec<RecordBatch>),
    Coming(Incoming),
}

impl Supply {
    fn input(&self) -> Input<'_> {
        match self {
            Supply::Here(rows) => Input::Here(rows.clone()),
            Supply::Coming(incoming) => Input::Coming(incoming),
        }
    }

    fn close(&self) {
        if let Supply::Coming(incoming) = self {
            incoming.close();
        }
    }

    fn rows(&self) -> u64 {
        match self {
            Supply::Here(rows) => rows.iter().map(|batch| batch.num_rows() as u64).sum(),
            Supply::Coming(incoming) => incoming.rows(),
        }
    }
}

impl Position {
    fn of(resumed: &Resumed, prepared: &Prepared, sources: usize, policy: MultipleWatermarkPolicy) -> Self {
        let fresh = |next_batch, ends, global_ms, late_ms| Position {
            next_batch,
            ends,
            tracker: WatermarkTracker::new(prepared.delays_ms.clone(), policy, global_ms),
            late_ms,
            owes_batch: false,
            pending: resumed.pending.clone(),
        };
        match &resumed.committed {
            None => fresh(0, vec![None; sources], 0, 0),
            Some((last, next_watermark_ms)) => {
                let late_ms = last.metadata.batch_watermark_ms;
                fresh(
                    last.batch_id + 1,
                    last.ends.clone(),
                    late_ms.max(*next_watermark_ms),
                    late_ms,
                )
            }
        }
    }
}

/// The settings a query keeps for life, as Spark's `OffsetSeqMetadata` has it: those its newest batch was logged with,
/// committed or not. Only where there is none do the session's count. A log that does not say has Spark's default.
fn kept_settings(session: &BTreeMap<String, String>, resumed: &Resumed) -> BTreeMap<String, String> {
    let committed = resumed.committed.as_ref().map(|(last, _)| last);
    let mut kept = match resumed.pending.as_ref().or(committed) {
        Some(newest) => newest.metadata.conf.clone(),
        None => session.clone().into_iter().filter(|(name, _)| name == POLICY).collect(),
    };
    kept.entry(POLICY.to_string()).or_insert_with(|| "min".to_string());
    kept
}

fn policy(conf: &BTreeMap<String, String>) -> Result<MultipleWatermarkPolicy> {
    match conf.get(POLICY).map(|p| p.to_lowercase()).as_deref() {
        None | Some("min") => Ok(MultipleWatermarkPolicy::Min),
        Some("max") => Ok(MultipleWatermarkPolicy::Max),
        Some(other) => Err(Error::Invalid(format!("{POLICY} is `{other}`; write `min` or `max`"))),
    }
}

/// A setting that is true or false.
pub(crate) fn flag(conf: &BTreeMap<String, String>, name: &str, default: bool) -> Result<bool> {
    match conf.get(name).map(|value| value.to_lowercase()).as_deref() {
        None => Ok(default),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(Error::Invalid(format!("{name} is `{other}`; write `true` or `false`"))),
    }
}

/// What a batch emitted as one batch with the query's names.
fn one_batch(mut emitted: Vec<RecordBatch>, schema: &SchemaRef) -> Result<RecordBatch> {
    let rows = match emitted.len() {
        0 => return Ok(RecordBatch::new_empty(Arc::clone(schema))),
        1 => emitted.swap_remove(0),
        _ => {
            let first = emitted[0].schema();
            concat_batches(&first, &emitted)?
        }
    };
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        rows.columns().to_vec(),
        &options,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_logged_batch_says_which_policy_holds() {
        let (min, max) = (Some("min"), Some("max"));
        for (committed, pending, session, wanted) in [
            (None, None, max, "max"),
            (None, None, None, "min"),
            (Some(max), None, min, "max"),
            (Some(min), Some(max), min, "max"),
            (None, Some(max), min, "max"),
            (Some(None), None, max, "min"), // a log from before anybody could choose
        ] {
            let resumed = Resumed {
                committed: committed.map(|policy| (logged_with(policy), 0)),
                pending: pending.map(logged_with),
            };
            let kept = kept_settings(&settings(session), &resumed);
            assert_eq!(kept[POLICY], wanted, "{committed:?}, {pending:?}, {session:?}");
        }
    }

    #[test]
    fn whether_batches_without_data_run_is_asked_at_every_start() {
        let session = BTreeMap::from([("spark.sql.streaming.noDataMicroBatches.enabled".into(), "false".into())]);
        let kept = kept_settings(&session, &Resumed::default());
        assert_eq!(kept, settings(Some("min")), "only what Spark keeps goes to the log");
    }

    fn settings(policy: Option<&str>) -> BTreeMap<String, String> {
        policy
            .map(|policy| (POLICY.to_string(), policy.to_string()))
            .into_iter()
            .collect()
    }

    fn logged_with(policy: Option<&str>) -> OffsetEntry {
        OffsetEntry {
            batch_id: 0,
            metadata: OffsetMetadata {
                batch_watermark_ms: 0,
                batch_timestamp_ms: 0,
                conf: settings(policy),
            },
            ends: vec![],
        }
    }
}
