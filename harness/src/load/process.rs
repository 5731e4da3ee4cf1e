//! Workers in processes of their own: what both sides say to each other, a JSON value a line.
//!
//! The run starts its own program once more for each worker, with the same arguments. All are made ready first, and begin
//! at a common moment of the wall clock. A worker whose run is gone finds its standard input closed, and stops.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::capacity::scaled;
use super::clock::MachineClock;
use super::error::{Error, Result};
use super::plan::{Part, Plan};
use super::stamp::RunId;
use super::tally::{Counts, Tally};
use super::worker::{Work, Worker};

/// Between two looks at the counts.
const TICK: Duration = Duration::from_millis(200);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ToWorker {
    /// What differs from the arguments it was started with.
    Prepare {
        topics: Vec<String>,
        rate_factor: f64,
    },
    Begin {
        run: RunId,
        start_wall_ns: i64,
    },
    Stop,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FromWorker {
    Ready,
    Progress(Counts),
    Done(Box<Work>),
    Failed(String),
}

/// A worker process.
pub struct Process {
    index: u32,
    child: Child,
    input: ChildStdin,
    output: Receiver<FromWorker>,
}

impl Process {
    /// Starts a worker; it makes itself ready.
    ///
    /// # Errors
    /// A program that cannot be started.
    pub fn start(plan: &Plan, part: Part) -> Result<Process> {
        let index = part.index;
        let wrong = |what: String| Error::Worker { worker: index, what };
        let command = plan
            .worker_command
            .as_ref()
            .ok_or_else(|| wrong("cannot be started: no program is named".into()))?;
        let mut child = Command::new(&command.program)
            .args(&command.arguments)
            .args(["--as-worker", &format!("{}/{}", part.index + 1, part.of)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| wrong(format!("cannot be started: {error}")))?;
        let input = child.stdin.take().expect("its input is piped");
        let lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        let (give, output) = channel();
        thread::spawn(move || {
            // Ends with the worker: its output is closed then.
            let mut said = lines.map_while(|line| serde_json::from_str::<FromWorker>(&line.ok()?).ok());
            said.try_for_each(|said| give.send(said))
        });
        let mut process = Process {
            index,
            child,
            input,
            output,
        };
        process.say(&ToWorker::Prepare {
            topics: plan.topics.clone(),
            rate_factor: plan.rate_factor,
        });
        Ok(process)
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// What kept it from being so.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        match self.output.recv() {
            Ok(FromWorker::Ready) => Ok(()),
            Ok(FromWorker::Failed(what)) => Err(self.wrong(what)),
            _ => Err(self.ended()),
        }
    }

    /// Lets it begin, and takes over its counts until it is done.
    ///
    /// # Errors
    /// What kept it from doing its part.
    pub fn run(mut self, run: RunId, start_wall_ns: i64, tally: &Tally, stop: &AtomicBool) -> Result<Work> {
        self.say(&ToWorker::Begin { run, start_wall_ns });
        let mut is_stopping = false;
        loop {
            if stop.load(Ordering::Relaxed) && !is_stopping {
                is_stopping = true;
                self.say(&ToWorker::Stop);
            }
            match self.output.recv_timeout(TICK) {
                Ok(FromWorker::Progress(counts)) => tally.set_sent(&counts),
                Ok(FromWorker::Done(work)) => return Ok(*work),
                Ok(FromWorker::Failed(what)) => return Err(self.wrong(what)),
                Ok(FromWorker::Ready) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended()),
            }
        }
    }

    /// Says something to it; if it is gone, its closed output tells.
    fn say(&mut self, what: &ToWorker) {
        let line = serde_json::to_string(what).expect("an order can be written");
        let _ = writeln!(self.input, "{line}").and_then(|()| self.input.flush());
    }

    fn wrong(&self, what: String) -> Error {
        Error::Worker {
            worker: self.index,
            what: format!("could not do its part: {what}"),
        }
    }

    fn ended(&mut self) -> Error {
        let how = self
            .child
            .wait()
            .map_or_else(|error| error.to_string(), |status| status.to_string());
        Error::Worker {
            worker: self.index,
            what: format!("ended before its part was done ({how})"),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It is done, or what it does is of no use any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A worker's side: makes ready, waits for the word, works, and tells what came of it on standard output. `plan` is that
/// of its arguments.
///
/// # Errors
/// When nobody hears.
pub fn serve(plan: Plan, part: Part) -> Result<()> {
    match prepare_and_run(plan, part) {
        Ok(work) => say(&FromWorker::Done(Box::new(work))),
        Err(error) => say(&FromWorker::Failed(error.to_string())),
    }
}

fn prepare_and_run(mut plan: Plan, part: Part) -> Result<Work> {
    let gone = || Error::Plan("the run is gone".into());
    let mut lines = BufReader::new(std::io::stdin())
        .lines()
        .map_while(|line| serde_json::from_str::<ToWorker>(&line.ok()?).ok());
    let Some(ToWorker::Prepare { topics, rate_factor }) = lines.next() else {
        return Err(gone());
    };
    plan.topics = topics;
    plan.timing.pace = scaled(&plan.timing.pace, rate_factor);
    let worker = Worker::prepare(&plan, part)?;
    say(&FromWorker::Ready)?;
    let Some(ToWorker::Begin { run, start_wall_ns }) = lines.next() else {
        return Err(gone());
    };
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    thread::spawn(move || {
        // Told to stop, or nobody is left to tell.
        lines.find(|said| matches!(said, ToWorker::Stop));
        stopped.store(true, Ordering::Relaxed);
    });
    let clock = MachineClock::starting_at(start_wall_ns, plan.waiting);
    let tally = Tally::default();
    thread::scope(|scope| {
        let (done, is_done) = channel::<()>();
        let counts = &tally;
        scope.spawn(move || {
            while is_done.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                // A run that is gone is noticed on the other side.
                let _ = say(&FromWorker::Progress(counts.counts()));
            }
        });
        let work = worker.run(&plan, part, run, &clock, counts, &stop);
        drop(done);
        work
    })
}

fn say(what: &FromWorker) -> Result<()> {
    let line = serde_json::to_string(what).expect("what a worker says can be written");
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{line}").and_then(|()| out.flush());
    written.map_err(|error| Error::Plan(format!("the run does not hear: {error}")))
}
