//! Partitions that are slow, or silent for a while and then catch up.

use serde::Serialize;

use super::{Layer, Scene, source_of};
use crate::arrival::Arrival;
use crate::seed::Draws;
use crate::spec::{Micros, Table};

/// Rows are spread over partitions; the first is slow, or idle for a while, or both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Partition {
    /// Partitions the rows are spread over.
    pub partitions: u64,
    /// Delay of the first partition's rows.
    pub slow: Micros,
    /// Since the start: from then the first partition is idle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_from: Option<Micros>,
    /// Since the start: then it sends all that it kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_to: Option<Micros>,
}

impl Partition {
    pub(super) fn read(table: &mut Table) -> Partition {
        let partition = Partition {
            partitions: table.or("partitions", 4),
            slow: table.or("slow", Micros(0)),
            idle_from: table.optional("idle_from"),
            idle_to: table.optional("idle_to"),
        };
        table.demand(partition.partitions > 0, "partitions", || {
            "`partitions` must be at least 1".into()
        });
        table.demand(partition.slow.0 >= 0, "slow", || "`slow` cannot be negative".into());
        let ordered = match (partition.idle_from, partition.idle_to) {
            (Some(from), Some(to)) => from < to,
            (None, None) => true,
            _ => false,
        };
        table.demand(ordered, "idle_to", || {
            "an idle partition needs `idle_from` and a later `idle_to`, such as \"2m\" and \"5m\"".into()
        });
        partition
    }

    pub(super) fn layer(&self, scene: &Scene) -> Box<dyn Layer> {
        let idle = self
            .idle_from
            .zip(self.idle_to)
            .map(|(from, to)| (scene.start + from.0, scene.start + to.0));
        let (partitions, slow) = (self.partitions, self.slow.0);
        Box::new(SlowPartition {
            partitions,
            slow,
            idle,
            partition: scene.source_draws("partition"),
        })
    }
}

#[derive(Debug)]
struct SlowPartition {
    partitions: u64,
    slow: i64,
    idle: Option<(i64, i64)>,
    partition: Draws,
}

impl Layer for SlowPartition {
    fn apply(&mut self, arrivals: &mut Vec<Arrival>) {
        for arrival in arrivals {
            if source_of(self.partition.at(arrival.row), self.partitions) > 0 {
                continue;
            }
            arrival.time += self.slow;
            if let Some((from, to)) = self.idle
                && (from..to).contains(&arrival.time)
            {
                arrival.time = to;
            }
        }
    }
}
