//! The embedded engine as a system under test.

mod inlet;
mod outlet;
mod topics;

use std::sync::Arc;

use arrow::array::RecordBatch;
use skirl_engine::clock::ManualClock;
use skirl_engine::{BatchProgress, Session, StreamingQuery, Trigger};

use super::{Drained, Promises, Result, System};
use crate::cut::Cut;
use crate::job::{BatchClock, Job};
use crate::run::{Failure, OutputBatch};
use crate::trace::MicroBatch;
use outlet::Outlet;

pub use inlet::{Inlet, Memory};
pub use topics::{TopicSettings, Topics};

/// The engine in this process. Rows come from where the inlet puts them, and go to the sink the job names, those of a file
/// sink to a directory that is gone with the system.
#[derive(Default)]
pub struct Engine<I: Inlet> {
    inlet: I,
    clock: ManualClock,
    outlet: Outlet,
    query: Option<Running>,
}

/// The engine over rows in memory, which it is given one micro-batch after another.
pub type Embedded = Engine<Memory>;

/// The engine over topics of Kafka, which cuts its own micro-batches.
pub type OverTopics = Engine<Topics>;

/// A started query and how its batches are reported.
struct Running {
    query: StreamingQuery,
    trigger: Trigger,
    times: BatchClock,
    /// For each of the job's streams that the query reads, in the job's order: its place among the query's streams.
    places: Vec<usize>,
    next_batch: u64,
}

impl<I: Inlet> Engine<I> {
    /// The engine over the rows of an inlet.
    pub fn over(inlet: I) -> Self {
        Engine {
            inlet,
            clock: ManualClock::default(),
            outlet: Outlet::default(),
            query: None,
        }
    }
}

impl<I: Inlet> System for Engine<I> {
    fn start(&mut self, job: &Job) -> Result<()> {
        let next_batch = self.query.take().map_or(0, |running| running.next_batch);
        let query = self.start_query(job).map_err(|error| Failure::from(&error))?;
        self.inlet.started(query.streams());
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
        self.inlet.feed(batch).map_err(|error| Failure::from(&error))
    }

    fn drain(&mut self, until: Option<u64>) -> Drained {
        let mut drained = Drained::default();
        let Some(running) = &mut self.query else { return drained };
        let result = running.drain(until, &self.clock, &mut self.inlet, &self.outlet, &mut drained.batches);
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

    fn cut(&self) -> Option<Cut> {
        self.inlet.cut()
    }
}

impl<I: Inlet> Engine<I> {
    fn start_query(&mut self, job: &Job) -> skirl_engine::Result<StreamingQuery> {
        let mut session = Session::new(job.conf.clone());
        self.inlet.open(&mut session, job)?;
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
        if let Some(checkpoint) = self.inlet.checkpoint(job, sink.needs_checkpoint())? {
            query = query.checkpoint(checkpoint);
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
        inlet: &mut impl Inlet,
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
            inlet.executed(batch_id)?;
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
