//! The batch oracle: expected rows of every micro-batch, derived from the trace alone, and a ledger of every input row.
//!
//! The engine is incremental; the oracle is relational and slow. It shares the SQL front end with the engine and
//! nothing else: window arithmetic, where filters sink, watermarks, lateness and eviction are derived here a second
//! time, from the rules and over the whole history.
//!
//! A job goes through [`convert`] (names become numbers), [`refuse`] (what Spark does not run), [`place`] (where
//! conditions end up), [`step`] (expressions compiled) once; a trace then through [`schedule`] (which batches, which
//! watermarks) and [`derive`] (which rows).

mod advance;
mod advice;
mod aggregate;
mod conjuncts;
mod convert;
mod derive;
mod expectation;
mod join;
mod ledger;
mod member;
mod place;
mod refuse;
mod scalar;
mod schedule;
mod sink;
mod stage;
mod state_watermark;
mod step;
mod table;
mod tree;
mod window;

use std::collections::BTreeMap;
use std::sync::Mutex;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::logical_expr::LogicalPlan;
use skirl_engine::sql::{self, BatchTime};
use skirl_engine::{Error, OutputMode, Result};
use std::sync::Arc;

use crate::job::{BatchClock, Feed, Job};
use crate::run::{Failure, OutputBatch, Run};
use crate::trace::Trace;
use derive::Derivation;
use schedule::{Batch, Watermarks, propagate};
use step::{Op, StaticRows, Step, Steps};
use tree::Kind;

pub use advice::Advice;
pub use expectation::{Expectation, Freedom, Part};
pub use ledger::{Admission, Drop, Ledger, LedgerRow};

/// What a query must emit for a trace: the answer of [`Oracle::expect`] with everything planned anew.
pub fn expect(job: &Job, trace: &Trace) -> Expectation {
    match Oracle::new(job) {
        Ok(oracle) => oracle.expect(trace),
        Err(failure) => Expectation::refused(failure),
    }
}

/// A job's query, ready to be derived for many traces.
pub struct Oracle {
    mode: OutputMode,
    ansi: bool,
    feed: Feed,
    /// Whether the sink refuses a restart.
    sink_forgets: bool,
    clock: BatchClock,
    follows_fastest: bool,
    no_data_batches: bool,
    streams: Vec<(String, SchemaRef)>,
    /// Which of the streams the query reads.
    reads: Vec<bool>,
    schema: SchemaRef,
    /// What fails as soon as a batch runs, or how to derive the rows.
    steps: std::result::Result<Steps, Error>,
    delays_ms: Vec<i64>,
    advice: Vec<Advice>,
    freedoms: Vec<Freedom>,
    batch_time: BatchTime,
    /// Two derivations must not set the time of a batch at once.
    time_in_use: Mutex<()>,
}

impl Oracle {
    /// Plans a job's query.
    ///
    /// # Errors
    /// What Spark refuses before the query starts, with Spark's condition, and `SKIRL_UNSUPPORTED` for what Spark runs and
    /// the oracle does not derive yet. What Spark refuses first comes first.
    pub fn new(job: &Job) -> Result<Oracle, Failure> {
        Self::plan(job).map_err(|error| Failure::from(&error))
    }

