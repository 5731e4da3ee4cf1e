//! One trial from start to verdict: replay, derive, compare, advise.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use skirl_engine::Session;

use crate::advice::{Subject, advise};
use crate::check::{self, Answer, Evidence, Verdict, is_unsupported};
use crate::job::{Job, OutputMode, Trigger};
use crate::once::as_available_now;
use crate::oracle::{self, Expectation};
use crate::replay::{Question, Replay, replay_and_ask};
use crate::rows::{Row, row_values};
use crate::run::{Failure, Run};
use crate::scenario::{Expect, FollowUp, Rows, Scenario, Stream};
use crate::shape::Shape;
use crate::system::{self, Promises, System};
use crate::trace::Trace;

/// A query over a trace, and what it must show: a scenario with its rows made, or a vector's case.
#[derive(Debug, Clone)]
pub struct Trial {
    /// As results call it.
    pub name: String,
    /// What is proved; empty for a case.
    pub title: String,
    /// What its random rows were made from.
    pub seed: u64,
    /// What is run.
    pub job: Job,
    /// Over which rows.
    pub trace: Trace,
    /// What a reader makes of them, where some arrive spoilt; the system is fed these.
    pub read: Option<Trace>,
    /// The guards; none for a case, which only the oracle judges.
    pub expect: Expect,
    /// Queries on the memory table.
    pub follow_ups: Vec<FollowUp>,
    /// The scenario's streams, for advice on their options.
    pub streams: Vec<Stream>,
    /// How the query's output is made up, if it was looked at already.
    pub shape: Option<Shape>,
}

impl Trial {
    /// The trial of `scenario` over the rows that `seed` makes.
    ///
    /// # Errors
    /// A sentence that says why no rows can be made.
    pub fn of(scenario: &Scenario, seed: u64) -> Result<Trial, String> {
        Ok(Trial::over(scenario, seed, scenario.rows(seed)?))
    }

    /// The trial of `scenario` over `rows`, which `seed` made.
    pub fn over(scenario: &Scenario, seed: u64, rows: Rows) -> Trial {
        let Rows { trace, read } = rows;
        Trial {
            name: scenario.name.clone(),
            title: scenario.title.clone(),
            seed,
            job: scenario.job(),
            trace,
            read,
            expect: scenario.expect.clone(),
            follow_ups: scenario.follow_ups.clone(),
            streams: scenario.streams.clone(),
            shape: scenario.shape.clone(),
        }
    }

    /// The same trial for a system that cuts rows into micro-batches itself. What the scenario says of its own micro-batches
    /// is left out: guards that count, questions after a batch, answers it gives. The oracle judges the rest.
    pub fn for_another_cut(mut self) -> Trial {
        self.expect.guards.clear();
        self.follow_ups.retain(|asked| asked.question.after_batch.is_none());
        self.follow_ups.iter_mut().for_each(|asked| asked.rows = None);
        self
    }

    /// The trial of a query that only the oracle judges.
    pub fn of_case(name: &str, job: Job, trace: Trace) -> Trial {
        Trial {
            name: name.to_string(),
            title: String::new(),
            seed: 0,
            job,
            trace,
            read: None,
            expect: Expect::default(),
            follow_ups: Vec::new(),
            streams: Vec::new(),
            shape: None,
        }
    }
}

/// What became of a trial.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The trial's name.
    pub name: String,
    /// The trial's title.
    pub title: String,
    /// The trial's seed.
    pub seed: u64,
    /// What the system did.
    pub run: Run,
    /// What each check says, by its name.
    pub verdicts: Vec<(&'static str, Verdict)>,
    /// What the author of the query may want to know.
    pub advice: Vec<String>,
    /// Whether it could be run and judged, and if so whether every check passed.
    pub status: Status,
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Every check passed, or could not be judged for a reason of its own.
    Passed,
    /// A check failed.
    Failed,
    /// The system or the oracle does not run this query yet.
    CouldNotRun,
}

/// Runs `trial` on `system` and judges it.
pub fn judge(trial: &Trial, system: &mut dyn System) -> Outcome {
    let questions: Vec<Question> = trial
        .follow_ups
        .iter()
        .map(|follow_up| follow_up.question.clone())
        .collect();
    let fed = trial.read.as_ref().unwrap_or(&trial.trace);
    let replay = replay_and_ask(system, &trial.job, fed, &questions);
    let (job, trace) = match system.cut() {
        Some(cut) => (cut.job(&trial.job), cut.trace(&trial.job, &trial.trace)),
        None => (trial.job.clone(), trial.trace.clone()),
    };
    let (job, trace) = match job.trigger {
        Trigger::Once => as_available_now(&job, &trace),
        Trigger::AvailableNow | Trigger::ProcessingTime(_) => (job, trace),
    };
    judge_replay(trial, fed.micro_batches.len(), &job, &trace, replay, system.promises())
}

