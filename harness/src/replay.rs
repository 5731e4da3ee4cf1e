//! Drives a system through a trace, step for step, and asks what there is to ask on the way.

use std::collections::BTreeSet;
use std::ops::Range;

use arrow::array::RecordBatch;

use crate::job::{Feed, Job};
use crate::run::{Failure, Run};
use crate::system::{self, System};
use crate::trace::{MicroBatch, Trace};

/// A batch query on the memory table of a query.
#[derive(Debug, Clone)]
pub struct Question {
    /// Spark's SQL; the table has the query's name.
    pub sql: String,
    /// The batch after which it is asked, before the next one runs; `None`: at the end.
    pub after_batch: Option<u64>,
    /// What `current_timestamp()` is, in milliseconds since 1970-01-01T00:00:00 UTC; `None`: the time of the batch.
    pub now_ms: Option<i64>,
}

/// What a replay brought.
#[derive(Debug)]
pub struct Replay {
    /// Everything the query emitted, and how it ended.
    pub run: Run,
    /// An answer to each question, in their order.
    pub answers: Vec<system::Result<RecordBatch>>,
    /// What the sink holds in the end; `None` where it keeps nothing.
    pub stored: system::Result<Option<RecordBatch>>,
}

/// Runs `job` over `trace` on `system`. A refusal or failure ends the run and is part of it.
pub fn replay(system: &mut dyn System, job: &Job, trace: &Trace) -> Run {
    replay_and_ask(system, job, trace, &[]).run
}

/// Runs `job` over `trace` on `system`; every question is asked when its batch is done.
pub fn replay_and_ask(system: &mut dyn System, job: &Job, trace: &Trace, questions: &[Question]) -> Replay {
    let mut course = Course {
        job,
        questions,
        run: Run::default(),
        answers: questions.iter().map(|_| None).collect(),
    };
    for leg in legs(&job.feed, trace.micro_batches.len()) {
        if let Err(failure) = course.run_leg(system, &trace.micro_batches[leg]) {
            course.run.error = Some(failure);
            break;
        }
    }
    // What waits for no batch, or for one that never ran, is asked at the end.
    course.ask(system, |_| true);
    Replay {
        stored: system.stored(),
        run: course.run,
        answers: course
            .answers
            .into_iter()
            .map(|answer| answer.expect("every question was asked"))
            .collect(),
    }
}

/// The micro-batches between two starts of the query. There is one start even if there is nothing to read.
pub(crate) fn legs(feed: &Feed, length: usize) -> Vec<Range<usize>> {
    let restarts: Vec<usize> = match feed {
        Feed::Backlog => Vec::new(),
        Feed::Drip => (1..length).collect(),
        Feed::RestartBefore(positions) => {
            let within = |position: &usize| (1..length).contains(position);
            positions.iter().copied().filter(within).collect()
        }
    };
    let starts = std::iter::once(0).chain(restarts.iter().copied());
    let ends = restarts.iter().copied().chain(std::iter::once(length));
    starts.zip(ends).map(|(start, end)| start..end).collect()
}

/// A replay on its way.
struct Course<'a> {
    job: &'a Job,
    questions: &'a [Question],
    run: Run,
    answers: Vec<Option<system::Result<RecordBatch>>>,
}

impl Course<'_> {
    /// Starts the query, gives it `micro_batches` and lets it run until there is nothing more to do.
    fn run_leg(&mut self, system: &mut dyn System, micro_batches: &[MicroBatch]) -> system::Result<()> {
        system.start(self.job)?;
        for micro_batch in micro_batches {
            system.feed(micro_batch)?;
        }
        for pause in self.pauses() {
            self.drain(system, Some(pause))?;
            if self.last_batch() == Some(pause) {
                self.ask(system, |question| question.after_batch == Some(pause));
            }
        }
        self.drain(system, None)?;
        system.stop()
    }

    /// The batches to come after which there is something to ask, in order.
    fn pauses(&self) -> BTreeSet<u64> {
        let last = self.last_batch();
        let to_come = |batch_id: &u64| Some(*batch_id) > last;
        self.questions
            .iter()
            .filter_map(|question| question.after_batch)
            .filter(to_come)
            .collect()
    }

    fn drain(&mut self, system: &mut dyn System, until: Option<u64>) -> system::Result<()> {
        let drained = system.drain(until);
        self.run.batches.extend(drained.batches);
        drained.failure.map_or(Ok(()), Err::<(), Failure>)
    }

    /// Asks every question that was not asked before and that is `due`.
    fn ask(&mut self, system: &mut dyn System, due: impl Fn(&Question) -> bool) {
        let batch_ms = self.job.clock.at(self.last_batch().unwrap_or(0));
        for (question, answer) in self.questions.iter().zip(&mut self.answers) {
            if answer.is_none() && due(question) {
                *answer = Some(system.ask(&question.sql, question.now_ms.unwrap_or(batch_ms)));
            }
        }
    }

    fn last_batch(&self) -> Option<u64> {
        self.run.batches.last().map(|batch| batch.batch_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_one_leg_and_a_drip_one_for_each_micro_batch() {
        for (feed, length, wanted) in [
            (Feed::Backlog, 3, "0..3"),
            (Feed::Backlog, 0, "0..0"),
            (Feed::Drip, 3, "0..1 1..2 2..3"),
            (Feed::Drip, 0, "0..0"),
            (Feed::RestartBefore(vec![2]), 3, "0..2 2..3"),
            (Feed::RestartBefore(vec![0, 1, 9]), 3, "0..1 1..3"),
        ] {
            let legs: Vec<String> = legs(&feed, length).iter().map(|leg| format!("{leg:?}")).collect();
            assert_eq!(legs.join(" "), wanted, "{feed:?} of {length}");
        }
    }
}
