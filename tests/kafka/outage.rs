//! Brokers that are killed, frozen or lose a leader while a query reads and writes them, and a query that is started twice:
//! every row is copied once.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use libtest_mimic::Failed;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use skirl::broker::{Cluster, NodeId, Options, brokers};
use skirl_kafka::Row;

use crate::needs::{Outcome, Test, shared, soon, tests, unique};
use crate::query::Query;
use crate::role::Role;
use crate::topic::Topic;
use crate::trace::said;

pub const TESTS: &[Test] = tests! {
    Broker:
        of_two_runs_of_a_query_one_ends_and_says_why;
    OwnCluster:
        a_query_outlives_a_killed_broker_and_a_killed_query_goes_on_from_its_checkpoint,
        a_query_waits_for_a_frozen_broker,
        a_query_follows_a_leader_that_is_killed;
};

/// A query in a process of its own that copies one topic to another, exactly once.
struct Copying {
    input: Topic,
    output: Topic,
    checkpoint: tempfile::TempDir,
    sent: usize,
}

impl Copying {
    fn new(bootstrap: &str) -> Result<Copying, Failed> {
        let topic = |name| -> Result<Topic, Failed> {
            let topic = Topic::at(bootstrap, &unique(name))?;
            topic.make(1, &[])?;
            Ok(topic)
        };
        Ok(Copying {
            input: topic("copied-from")?,
            output: topic("copied-to")?,
            checkpoint: tempfile::tempdir()?,
            sent: 0,
        })
    }

    fn command(&self) -> Command {
        let mut command = Role::Skirl.command();
        command
            .args(["query", "SELECT value FROM s", "--stream"])
            .arg(format!("s={}", self.input.address()))
            .args([
                "--option",
                "s.startingOffsets=earliest",
                "--option",
                "s.maxOffsetsPerTrigger=100",
            ])
            .args(["--sink", &self.output.address()])
            .args(["--option", "sink.deliveryGuarantee=exactly-once", "--checkpoint"])
            .arg(self.checkpoint.path());
        command
    }

    /// Adds rows to the input.
    fn send(&mut self, rows: usize) -> Outcome {
        let values: Vec<String> = (self.sent..self.sent + rows).map(|row| format!("row {row}")).collect();
        let row = |value| Row {
            value: Some(str::as_bytes(value)),
            ..Row::default()
        };
        let rows: Vec<Row> = values.iter().map(|value| row(value.as_str())).collect();
        self.input.send(&rows)?;
        self.sent += values.len();
        Ok(())
    }

    /// Waits until rows were copied beyond `rows`, and the query still runs.
    fn wait_until_copied(&self, query: &mut Child, rows: usize) -> Outcome {
        soon("rows are not copied", || {
            let ended = query.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "the query ended: {ended:?}");
            self.output.end(0).ok().filter(|end| *end > rows as i64)
        })?;
        Ok(())
    }

    /// Ends the query as Ctrl-C does, once it has copied everything, and looks at what it has written.
    fn every_row_was_copied_once(&self, mut query: Child) -> Outcome {
        let copied = || self.copied().ok().filter(|rows| rows.len() >= self.sent);
        soon("not all rows are copied", copied)?;
        kill(Pid::from_raw(i32::try_from(query.id())?), Signal::SIGINT)?;
        assert!(query.wait()?.success());
        let wanted: Vec<String> = (0..self.sent).map(|row| format!("row {row}")).collect();
        assert_eq!(self.copied()?, wanted);
        Ok(())
    }

    /// The rows a reader of committed rows sees.
    fn copied(&self) -> Result<Vec<String>, String> {
        let query = Query::new(&self.output).map_err(|error| format!("{error:?}"))?;
        let read = query.with("kafka.isolation.level", "read_committed").run()?;
        let value = |row: &String| {
            row.split_once(' ')
                .map_or(String::new(), |(_, value)| value.to_string())
        };
        Ok(read.rows().iter().map(value).collect())
    }
}

fn of_two_runs_of_a_query_one_ends_and_says_why() -> Outcome {
    let mut copying = Copying::new(&shared()?)?;
    copying.send(200)?;
    let mut first = copying.command().stderr(Stdio::piped()).spawn()?;
    copying.wait_until_copied(&mut first, 200)?;
    let mut runs = vec![first, copying.command().stderr(Stdio::piped()).spawn()?];
    let ended = soon("both go on", || {
        copying.send(1).expect("a broker");
        let has_ended = |run: &mut Child| run.try_wait().expect("a child can be asked").is_some();
        runs.iter_mut().position(has_ended)
    })?;
    let told = said(&runs.remove(ended).wait_with_output()?, 2);
    assert!(
        told.contains("the same query seems to run twice") || told.contains("Multiple streaming jobs detected"),
        "{told}"
    );
    // It may be that neither went on: the first was shut out by Kafka, and the second found its entry in the log.
    let mut other = runs.remove(0);
    let killed = other.kill();
    other.wait()?;
    killed?;
    copying.every_row_was_copied_once(copying.command().spawn()?)
}

fn a_query_outlives_a_killed_broker_and_a_killed_query_goes_on_from_its_checkpoint() -> Outcome {
    let mut cluster = Cluster::start(Options::default())?;
    let mut copying = Copying::new(&cluster.bootstrap())?;
    copying.send(3_000)?;
    let mut query = copying.command().spawn()?;
    copying.wait_until_copied(&mut query, 500)?;
    cluster.kill(1)?;
    cluster.restart(1)?;
    copying.send(1_000)?;
    copying.wait_until_copied(&mut query, 3_500)?;

    copying.send(3_000)?;
    copying.wait_until_copied(&mut query, 5_000)?;
    cluster.kill(1)?;
    query.kill()?;
    query.wait()?;
    cluster.restart(1)?;
    let again = copying.command().spawn()?;
    copying.every_row_was_copied_once(again)
}

fn a_query_waits_for_a_frozen_broker() -> Outcome {
    let mut cluster = Cluster::start(Options::default())?;
    let address: SocketAddr = cluster.bootstrap().parse()?;
    let mut copying = Copying::new(&cluster.bootstrap())?;
    copying.send(2_000)?;
    let mut query = copying.command().spawn()?;
    // The broker's session lasts two seconds.
    for (copied, frozen) in [(300, Duration::from_secs(1)), (1_500, Duration::from_secs(4))] {
        copying.wait_until_copied(&mut query, copied)?;
        cluster.freeze(1)?;
        assert!(brokers(address, frozen).is_err(), "it answers");
        cluster.resume(1)?;
        copying.send(1_000)?;
    }
    copying.every_row_was_copied_once(query)
}

fn a_query_follows_a_leader_that_is_killed() -> Outcome {
    let mut cluster = Cluster::start(Options {
        nodes: 3,
        ..Options::default()
    })?;
    let mut copying = Copying::new(&cluster.bootstrap())?;
    copying.send(2_000)?;
    let mut query = copying.command().spawn()?;
    copying.wait_until_copied(&mut query, 300)?;
    let leader = copying.input.admin.topic(&copying.input.name)?.partitions[0].leader;
    let leader = leader.ok_or("it has no leader")?;
    cluster.kill(NodeId::try_from(leader)?)?;
    copying.send(1_000)?;
    copying.every_row_was_copied_once(query)
}
