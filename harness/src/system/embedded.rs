//! The embedded engine as a system under test.

mod outlet;

use std::sync::Arc;

use arrow::array::RecordBatch;
use skirl_engine::clock::ManualClock;
use skirl_engine::source::MemoryStream;
use skirl_engine::storage::MemoryStorage;
use skirl_engine::{BatchProgress, Session, StreamingQuery, Trigger};

use super::{Drained, Promises, Result, System};
use crate::job::{BatchClock, Feed, Job};
use crate::run::{Failure, OutputBatch};
use crate::trace::MicroBatch;
use outlet::Outlet;

/// The engine in this process: sources and checkpoint in memory, so that a restart is a real one and costs no disk. Rows
/// go to the sink the job names, those of a file sink to a directory that is gone with the system.
#[derive(Default)]
pub struct Embedded {
    sources: Vec<MemoryStream>,
    checkpoint: MemoryStorage,
    clock: ManualClock,
    outlet: Outlet,
    query: Option<Running>,
}

/// A started query and how its batches are reported.
struct Running {
    query: StreamingQuery,
    trigger: Trigger,
    times: BatchClock,
    /// For each of the job's streams that the query reads, in the job's order: its place among the query's streams.
    places: Vec<usize>,
    next_batch: u64,
}

impl System for Embedded {
    fn start(&mut self, job: &Job) -> Result<()> {
        let next_batch = self.query.take().map_or(0, |running| running.next_batch);
        if self.sources.is_empty() {
            self.sources = job
                .streams
                .iter()
                .map(|(_, schema)| MemoryStream::new(Arc::clone(schema)))
                .collect();
        }
        let query = self.start_query(job).map_err(|error| Failure::from(&error))?;
        let read = query.streams();
        let place = |(name, _): &(String, _)| read.iter().position(|stream| stream.eq_ignore_ascii_case(name));
        let places = job.streams.iter().filter_map(place).collect();
        self.query = Some(Running {
            query,
            trigger: job.trigger,
            times: job.clock.clone(),
            places,
            next_batch,
        });
        Ok(())
    }

    fn feed(&mut self, batch: &MicroBatch) -> Result<()> {
        for (source, rows) in self.sources.iter().zip(&batch.rows) {
            if let Some(rows) = rows {
                source.add(rows.clone()).map_err(|error| Failure::from(&error))?;
            }
        }
        Ok(())
    }

    fn drain(&mut self, until: Option<u64>) -> Drained {
        let mut drained = Drained::default();
        let Some(running) = &mut self.query else { return drained };
        let result = running.drain(until, &self.clock, &self.outlet, &mut drained.batches);
        drained.failure = result.err().map(|error| Failure::from(&error));
        drained
    }

    fn stop(&mut self) -> Result<()> {
        if let Some(running) = &self.query {
            running.query.stop_signal().raise();
        }
        Ok(())
    }

    fn kill(&mut self) -> Result<()> {
        self.stop() // between two batches there is nothing a crash could interrupt
    }

    fn promises(&self) -> Promises {
        Promises {
            steps_exactly: true,
            exactly_once: true,
        }
    }

    fn ask(&mut self, sql: &str, now_ms: i64) -> Result<RecordBatch> {
        self.outlet.ask(sql, now_ms).map_err(|error| Failure::from(&error))
    }

    fn stored(&mut self) -> Result<Option<RecordBatch>> {
        self.outlet.stored().map_err(|error| Failure::from(&error))
    }
}

impl Embedded {
    fn start_query(&mut self, job: &Job) -> skirl_engine::Result<StreamingQuery> {
        let mut session = Session::new(job.conf.clone());
        for ((name, schema), source) in job.streams.iter().zip(&self.sources) {
            let source = source.clone();
            session.read_stream(name, Arc::clone(schema), move || Ok(Box::new(source.source(Some(1)))))?;
        }
        for (name, rows) in &job.tables {
            session.add_table(name, rows.clone())?;
        }
        for view in &job.views {
            session.create_view(&view.name, &view.sql, view.watermark.as_ref())?;
            if view.drop_duplicates.is_some() {
                return Err(skirl_engine::Error::unsupported(
                    "dropDuplicates is not supported by Skirl yet",
                ));
            }
        }
        let mut query = session
            .write_stream(&job.sql)?
            .output_mode(job.output_mode)
            .clock(self.clock.clone());
        if let Some(name) = &job.sink.name {
            query = query.query_name(name);
        }
        let (sink, opened) = self.outlet.open(job, query.schema())?;
        if job.sink.checkpoint && (job.feed != Feed::Backlog || sink.needs_checkpoint()) {
            query = query.checkpoint(self.checkpoint.clone());
        }
        let started = query.start(sink)?;
        self.outlet.settle(opened);
        Ok(started)
    }
}

impl Running {
    fn drain(
        &mut self,
        until: Option<u64>,
        clock: &ManualClock,
        outlet: &Outlet,
        batches: &mut Vec<OutputBatch>,
    ) -> skirl_engine::Result<()> {
        if self.trigger == Trigger::AvailableNow {
            self.query.prepare_available_now()?;
        }
        clock.set(self.times.at(self.next_batch));
        loop {
            let Some(progress) = self.query.turn(self.trigger)? else {
                return Ok(());
            };
            let batch_id = progress.batch_id;
            self.next_batch = batch_id + 1;
            let rows = outlet.take(batch_id);
            let rows = rows.unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(self.query.schema())));
            batches.push(self.output(progress, rows));
            if until == Some(batch_id) {
                return Ok(());
            }
            if !self.moves_the_clock() {
                clock.set(self.times.at(self.next_batch));
            }
        }
    }

    /// Whether the trigger waits for ticks, which moves the clock to them.
    fn moves_the_clock(&self) -> bool {
        matches!(self.trigger, Trigger::ProcessingTime(interval) if !interval.is_zero())
    }

    fn output(&self, progress: BatchProgress, rows: RecordBatch) -> OutputBatch {
        OutputBatch {
            batch_id: progress.batch_id,
            watermark: progress.watermark_ms,
            input_rows: self.places.iter().map(|place| progress.input_rows[*place]).collect(),
            rows,
            state_rows: progress.operators.iter().map(|operator| operator.state_rows).collect(),
            dropped: progress.operators.iter().map(|operator| operator.dropped).collect(),
        }
    }
}