/// Judges what a system did by what the oracle derives for `job` over `trace`.
fn judge_replay(trial: &Trial, fed: usize, job: &Job, trace: &Trace, replay: Replay, promises: Promises) -> Outcome {
    let expectation = &oracle::expect(job, trace);
    let planned = trial.shape.is_none().then(|| Shape::of_job(job).ok()).flatten();
    let answers: Vec<Answer> = trial
        .follow_ups
        .iter()
        .zip(replay.answers)
        .map(|(asked, answer)| answered(asked, answer, job, expectation))
        .collect();
    let evidence = Evidence {
        job,
        trace,
        run: &replay.run,
        promises,
        expectation,
        shape: trial.shape.as_ref().or(planned.as_ref()),
        fed,
        expect: &trial.expect,
        answers: &answers,
        stored: &replay.stored,
    };
    let verdicts: Vec<_> = check::all()
        .iter()
        .map(|check| (check.name(), check.judge(&evidence)))
        .collect();
    let status = status_of(&verdicts, &evidence);
    let advice = advise(&Subject {
        job,
        expectation,
        streams: &trial.streams,
    });
    Outcome {
        name: trial.name.clone(),
        title: trial.title.clone(),
        seed: trial.seed,
        run: replay.run,
        verdicts,
        advice,
        status,
    }
}

fn status_of(verdicts: &[(&str, Verdict)], evidence: &Evidence) -> Status {
    let failed = verdicts
        .iter()
        .any(|(_, verdict)| matches!(verdict, Verdict::Failed(_)));
    let unsupported = is_unsupported(evidence.run) || is_unsupported(&evidence.expectation.run);
    match (unsupported, evidence.expect.error.is_some(), failed) {
        // A scenario may wait for exactly this refusal.
        (true, true, false) | (false, _, false) => Status::Passed,
        (true, ..) => Status::CouldNotRun,
        (false, _, true) => Status::Failed,
    }
}

/// What a system answered to a follow-up query, beside what it must.
fn answered(asked: &FollowUp, answer: system::Result<RecordBatch>, job: &Job, expectation: &Expectation) -> Answer {
    let derived = derived_answer(&asked.question, job, expectation);
    let (expected, ordered) = match (&asked.rows, derived) {
        (Some(rows), derived) => (Ok(given(rows)), derived.is_ok_and(|(_, ordered)| ordered)),
        (None, Ok((rows, ordered))) => (Ok(rows), ordered),
        (None, Err(failure)) => (Err(failure), false),
    };
    Answer {
        sql: asked.question.sql.clone(),
        after_batch: asked.question.after_batch,
        actual: answer.map(|rows| row_values(&rows)),
        expected,
        ordered,
    }
}

/// The answer the oracle's table gives, and whether the question sorts. Batch SQL is the engine's: a follow-up proves
/// what the table holds, and the rows a scenario gives prove the rest.
fn derived_answer(question: &Question, job: &Job, expectation: &Expectation) -> Result<(Vec<Row>, bool), Failure> {
    let name = job.sink.name.as_deref().unwrap_or_default();
    let last = expectation.run.batches.last().map_or(0, |batch| batch.batch_id);
    let batch_ms = job.clock.at(question.after_batch.map_or(last, |asked| asked.min(last)));
    let mut session = Session::new(job.conf.clone());
    let answer = move || {
        if let Some(table) = memory_table(job, &expectation.run, question.after_batch) {
            session.add_table(name, table)?;
        }
        session.catalog().batch_time().set(question.now_ms.unwrap_or(batch_ms));
        let ordered = Shape::of(&session.plan(&question.sql)?, &[]).sorts();
        Ok((row_values(&session.query(&question.sql)?), ordered))
    };
    answer_of(answer)
}

fn answer_of<T>(answer: impl FnOnce() -> skirl_engine::Result<T>) -> Result<T, Failure> {
    answer().map_err(|error| Failure::from(&error))
}

/// What a memory table holds after batch `after_batch`: everything emitted, in complete mode the last result.
fn memory_table(job: &Job, run: &Run, after_batch: Option<u64>) -> Option<RecordBatch> {
    let until = |batch_id: u64| after_batch.is_none_or(|last| batch_id <= last);
    let mut batches: Vec<&RecordBatch> = run
        .batches
        .iter()
        .filter(|batch| until(batch.batch_id))
        .map(|batch| &batch.rows)
        .collect();
    if job.output_mode == OutputMode::Complete {
        batches.drain(..batches.len().saturating_sub(1));
    }
    let schema = batches.first()?.schema();
    Some(concat_batches(&schema, batches).expect("a query has one schema"))
}