    fn plan(job: &Job) -> Result<Oracle> {
        let catalog = job.catalog()?;
        let batch_time = catalog.batch_time().clone();
        batch_time.set(job.clock.at(0));
        let plan = catalog.plan(&job.sql)?;
        sink::check_start(job)?;

        let converted = convert::convert(&plan, job)?;
        let mode = job.output_mode;
        refuse::check_analysis(&converted.root, mode)?;
        let is_watermark = |node: &&tree::Node| matches!(node.kind, Kind::Watermark { .. });
        let is_watermarked = converted.root.walk().iter().any(is_watermark);
        let time_failure = refuse::time_failure(&converted.root, &converted.tables);
        let domain_failure = converted
            .domain
            .map(|kind| refuse::domain_failure(kind, mode))
            .transpose()?;
        let root = place::optimised(converted.root);
        let start_failure = || refuse::start_failure(&root, mode);
        let steps = match time_failure.or(domain_failure).or_else(start_failure) {
            Some(failure) => Err(failure),
            None => {
                refuse::check_supported(&root)?;
                match sink::write_failure(job, &output_schema(&plan)) {
                    Some(failure) => Err(failure),
                    None => compiled(&root, mode, &converted.tables, job)?,
                }
            }
        };
        let kinds: Vec<&Kind> = root.walk().into_iter().map(|node| &node.kind).collect();
        let reads = |stream: usize| {
            kinds
                .iter()
                .any(|k| matches!(k, Kind::Stream { stream: s, .. } if *s == stream))
        };
        let delay = |step: &Step| match step.op {
            Op::Watermark { delay_ms, number, .. } => Some((number, delay_ms)),
            _ => None,
        };
        let mut delays: Vec<(usize, i64)> = steps
            .as_ref()
            .map_or(vec![], |s| all_steps(&s.root).filter_map(delay).collect());
        delays.sort_unstable();
        delays.dedup();
        if is_watermarked && delays.is_empty() {
            delays.push((0, 0)); // it shows a watermark, though nothing is left that could move it
        }
        let setting = |name: &str| job.conf.get(name).map(|value| value.to_lowercase());
        Ok(Oracle {
            mode,
            ansi: setting("spark.sql.ansi.enabled").as_deref() != Some("false"),
            feed: job.feed.clone(),
            sink_forgets: sink::forgets(job),
            clock: job.clock.clone(),
            follows_fastest: setting("spark.sql.streaming.multipleWatermarkPolicy").as_deref() == Some("max"),
            no_data_batches: setting("spark.sql.streaming.noDataMicroBatches.enabled").as_deref() != Some("false"),
            reads: (0..job.streams.len()).map(reads).collect(),
            streams: job.streams.clone(),
            schema: output_schema(&plan),
            delays_ms: delays.into_iter().map(|(_, delay)| delay).collect(),
            advice: advice::of_query(&root, mode),
            freedoms: freedoms(&root),
            steps,
            batch_time,
            time_in_use: Mutex::new(()),
        })
    }

