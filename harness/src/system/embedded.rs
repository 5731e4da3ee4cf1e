//! The embedded engine as a system under test.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use skirl_engine::clock::ManualClock;
use skirl_engine::sink::ForeachBatchSink;
use skirl_engine::source::MemoryStream;
use skirl_engine::storage::MemoryStorage;
use skirl_engine::{BatchProgress, OutputMode, Session, StreamingQuery};

use super::{Drained, Promises, Question, Result, System};
use crate::job::{BatchClock, Job};
use crate::run::{Failure, OutputBatch};
use crate::trace::MicroBatch;

/// The engine in this process: sources and checkpoint in memory, so that a restart is a real one and costs no disk.
#[derive(Default)]
pub struct Embedded {
    sources: Vec<MemoryStream>,
    checkpoint: MemoryStorage,
    clock: ManualClock,
    query: Option<Running>,
    emitted: Emitted,
    memory_table: Option<MemoryTable>,
}

/// A started query and how its batches are reported.
struct Running {
    query: StreamingQuery,
    times: BatchClock,
    /// For each of the job's streams that the query reads, in the job's order: its place among the query's streams.
    places: Vec<usize>,
    next_batch: u64,
}

/// What a query's memory table was after each batch.
struct MemoryTable {
    name: String,
    mode: OutputMode,
    conf: std::collections::BTreeMap<String, String>,
    emitted: Vec<(u64, RecordBatch)>,
}

/// Batches a sink was given; clones share them.
#[derive(Clone, Default)]
struct Emitted(Arc<Mutex<Vec<(u64, RecordBatch)>>>);

impl Emitted {
    fn take(&self) -> Vec<(u64, RecordBatch)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn sink(&self) -> ForeachBatchSink {
        let emitted = Arc::clone(&self.0);
        ForeachBatchSink::new(move |batch_id, rows| {
            emitted
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((batch_id, rows.clone()));
            Ok(())
        })
    }
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
        if let Some(name) = &job.sink.name {
            let emitted = self.memory_table.take().map(|table| table.emitted).unwrap_or_default();
            let conf = job.conf.clone();
            self.memory_table = Some(MemoryTable {
                name: name.clone(),
                mode: job.output_mode,
                conf,
                emitted,
            });
        }
        let query = self.start_query(job).map_err(|error| Failure::from(&error))?;
        let read = query.streams();
        let place = |(name, _): &(String, _)| read.iter().position(|stream| stream.eq_ignore_ascii_case(name));
        let places = job.streams.iter().filter_map(place).collect();
        self.query = Some(Running {
            query,
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

    fn drain(&mut self) -> Drained {
        let mut drained = Drained::default();
        let Some(running) = &mut self.query else { return drained };
        let result = running.drain(&self.clock, &self.emitted, &mut drained.batches);
        drained.failure = result.err().map(|error| Failure::from(&error));
        if let Some(table) = &mut self.memory_table {
            table
                .emitted
                .extend(drained.batches.iter().map(|batch| (batch.batch_id, batch.rows.clone())));
        }
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

    fn ask(&mut self, question: &Question) -> Result<RecordBatch> {
        let table = self.memory_table.as_ref().ok_or_else(|| Failure {
            condition: None,
            message: "no query fills a memory table: give the query a `name`".to_string(),
        })?;
        table.ask(question).map_err(|error| Failure::from(&error))
    }
}

impl Embedded {
    fn start_query(&self, job: &Job) -> skirl_engine::Result<StreamingQuery> {
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
        if job.feed != crate::job::Feed::Backlog {
            query = query.checkpoint(self.checkpoint.clone());
        }
        query.start(Box::new(self.emitted.sink()))
    }
}

impl Running {
    fn drain(
        &mut self,
        clock: &ManualClock,
        emitted: &Emitted,
        batches: &mut Vec<OutputBatch>,
    ) -> skirl_engine::Result<()> {
        self.query.prepare_available_now()?;
        loop {
            clock.set(self.times.at(self.next_batch));
            let Some(progress) = self.query.run_next()? else {
                return Ok(());
            };
            self.next_batch = progress.batch_id + 1;
            let rows = emitted
                .take()
                .into_iter()
                .find(|(batch_id, _)| *batch_id == progress.batch_id);
            let rows = rows.map_or_else(
                || RecordBatch::new_empty(Arc::clone(self.query.schema())),
                |(_, rows)| rows,
            );
            batches.push(self.output(progress, rows));
        }
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

impl MemoryTable {
    fn ask(&self, question: &Question) -> skirl_engine::Result<RecordBatch> {
        let last = question.after_batch.unwrap_or(u64::MAX);
        let mut seen: Vec<&RecordBatch> = self
            .emitted
            .iter()
            .filter(|(batch_id, _)| *batch_id <= last)
            .map(|(_, rows)| rows)
            .collect();
        if self.mode == OutputMode::Complete {
            seen.drain(..seen.len().saturating_sub(1)); // each batch replaces the table
        }
        let first = seen
            .first()
            .or(self.emitted.first().map(|(_, rows)| rows).as_ref())
            .copied()
            .ok_or_else(|| skirl_engine::Error::Invalid(format!("table `{}` has no batch yet", self.name)))?;
        let rows = concat_batches(&first.schema(), seen)?;
        let mut session = Session::new(self.conf.clone());
        session.add_table(&self.name, rows)?;
        session.catalog().batch_time().set(question.now_ms);
        session.query(&question.sql)
    }
}
