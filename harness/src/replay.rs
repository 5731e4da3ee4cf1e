//! Drives a system through a trace, step for step.

use std::ops::Range;

use crate::job::{Feed, Job};
use crate::run::Run;
use crate::system::System;
use crate::trace::Trace;

/// Runs `job` over `trace` on `system`. A refusal or failure ends the run and is part of it.
pub fn replay(system: &mut dyn System, job: &Job, trace: &Trace) -> Run {
    let mut run = Run::default();
    for leg in legs(&job.feed, trace.micro_batches.len()) {
        if let Err(failure) = run_leg(system, job, &trace.micro_batches[leg], &mut run) {
            run.error = Some(failure);
            break;
        }
    }
    run
}

/// The micro-batches between two starts of the query. There is one start even if there is nothing to read.
fn legs(feed: &Feed, length: usize) -> Vec<Range<usize>> {
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

fn run_leg(
    system: &mut dyn System,
    job: &Job,
    micro_batches: &[crate::trace::MicroBatch],
    run: &mut Run,
) -> crate::system::Result<()> {
    system.start(job)?;
    for micro_batch in micro_batches {
        system.feed(micro_batch)?;
    }
    let drained = system.drain();
    run.batches.extend(drained.batches);
    match drained.failure {
        Some(failure) => Err(failure),
        None => system.stop(),
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
