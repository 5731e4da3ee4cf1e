//! Streaming queries: how one is described, started, run and stopped.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::LogicalPlan;

use crate::checkpoint::Checkpoint;
use crate::clock::{Clock, StopSignal, SystemClock};
use crate::micro_batch::{MicroBatches, flag};
use crate::plan::{self, PlanSettings};
use crate::progress::BatchProgress;
use crate::session::{NameHold, Session};
use crate::sink::Sink;
use crate::source::ReadLimit;
use crate::storage::Storage;
use crate::trigger::Trigger;
use crate::{Error, OutputMode, Result};

/// How long a query that found nothing new waits before it asks again, as Spark's `pollingDelay`.
const POLLING_DELAY: Duration = Duration::from_millis(10);

/// A streaming query that has not started.
pub struct StreamWriter<'a> {
    session: &'a Session,
    sql: String,
    plan: LogicalPlan,
    mode: OutputMode,
    name: Option<String>,
    storage: Option<Box<dyn Storage>>,
    clock: Arc<dyn Clock>,
}

impl<'a> StreamWriter<'a> {
    pub(crate) fn new(session: &'a Session, sql: &str, plan: LogicalPlan) -> Self {
        let clock = Arc::new(SystemClock);
        Self {
            session,
            sql: sql.to_string(),
            plan,
            mode: OutputMode::Append,
            name: None,
            storage: None,
            clock,
        }
    }

    /// Names and types of what the query will emit.
    pub fn schema(&self) -> SchemaRef {
        plan::output_schema(&self.plan)
    }

    /// What the query emits; append unless told otherwise.
    pub fn output_mode(mut self, mode: OutputMode) -> Self {
        self.mode = mode;
        self
    }

    /// A name, unique among the session's active queries.
    pub fn query_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Keeps a checkpoint, and resumes from it if there is one.
    pub fn checkpoint(mut self, storage: impl Storage + 'static) -> Self {
        self.storage = Some(Box::new(storage));
        self
    }

    /// The clock the query lives by; the machine's unless told otherwise.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Plans and starts the query. No batch runs before [`StreamingQuery`] is told to.
    ///
    /// # Errors
    /// What Spark refuses, `SKIRL_UNSUPPORTED`, a mode the sink cannot take, a name that is taken, a checkpoint of
    /// another query, no name or checkpoint where the sink needs one, a checkpoint the sink cannot go on from.
    pub fn start(self, mut sink: Box<dyn Sink>) -> Result<StreamingQuery> {
        self.check_sink(sink.as_ref())?;
        sink.check_columns(&self.schema())?;
        let conf = self.session.catalog().conf();
        let ansi = flag(conf, "spark.sql.ansi.enabled", true)?;
        // Static parts are planned now, and constants among them are of this time.
        self.session.catalog().batch_time().set(self.clock.now_ms());
        let prepared = plan::prepare(self.plan, PlanSettings { mode: self.mode, ansi })?;
        let name = self
            .name
            .as_ref()
            .map(|name| NameHold::take(name, self.session.active()));
        let name = name.transpose()?;
        let sources = prepared.streams.iter().zip(&prepared.reads).map(|(stream, scans)| {
            let mut source = self.session.source(stream)?;
            source.select(scans)?;
            Ok(source)
        });
        let sources = sources.collect::<Result<Vec<_>>>()?;
        let identity = self.sql.split_whitespace().collect::<Vec<_>>().join(" ");
        let checkpoint = self
            .storage
            .map(|storage| Checkpoint::open(storage, &identity))
            .transpose()?;
        sink.open(checkpoint.as_ref().map(Checkpoint::id))?;
        let (streams, schema) = (prepared.streams.clone(), Arc::clone(&prepared.schema));
        let batches = MicroBatches::start(
            prepared,
            self.mode,
            sources,
            sink,
            checkpoint,
            self.clock,
            self.session.catalog().batch_time().clone(),
            conf,
        )?;
        Ok(StreamingQuery {
            batches,
            streams,
            schema,
            stop: StopSignal::default(),
            due_ms: None,
            _name: name,
        })
    }

    /// What the sink refuses, before anybody looks at the query (spark-semantics 16).
    fn check_sink(&self, sink: &dyn Sink) -> Result<()> {
        if sink.needs_name() && self.name.is_none() {
            return Err(Error::nameless(
                "queryName must be specified for memory sink: its table has the query's name",
            ));
        }
        sink.check_mode(self.mode)?;
        let Some(storage) = &self.storage else {
            return match sink.needs_checkpoint() {
                true => Err(Error::nameless(format!(
                    "checkpointLocation must be specified: {} needs a checkpoint",
                    sink.describe()
                ))),
                false => Ok(()),
            };
        };
        if sink.resumes(self.mode) || storage.list("offsets")?.is_empty() {
            return Ok(());
        }
        let offsets = storage.dir().map_or("the checkpoint's offsets".into(), |dir| {
            dir.join("offsets").display().to_string()
        });
        Err(Error::nameless(format!(
            "this query does not support recovering from checkpoint location: {} starts empty, and {} mode emits no row \
             twice. Delete {offsets} to start over",
            sink.describe(),
            self.mode.name(),
        )))
    }
}

