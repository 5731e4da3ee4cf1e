//! A schedule: other layers from given times on, as when a network gets worse for an hour.

use serde::Serialize;

use super::{Layer, LayerSpec, Scene, layers, read};
use crate::arrival::Arrival;
use crate::spec::{Micros, Node, SpecError, Table};

/// Layers that hold from a time until the next change, besides those outside the schedule.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Schedule {
    /// Changes, ascending.
    pub changes: Vec<Change>,
}

/// From `at` on, these layers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Event time since the start.
    pub at: Micros,
    /// The layers from then on; none when empty.
    pub lateness: Vec<LayerSpec>,
}

impl Schedule {
    pub(super) fn read(table: &mut Table) -> Schedule {
        let nodes = match table.node("changes").map(|node| node.get_ref()) {
            Some(Node::List(nodes)) => nodes.as_slice(),
            _ => {
                table.wrong(
                    "changes",
                    "a schedule needs `changes`, such as \
                     `[{ at = \"10m\", lateness = { model = \"constant\", delay = \"5s\" } }]`",
                );
                &[]
            }
        };
        let changes: Vec<Change> = nodes.iter().map(|node| table.absorb(Change::read(node))).collect();
        table.demand(
            changes.is_sorted_by(|left, right| left.at < right.at),
            "changes",
            || "the times `at` of a schedule's changes must ascend".into(),
        );
        Schedule { changes }
    }

    pub(super) fn layer(&self, scene: &Scene) -> Box<dyn Layer> {
        let phase = |(number, change): (usize, &Change)| {
            let seed = scene.seed.named(&format!("change.{number}"));
            Phase {
                from: scene.start + change.at.0,
                layers: layers(&change.lateness, &Scene { seed, ..scene.clone() }),
            }
        };
        Box::new(Scheduled {
            phases: self.changes.iter().enumerate().map(phase).collect(),
        })
    }
}

impl Change {
    fn read(node: &toml::Spanned<Node>) -> (Change, Vec<SpecError>) {
        let mut table = Table::new("a change of a schedule", node);
        let at = table.required("at", "\"10m\"", Micros(0));
        let lateness = match table.node("lateness") {
            Some(node) => table.absorb(read(node)),
            None => vec![],
        };
        for layer in &lateness {
            if let LayerSpec::Boundary(_) | LayerSpec::Schedule(_) = layer {
                let name = layer.rank().1;
                table.wrong(
                    "lateness",
                    format!("a schedule cannot hold the layer `{name}`; put it beside the schedule"),
                );
            }
        }
        (Change { at, lateness }, table.finish())
    }
}

#[derive(Debug)]
struct Scheduled {
    phases: Vec<Phase>,
}

#[derive(Debug)]
struct Phase {
    from: i64,
    layers: Vec<Box<dyn Layer>>,
}

impl Layer for Scheduled {
    fn apply(&mut self, arrivals: &mut Vec<Arrival>) {
        let mut rest = std::mem::take(arrivals);
        for phase in self.phases.iter_mut().rev() {
            let (earlier, mut of_phase): (Vec<_>, Vec<_>) = rest.into_iter().partition(|a| a.event_time < phase.from);
            for layer in &mut phase.layers {
                layer.apply(&mut of_phase);
            }
            arrivals.append(&mut of_phase);
            rest = earlier;
        }
        arrivals.append(&mut rest);
    }
}