    /// Derives what the query must emit for a trace, how it ends, and what becomes of every input row.
    pub fn expect(&self, trace: &Trace) -> Expectation {
        let _turn = self
            .asks_for_time()
            .then(|| self.time_in_use.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        let derived = match self.until_refused_restart(trace) {
            Some(first_run) => self.derived(&first_run).map(|mut expectation| {
                let refusal = || Failure::from(&sink::refused_restart());
                expectation.run.error.get_or_insert_with(refusal);
                expectation
            }),
            None => self.derived(trace),
        };
        derived.unwrap_or_else(|error| Expectation::refused(Failure::from(&error)))
    }

    /// What of a trace is executed before a restart that the sink refuses, if there is one.
    fn until_refused_restart(&self, trace: &Trace) -> Option<Trace> {
        let mut runs = schedule::runs(&self.feed, trace.micro_batches.len()).into_iter();
        let first = runs.next().filter(|_| self.sink_forgets && runs.next().is_some())?;
        Some(Trace {
            micro_batches: trace.micro_batches[first].to_vec(),
        })
    }

    /// What the query returns, by Spark's names.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What each operator with state is, topmost first.
    pub fn operators(&self) -> &[String] {
        self.steps.as_ref().map_or(&[], |steps| &steps.operators)
    }

    fn watermarks(&self) -> usize {
        self.delays_ms.len()
    }

    fn parts(&self) -> usize {
        self.steps.as_ref().map_or(0, |steps| steps.parts)
    }

    fn asks_for_time(&self) -> bool {
        self.steps.as_ref().is_ok_and(|steps| steps.asks_for_time)
    }

    fn set_batch_time(&self, batch: u32) {
        self.batch_time.set(self.clock.at(u64::from(batch)));
    }

    fn derived(&self, trace: &Trace) -> Result<Expectation> {
        let mut d = Derivation::new(self, trace)?;
        let root = match &self.steps {
            Ok(steps) if steps.failure.is_none() => &steps.root,
            Ok(steps) => return Ok(self.fails_at_once(d, trace, steps.failure.as_ref().expect("just seen"))),
            Err(failure) => return Ok(self.fails_at_once(d, trace, failure)),
        };
        let steps = self
            .steps
            .as_ref()
            .map_err(|_| Error::Invalid("a query that fails has no steps".into()))?;
        let ahead = !steps.asks_for_time && !steps.watermark_above_state;
        let table = if ahead {
            self.watermarks_ahead(&mut d, root, trace)?
        } else {
            self.batch_by_batch(&mut d, root, trace)?
        };
        self.expectation(d, table, trace)
    }

    /// Watermarks depend on the input alone: all batches are known before state is looked at.
    fn watermarks_ahead(&self, d: &mut Derivation, root: &Step, trace: &Trace) -> Result<table::Table> {
        d.schedule.by_micro_batch();
        d.derive_parts(root)?;
        let seen = d.seen.clone();
        let failed = d.failure.take();
        d.schedule.clear();
        self.execute(d, root, trace, |_, micro_batch| Ok(latest(&seen, micro_batch)))?;
        if let Some((micro_batch, error)) = failed {
            let batch = d.schedule.batch_of(micro_batch);
            d.fail(batch, error);
        }
        d.derive(root)
    }

    /// Everything so far is derived anew for the watermark of each next batch.
    fn batch_by_batch(&self, d: &mut Derivation, root: &Step, trace: &Trace) -> Result<table::Table> {
        self.execute(d, root, trace, |d, _| {
            let batch = d.schedule.len() as u32 - 1;
            Self::derive_anew(d, root)?;
            Ok(latest(&d.seen, Some(batch as usize)))
        })?;
        Self::derive_anew(d, root)
    }

    fn derive_anew(d: &mut Derivation, root: &Step) -> Result<table::Table> {
        d.ledger.clear();
        d.groups.clear();
        d.seen.iter_mut().for_each(|seen| seen.clear());
        d.derive(root)
    }

    /// Executes batches run by run; `latest` tells what each watermark saw in the batch just executed.
    fn execute<'d>(
        &self,
        d: &mut Derivation<'d>,
        root: &Step,
        trace: &Trace,
        mut latest: impl FnMut(&mut Derivation<'d>, Option<usize>) -> Result<Vec<Option<i64>>>,
    ) -> Result<()> {
        let mut watermarks = Watermarks::new(self.watermarks(), self.follows_fastest);
        for run in schedule::runs(&self.feed, trace.micro_batches.len()) {
            watermarks.restart();
            let with_data = run
                .filter(|micro_batch| schedule::has_file(self, trace, *micro_batch))
                .map(Some);
            let mut idle = true;
            for micro_batch in with_data {
                idle = false;
                if !self.execute_batch(d, root, micro_batch, &mut watermarks, &mut latest)? {
                    return Ok(());
                }
            }
            while !idle && self.wants_batch(d, root, &watermarks) {
                if !self.execute_batch(d, root, None, &mut watermarks, &mut latest)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn execute_batch<'d>(
        &self,
        d: &mut Derivation<'d>,
        root: &Step,
        micro_batch: Option<usize>,
        watermarks: &mut Watermarks,
        latest: &mut impl FnMut(&mut Derivation<'d>, Option<usize>) -> Result<Vec<Option<i64>>>,
    ) -> Result<bool> {
        let evict = match propagate(root, watermarks.global, d.schedule.zeros()) {
            Ok(evict) => evict,
            Err(error) => {
                let batch = d.schedule.len() as u32;
                d.schedule.push(Batch {
                    micro_batch,
                    watermark: watermarks.global,
                    evict: d.schedule.zeros(),
                });
                d.fail(batch, error);
                return Ok(false);
            }
        };
        d.schedule.push(Batch {
            micro_batch,
            watermark: watermarks.global,
            evict,
        });
        let latest = latest(d, micro_batch)?;
        watermarks.advance(&latest, &self.delays_ms);
        Ok(d.failure.is_none())
    }

    fn wants_batch(&self, d: &Derivation, root: &Step, watermarks: &Watermarks) -> bool {
        let Some(last) = d.schedule.batches.last() else {
            return false;
        };
        match propagate(root, watermarks.global, d.schedule.zeros()) {
            Ok(next) => self.no_data_batches && schedule::wants_batch(root, self.mode, &last.evict, &next),
            // Asking fails as planning the batch does: let the batch say so.
            Err(_) => self.no_data_batches,
        }
    }

    fn expectation(&self, mut d: Derivation, table: table::Table, trace: &Trace) -> Result<Expectation> {
        d.ledger.enter(&table.lineage);
        let executed = d
            .failure
            .as_ref()
            .map_or(d.schedule.len(), |(batch, _)| (*batch as usize).min(d.schedule.len()));
        let rows = table::rows_of(&self.schema, table.columns.clone(), table.len())?;
        let mut batches = vec![];
        let mut origins = vec![];
        for (number, batch) in d.schedule.batches[..executed].iter().enumerate() {
            let range = table.of_batch(number as u32);
            origins.push(
                range
                    .clone()
                    .map(|row| table.lineage.parents_of(row).collect())
                    .collect(),
            );
            let of_operators = |count: fn(&derive::Facts) -> &Vec<u64>| -> Vec<u64> {
                d.operators
                    .iter()
                    .map(|facts| count(facts).get(number).copied().unwrap_or(0))
                    .collect()
            };
            let runs = self.steps.as_ref().map_or(&[][..], |steps| &steps.runs);
            let state_rows = of_operators(|facts| &facts.state_rows);
            batches.push(OutputBatch {
                batch_id: number as u64,
                watermark: (self.watermarks() > 0).then_some(batch.watermark),
                input_rows: self.input_rows(trace, batch.micro_batch),
                rows: rows.slice(range.start, range.len()),
                state_rows: state_rows.iter().zip(runs).map(|(rows, runs)| rows * runs).collect(),
                dropped: of_operators(|facts| &facts.dropped),
            });
        }
        self.settle(&mut d, executed);
        let mut advice = self.advice.clone();
        advice.extend(advice::of_state(&d, self.operators()));
        let error = d
            .failure
            .take()
            .map(|(batch_id, source)| failed_in(u64::from(batch_id), source));
        Ok(Expectation {
            run: Run { batches, error },
            ledger: d.ledger,
            operators: self.operators().to_vec(),
            advice,
            freedoms: self.freedoms.clone(),
            origins,
            groups: d.groups,
        })
    }

    fn settle(&self, d: &mut Derivation, executed: usize) {
        // A row of which an operator dropped some windows counts as dropped only if it dropped all.
        let mut kept = vec![false; d.ledger.rows.len()];
        for group in &d.groups {
            for parent in group.members.iter().flat_map(|(_, parents)| parents) {
                if let Some(kept) = kept.get_mut(*parent as usize) {
                    *kept = true;
                }
            }
        }
        let schedule = d.schedule.clone();
        let batch_of = |micro_batch: usize| {
            let batch = schedule.batch_of(micro_batch as u32) as usize;
            (batch < executed).then_some(batch as u64)
        };
        d.ledger
            .settle(batch_of, |batch| schedule.late_watermark(batch as u32), &kept);
    }

    fn input_rows(&self, trace: &Trace, micro_batch: Option<usize>) -> Vec<u64> {
        let read = self.reads.iter().enumerate().filter(|(_, read)| **read);
        let rows = |stream: usize| micro_batch.and_then(|m| trace.micro_batches[m].rows.get(stream)?.as_ref());
        read.map(|(stream, _)| rows(stream).map_or(0, |rows| rows.num_rows() as u64))
            .collect()
    }

    /// A query that fails when its first batch is planned, if there is one.
    fn fails_at_once(&self, mut d: Derivation, trace: &Trace, error: &Error) -> Expectation {
        let runs = (0..trace.micro_batches.len()).any(|micro_batch| schedule::has_file(self, trace, micro_batch));
        d.ledger.settle(|_| None, |_| 0, &vec![false; d.ledger.rows.len()]);
        let source = Failure::from(error);
        let error = runs.then(|| match source.condition.as_deref() {
            Some(skirl_engine::error::SKIRL_UNSUPPORTED) => source,
            _ => Failure {
                condition: Some(skirl_engine::error::STREAM_FAILED.into()),
                message: format!("query failed in batch 0: {}", source.message),
            },
        });
        Expectation {
            run: Run { batches: vec![], error },
            ledger: d.ledger,
            operators: vec![],
            advice: self.advice.clone(),
            freedoms: vec![],
            origins: vec![],
            groups: vec![],
        }
    }
}

fn failed_in(batch_id: u64, source: Error) -> Failure {
    Failure::from(&Error::StreamFailed {
        batch_id,
        source: Box::new(source),
    })
}

fn latest(seen: &[BTreeMap<u32, i64>], batch: Option<usize>) -> Vec<Option<i64>> {
    seen.iter().map(|seen| seen.get(&(batch? as u32)).copied()).collect()
}

fn all_steps(root: &Step) -> impl Iterator<Item = &Step> {
    let mut waiting = vec![root];
    std::iter::from_fn(move || {
        let step = waiting.pop()?;
        waiting.extend(step.inputs());
        Some(step)
    })
}

/// Executes the static relations, once, and compiles the steps.
fn compiled(
    root: &tree::Node,
    mode: OutputMode,
    plans: &[LogicalPlan],
    job: &Job,
) -> Result<std::result::Result<Steps, Error>> {
    let mut tables = vec![];
    for plan in plans {
        // What is constant is evaluated when the first batch is planned, the rest when rows ask for it.
        if let Err(error) = sql::executable(plan.clone()) {
            return Ok(Err(error));
        }
        tables.push(match static_rows(plan, job) {
            Ok(rows) => StaticRows {
                columns: rows.columns().to_vec(),
                len: rows.num_rows(),
                failure: None,
            },
            Err(error) => StaticRows::failed(plan.schema().fields(), error),
        });
    }
    Ok(Ok(step::steps(root, mode, &tables)?))
}

fn static_rows(plan: &LogicalPlan, job: &Job) -> Result<RecordBatch> {
    if let Some(rows) = whole_table(plan, job) {
        return Ok(rows);
    }
    let batches = sql::execute_static(plan)?;
    let schema = Arc::new(plan.schema().as_arrow().clone());
    match batches.first() {
        Some(first) => Ok(concat_batches(&first.schema(), &batches)?),
        None => Ok(RecordBatch::new_empty(schema)),
    }
}

/// The rows of a plan that is a table under other names at most: nothing has to be executed.
fn whole_table(plan: &LogicalPlan, job: &Job) -> Option<RecordBatch> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => whole_table(&alias.input, job),
        LogicalPlan::TableScan(scan) if scan.filters.is_empty() && scan.fetch.is_none() => {
            let named = |(name, _): &&(String, RecordBatch)| name.eq_ignore_ascii_case(scan.table_name.table());
            let (_, rows) = job.tables.iter().find(named)?;
            let types =
                |fields: &arrow::datatypes::Fields| fields.iter().map(|f| f.data_type().clone()).collect::<Vec<_>>();
            let same = types(rows.schema().fields()) == types(plan.schema().fields());
            same.then(|| rows.clone())
        }
        _ => None,
    }
}

/// Spark's names for the columns of the result, all nullable.
fn output_schema(plan: &LogicalPlan) -> SchemaRef {
    let types = plan.schema().fields().iter().map(|f| f.data_type().clone());
    let fields = sql::output_names(plan)
        .into_iter()
        .zip(types)
        .map(|(name, of)| Field::new(name, of, true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn freedoms(root: &tree::Node) -> Vec<Freedom> {
    let mut freedoms = vec![];
    for node in root.walk() {
        let freedom = match &node.kind {
            Kind::Limit { input, .. } => match sorted_below(input) {
                true => Freedom::TiesOfOrder,
                false => Freedom::AnyRowsOfLimit,
            },
            Kind::Sort { .. } => Freedom::TiesOfOrder,
            _ => continue,
        };
        if !freedoms.contains(&freedom) {
            freedoms.push(freedom);
        }
    }
    freedoms
}

fn sorted_below(node: &tree::Node) -> bool {
    match &node.kind {
        Kind::Sort { .. } => true,
        Kind::Project { input, .. } => sorted_below(input),
        _ => false,
    }
}