/// A started query. Its batches run when it is told to, on the caller's thread or ([`StreamingQuery::spawn`]) its own.
pub struct StreamingQuery {
    batches: MicroBatches,
    streams: Vec<String>,
    schema: SchemaRef,
    stop: StopSignal,
    /// When the next turn of an interval is due; none before the first.
    due_ms: Option<i64>,
    _name: Option<NameHold>,
}

impl StreamingQuery {
    /// The streams the query reads, in the order of their offsets.
    pub fn streams(&self) -> &[String] {
        &self.streams
    }

    /// Names and types of what it emits.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// A signal that ends the query after the batch in flight.
    pub fn stop_signal(&self) -> StopSignal {
        self.stop.clone()
    }

    /// Runs one micro-batch, if there is anything to do.
    ///
    /// # Errors
    /// [`Error::StreamFailed`] with the batch and the reason.
    pub fn run_next(&mut self) -> Result<Option<BatchProgress>> {
        self.batches.run_next(ReadLimit::Configured, true)
    }

    /// From here on, [`StreamingQuery::run_next`] sees only what is available now.
    ///
    /// # Errors
    /// A source that cannot be asked.
    pub fn prepare_available_now(&mut self) -> Result<()> {
        self.batches.prepare_available_now()
    }

    /// One turn of a trigger: waits until the trigger is due, then runs a micro-batch if there is anything to do.
    ///
    /// Before the first turn of [`Trigger::AvailableNow`] stands [`StreamingQuery::prepare_available_now`].
    ///
    /// # Errors
    /// As [`StreamingQuery::run_next`].
    pub fn turn(&mut self, trigger: Trigger) -> Result<Option<BatchProgress>> {
        match trigger {
            Trigger::AvailableNow => self.run_next(),
            Trigger::Once => self.batches.run_next(ReadLimit::Unlimited, false),
            Trigger::ProcessingTime(interval) => self.turn_by_interval(interval),
        }
    }

    fn turn_by_interval(&mut self, interval: Duration) -> Result<Option<BatchProgress>> {
        let clock = Arc::clone(&self.batches.clock);
        if let Some(due_ms) = self.due_ms.take() {
            clock.wait_until(due_ms, &self.stop); // a tick that has passed is waited for no more
            if self.stop.is_raised() {
                return Ok(None);
            }
        }
        let started_ms = clock.now_ms();
        let ran = self.run_next()?;
        self.due_ms = match interval.is_zero() {
            false => Some(Trigger::next_tick_ms(interval, started_ms)),
            true => ran.is_none().then(|| clock.now_ms() + POLLING_DELAY.as_millis() as i64),
        };
        Ok(ran)
    }

    /// Runs by a trigger until it ends by itself or is stopped.
    ///
    /// # Errors
    /// As [`StreamingQuery::run_next`]; the batches before have been reported.
    pub fn run(&mut self, trigger: Trigger, mut report: impl FnMut(BatchProgress)) -> Result<()> {
        if trigger == Trigger::AvailableNow {
            self.prepare_available_now()?;
        }
        while !self.stop.is_raised() {
            let ran = self.turn(trigger)?;
            let is_last = trigger.ends_after(ran.is_some());
            ran.into_iter().for_each(&mut report);
            if is_last {
                break;
            }
        }
        Ok(())
    }

    /// Runs by a trigger on a thread of its own.
    ///
    /// # Errors
    /// The machine gives no thread.
    pub fn spawn(mut self, trigger: Trigger) -> Result<RunningQuery> {
        let stop = self.stop_signal();
        let progress = Arc::new(Mutex::new(Vec::new()));
        let reports = Arc::clone(&progress);
        let run = move || {
            self.run(trigger, |batch| {
                reports.lock().unwrap_or_else(PoisonError::into_inner).push(batch)
            })
        };
        let thread = std::thread::Builder::new().name("skirl-query".into()).spawn(run);
        let thread = thread.map_err(|e| Error::Invalid(format!("cannot start a thread for the query: {e}")))?;
        Ok(RunningQuery {
            stop,
            thread: Some(thread),
            progress,
        })
    }
}

/// A query that runs on its own thread.
pub struct RunningQuery {
    stop: StopSignal,
    thread: Option<JoinHandle<Result<()>>>,
    progress: Arc<Mutex<Vec<BatchProgress>>>,
}

impl RunningQuery {
    /// The batches that have run so far.
    pub fn progress(&self) -> Vec<BatchProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the query still runs.
    pub fn is_active(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Finishes the batch in flight and ends the query.
    ///
    /// # Errors
    /// What the query failed with, if it did.
    pub fn stop(self) -> Result<()> {
        self.stop.raise();
        self.wait()
    }

    /// Waits until the query ends by itself.
    ///
    /// # Errors
    /// What the query failed with, if it did.
    pub fn wait(mut self) -> Result<()> {
        let thread = self.thread.take().expect("a query is waited for once");
        thread
            .join()
            .unwrap_or_else(|_| Err(Error::Invalid("the query's thread panicked; this is a bug".into())))
    }
}

impl Drop for RunningQuery {
    /// A query does not outlive its handle.
    fn drop(&mut self) {
        self.stop.raise();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
