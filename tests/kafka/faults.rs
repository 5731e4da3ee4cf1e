//! Brokers that are killed, frozen or away while `skirl load` sends: nothing that was acknowledged is lost.

use skirl::broker::{Cluster, NodeId, Options};
use skirl::load::plan::RowPlan;
use skirl::load::{Outcome as LoadOutcome, Plan};
use skirl_kafka::{Admin, Properties};

use crate::loaded::{Running, plan};
use crate::needs::{Outcome, Test, shared, soon, tests, unique};

pub const TESTS: &[Test] = tests! {
    Broker:
        rows_too_large_for_the_topic_are_reported_and_the_others_are_written;
    OwnCluster:
        a_broker_killed_and_restarted_under_load_loses_nothing,
        an_idempotent_producer_doubles_and_reorders_nothing_either,
        a_broker_frozen_for_less_or_more_than_its_session_loses_nothing,
        a_leader_moved_by_kill_and_by_election_loses_nothing;
};

fn a_broker_killed_and_restarted_under_load_loses_nothing() -> Outcome {
    let outcome = killed_and_restarted("killed", |_| ())?;
    // Whether a batch was written whose acknowledgement the kill cut off is chance; then it is there twice, and said to be.
    let received = outcome.received.as_ref().expect("it was read back");
    assert_eq!(received.counts.rows, outcome.rows.queued, "{received:?}");
    Ok(())
}

fn an_idempotent_producer_doubles_and_reorders_nothing_either() -> Outcome {
    let outcome = killed_and_restarted("idempotent", |plan| {
        plan.client.set("enable.idempotence", "true").expect("a property");
    })?;
    let counts = outcome.received.as_ref().expect("it was read back").counts;
    assert_eq!((counts.duplicates, counts.reordered), (0, 0));
    assert_eq!(outcome.setup.producer["enable.idempotence"], "true");
    Ok(())
}

/// A run of 12 s whose broker is killed after three, and started again.
fn killed_and_restarted(topic: &str, change: impl FnOnce(&mut Plan)) -> Result<LoadOutcome, libtest_mimic::Failed> {
    let mut cluster = Cluster::start(Options::default())?;
    let mut plan = plan(&cluster.bootstrap(), topic, 2_000.0, 12);
    change(&mut plan);
    let running = Running::start(plan);
    running.wait_until_acknowledged(6_000);
    cluster.kill(1)?;
    cluster.restart(1)?;
    let outcome = running.outcome()?;
    nothing_is_lost(&outcome);
    assert_eq!(outcome.rows.failed, Default::default());
    let latency = outcome.spans[&skirl::load::latency::Span::Latency].total()?;
    assert!(latency.max() > 1_000_000, "its absence is seen: {} us", latency.max());
    Ok(outcome)
}

fn a_broker_frozen_for_less_or_more_than_its_session_loses_nothing() -> Outcome {
    let mut cluster = Cluster::start(Options::default())?;
    let running = Running::start(plan(&cluster.bootstrap(), "frozen", 1_000.0, 14));
    running.wait_until_acknowledged(2_000);
    // The session lasts two seconds.
    for (until_queued, frozen_s) in [(3_000, 1), (9_000, 4)] {
        running.wait_until_queued(until_queued);
        cluster.freeze(1)?;
        running.wait_until_queued(until_queued + frozen_s * 1_000);
        cluster.resume(1)?;
    }
    let outcome = running.outcome()?;
    nothing_is_lost(&outcome);
    let latency = outcome.spans[&skirl::load::latency::Span::Latency].total()?;
    assert!(latency.max() > 3_500_000, "{} us", latency.max());
    Ok(())
}

fn a_leader_moved_by_kill_and_by_election_loses_nothing() -> Outcome {
    let mut cluster = Cluster::start(Options {
        nodes: 3,
        ..Options::default()
    })?;
    let bootstrap = cluster.bootstrap();
    let admin = Admin::connect(&Properties::new(&bootstrap))?;
    let mut plan = plan(&bootstrap, "moved", 1_000.0, 25);
    plan.topic.replication = Some(3);
    plan.topic.partitions = Some(1);
    let running = Running::start(plan);
    running.wait_until_acknowledged(2_000);
    let preferred = leader(&admin).expect("it has one");
    cluster.kill(NodeId::try_from(preferred)?)?;
    soon("no other node leads", || {
        leader(&admin).filter(|leader| *leader != preferred)
    })?;
    cluster.restart(NodeId::try_from(preferred)?)?;
    // It may lead again once it has caught up.
    soon("the preferred node does not lead again", || {
        admin.elect_preferred_leader("moved", 0).ok()?;
        leader(&admin).filter(|leader| *leader == preferred)
    })?;
    let outcome = running.outcome()?;
    nothing_is_lost(&outcome);
    assert_eq!(outcome.setup.topics[0].replicas, 3);
    Ok(())
}

fn leader(admin: &Admin) -> Option<i32> {
    admin.topic("moved").ok()?.partitions[0].leader
}

fn rows_too_large_for_the_topic_are_reported_and_the_others_are_written() -> Outcome {
    let (bootstrap, topic) = (shared()?, unique("too-large"));
    // The client takes them, the topic with its default of a megabyte does not.
    let mut by_topic = plan(&bootstrap, &topic, 20.0, 1);
    by_topic.rows = RowPlan::Synthetic {
        size: 1_500_000,
        keys: 0,
    };
    by_topic.client.set("message.max.bytes", "10000000")?;
    let outcome = Running::start(by_topic.clone()).outcome()?;
    assert_eq!(
        (outcome.rows.acknowledged, outcome.rows.failed()),
        (0, outcome.rows.queued)
    );
    let reason = outcome.rows.failed.keys().next().expect("a reason");
    assert!(reason.contains("`max.message.bytes` of the topic"), "{reason}");
    nothing_is_lost(&outcome);

    let mut by_client = by_topic;
    by_client.client.set("message.max.bytes", "1000000")?;
    let outcome = Running::start(by_client).outcome()?;
    let reason = outcome.rows.failed.keys().next().expect("a reason");
    assert!(reason.contains("`message.max.bytes`"), "{reason}");
    Ok(())
}

#[track_caller]
fn nothing_is_lost(outcome: &LoadOutcome) {
    let received = outcome.received.as_ref().expect("it was read back");
    assert_eq!(received.incomplete, None);
    assert_eq!(received.comparison.lost, 0, "{:?}", received.comparison);
}