/// Rows of a scenario as values; what is no list is a row of one value.
fn given(rows: &[serde_json::Value]) -> Vec<Row> {
    let row = |row: &serde_json::Value| row.as_array().cloned().unwrap_or_else(|| vec![row.clone()]);
    rows.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::report::{Entry, Paint, Report, terminal};
    use crate::system::{Drained, Embedded, Result as SystemResult};
    use crate::trace::MicroBatch;

    /// A stream processor with a bug: what it reads, or what its sink keeps, lacks the last row.
    #[derive(Default)]
    struct Forgetful {
        system: Embedded,
        forgets_input: bool,
        forgets_stored: bool,
    }

    /// The rows, without the last of them if that is forgotten.
    fn remembered(rows: &RecordBatch, forgets: bool) -> RecordBatch {
        rows.slice(0, rows.num_rows().saturating_sub(usize::from(forgets)))
    }

    impl System for Forgetful {
        fn start(&mut self, job: &Job) -> SystemResult<()> {
            self.system.start(job)
        }
        fn feed(&mut self, batch: &MicroBatch) -> SystemResult<()> {
            let read = |rows: &RecordBatch| remembered(rows, self.forgets_input);
            let rows = batch.rows.iter().map(|rows| rows.as_ref().map(read)).collect();
            self.system.feed(&MicroBatch { rows })
        }
        fn drain(&mut self, until: Option<u64>) -> Drained {
            self.system.drain(until)
        }
        fn stop(&mut self) -> SystemResult<()> {
            self.system.stop()
        }
        fn kill(&mut self) -> SystemResult<()> {
            self.system.kill()
        }
        fn promises(&self) -> Promises {
            self.system.promises()
        }
        fn ask(&mut self, sql: &str, now_ms: i64) -> SystemResult<RecordBatch> {
            self.system.ask(sql, now_ms)
        }
        fn stored(&mut self) -> SystemResult<Option<RecordBatch>> {
            let stored = self.system.stored()?;
            Ok(stored.map(|rows| remembered(&rows, self.forgets_stored)))
        }
    }

    #[test]
    fn a_sink_that_lost_a_row_is_told() {
        let text = SCENARIO
            .split("[[follow_up]]")
            .next()
            .unwrap()
            .replace("name = \"totals\"\n", "");
        let leaky = || Forgetful {
            forgets_stored: true,
            ..Forgetful::default()
        };
        for format in ["json", "parquet"] {
            let text =
                format!("restart_before = [2]\n{text}\n[sink]\nformat = \"{format}\"\n[expect]\noutput_rows = 3\n");
            let scenario = Scenario::parse(Path::new("counts.toml"), &text).expect("the scenario is right");
            let trial = Trial::of(&scenario, 0).expect("its rows are given");
            assert_eq!(
                judge(&trial, &mut Embedded::default()).status,
                Status::Passed,
                "{format}"
            );
            let outcome = judge(&trial, &mut leaky());
            let failed: Vec<_> = outcome
                .verdicts
                .iter()
                .filter(|(_, verdict)| matches!(verdict, Verdict::Failed(_)))
                .collect();
            let [(check, Verdict::Failed(findings))] = failed.as_slice() else {
                panic!("one check fails: {failed:?}")
            };
            assert_eq!(*check, "sink");
            insta::allow_duplicates! {
                insta::assert_snapshot!(findings[0].claim, @"1 of 3 rows that were emitted is not there");
            }
        }
    }

    const SCENARIO: &str = r#"
title = "Counts by window"

[streams.scotsmen]
schema = "district STRING, new_scotsmen INT, timestamp TIMESTAMP"
batches = [
  [["Porto", 1, "2024-12-03T10:00:00Z"], ["Porto", 2, "2024-12-03T10:01:00Z"]],
  [["Porto", 3, "2024-12-03T10:04:00Z"], ["Faro", 4, "2024-12-03T10:05:00Z"]],
  [["Porto", 5, "2024-12-03T10:02:59.999Z"], ["Faro", 6, "2024-12-03T10:10:00Z"]],
  [["Porto", 5, "2024-12-03T10:02:59.999Z"], ["Faro", 6, "2024-12-03T10:10:00Z"]],
]

[[views]]
name = "s"
sql = "SELECT * FROM scotsmen"
watermark = { column = "timestamp", delay = "30 seconds" }

[query]
name = "totals"
sql = """
SELECT window(timestamp, '3 minutes') AS window, district, count(*) AS c, sum(new_scotsmen) AS n
FROM s GROUP BY window(timestamp, '3 minutes'), district
"""

[[follow_up]]
sql = "SELECT district, sum(n) AS n FROM totals GROUP BY district ORDER BY district"
rows = [["Faro", 4], ["Porto", 11]]

[expect]
dropped_rows = 1
output_rows = "> 0"
"#;

    #[test]
    fn a_right_system_passes_every_check() {
        let report = report_of(&mut Embedded::default());
        assert_eq!(
            report.count(Status::Passed),
            1,
            "{}",
            terminal::render(&report, Paint::PLAIN)
        );
    }

    #[test]
    fn a_setting_for_spark_alone_is_advised_on() {
        let text = format!("{SCENARIO}\n[conf]\n\"spark.sql.shuffle.partitions\" = 4\n");
        let scenario = Scenario::parse(Path::new("counts.toml"), &text).expect("the scenario is right");
        let trial = Trial::of(&scenario, 0).expect("its rows are given");
        let outcome = judge(&trial, &mut Embedded::default());
        assert_eq!(outcome.status, Status::Passed);
        assert_eq!(
            outcome.advice,
            ["setting `spark.sql.shuffle.partitions` changes nothing here"]
        );
    }

    #[test]
    fn restarts_and_questions_that_never_come_fail() {
        let text = SCENARIO.replace("[[follow_up]]", "[[follow_up]]\nafter_batch = 77");
        let text = format!("restart_before = [99]\n{text}");
        let scenario = Scenario::parse(Path::new("counts.toml"), &text).expect("the scenario is right");
        let trial = Trial::of(&scenario, 0).expect("its rows are given");
        let outcome = judge(&trial, &mut Embedded::default());
        let claims: Vec<_> = outcome
            .verdicts
            .iter()
            .filter_map(|(check, verdict)| match verdict {
                Verdict::Failed(findings) => Some(findings.iter().map(move |finding| finding.headline(check))),
                _ => None,
            })
            .flatten()
            .collect();
        insta::assert_snapshot!(claims.join("\n"), @"
        follow-up: a question is asked after batch 77, and the last one is 3
        guards: the query is to be started again before micro-batch 99; there are 4, and before 0 it is started anyway
        ");
    }

    #[test]
    fn a_wrong_system_fails_with_the_story_of_the_rows_concerned() {
        let report = report_of(&mut Forgetful {
            forgets_input: true,
            ..Forgetful::default()
        });
        insta::assert_snapshot!(terminal::render(&report, Paint::PLAIN), @r"
        FAIL  counts: Counts by window (seed 0)
              output, batch 2: 1 row wrong, where 1 must be
                window [2024-12-03 10:00:00, 2024-12-03 10:03:00), district Porto
                  expected  c 3, n 8
                  actual    c 2, n 6
                  rows concerned
                    row 1 of scotsmen, batch 0: event time 2024-12-03 10:00:00.000, on time
                    row 2 of scotsmen, batch 0: event time 2024-12-03 10:01:00.000, on time
                    row 1 of scotsmen, batch 2: event time 2024-12-03 10:02:59.999, on time
              output, batch 3: 2 of 2 rows missing
                window [2024-12-03 10:03:00, 2024-12-03 10:06:00), district Faro
                  expected  c 1, n 4
                  actual    nothing
                  rows concerned
                    row 2 of scotsmen, batch 1: event time 2024-12-03 10:05:00.000, on time
                window [2024-12-03 10:03:00, 2024-12-03 10:06:00), district Porto
                  expected  c 1, n 3
                  actual    nothing
                  rows concerned
                    row 1 of scotsmen, batch 1: event time 2024-12-03 10:04:00.000, on time
              ledger, batch 0: rows read are [1] and must be [2] (per stream)
              ledger, batch 1: rows read are [1] and must be [2] (per stream)
              ledger, batch 2: rows read are [1] and must be [2] (per stream)
              ledger, batch 3: rows read are [1] and must be [2] (per stream)
              watermark, batch 1: the watermark is 2024-12-03 09:59:30.000 and must be 2024-12-03 10:00:30.000
              watermark, batch 2: the watermark is 2024-12-03 10:03:30.000 and must be 2024-12-03 10:04:30.000
              watermark, batch 3: the watermark is 2024-12-03 10:03:30.000 and must be 2024-12-03 10:09:30.000
              state, batch 1: rows in state are [2] and must be [3] (per operator, topmost first)
              state, batch 2: rows in state are [1] and must be [3] (per operator, topmost first)
              follow-up: 1 row answers, and it must be 2
                query     SELECT district, sum(n) AS n FROM totals GROUP BY district ORDER BY district
                expected  Faro, 4
                expected  Porto, 11
                actual    Porto, 6
        1 scenario: 0 passed, 1 failed
        ");
    }

    fn report_of(system: &mut dyn System) -> Report {
        let scenario = Scenario::parse(Path::new("counts.toml"), SCENARIO).expect("the scenario is right");
        let trial = Trial::of(&scenario, 0).expect("its rows are given");
        Report {
            entries: vec![Entry::Ran {
                outcome: Box::new(judge(&trial, system)),
                again: None,
            }],
        }
    }
}
