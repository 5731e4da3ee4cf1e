//! Partitions that are late in ways of their own, as those of a topic whose leaders are on different machines.

use serde::Serialize;

use super::{Layer, LayerSpec, Scene, layers, read};
use crate::arrival::Arrival;
use crate::seed::{Draws, unit};
use crate::spec::{Node, Share, SpecError, Table};

/// Rows are spread over partitions, each with layers of its own.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ByPartition {
    /// The partitions.
    pub partitions: Vec<OfPartition>,
}

/// A partition's part of the rows, and what befalls them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OfPartition {
    /// Its rows.
    pub share: Share,
    /// Its layers; none when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lateness: Vec<LayerSpec>,
}

impl ByPartition {
    pub(super) fn read(table: &mut Table) -> ByPartition {
        let nodes = match table.node("partitions").map(|node| node.get_ref()) {
            Some(Node::List(nodes)) if !nodes.is_empty() => nodes.as_slice(),
            _ => {
                table.wrong(
                    "partitions",
                    "the layer `by-partition` needs `partitions`, such as \
                     `[{ share = 0.5 }, { share = 0.5, lateness = { model = \"constant\", delay = \"5s\" } }]`",
                );
                &[]
            }
        };
        let partitions: Vec<OfPartition> = nodes.iter().map(|node| table.absorb(OfPartition::read(node))).collect();
        let total: f64 = partitions.iter().map(|partition| partition.share.0).sum();
        table.demand(
            partitions.is_empty() || (total - 1.0).abs() < 1e-3,
            "partitions",
            || format!("the shares of partitions must add up to 1, found {total}"),
        );
        ByPartition { partitions }
    }

    pub(super) fn layer(&self, scene: &Scene) -> Box<dyn Layer> {
        let mut end = 0.0;
        let part = |(number, partition): (usize, &OfPartition)| {
            end += partition.share.0;
            let seed = scene.seed.named(&format!("partition.{number}"));
            Part {
                end,
                layers: layers(&partition.lateness, &Scene { seed, ..scene.clone() }),
            }
        };
        Box::new(Parts {
            parts: self.partitions.iter().enumerate().map(part).collect(),
            partition: scene.source_draws("partition"),
        })
    }
}

impl OfPartition {
    fn read(node: &toml::Spanned<Node>) -> (OfPartition, Vec<SpecError>) {
        let mut table = Table::new("a partition", node);
        let share = table.required("share", "0.5", Share(0.5));
        let lateness = match table.node("lateness") {
            Some(node) => table.absorb(read(node)),
            None => vec![],
        };
        for layer in &lateness {
            if let LayerSpec::Boundary(_) | LayerSpec::Schedule(_) | LayerSpec::ByPartition(_) = layer {
                let name = layer.rank().1;
                table.wrong(
                    "lateness",
                    format!("a partition cannot hold the layer `{name}`; put it beside the layer `by-partition`"),
                );
            }
        }
        (OfPartition { share, lateness }, table.finish())
    }
}

#[derive(Debug)]
struct Parts {
    parts: Vec<Part>,
    partition: Draws,
}

#[derive(Debug)]
struct Part {
    /// The shares up to this part.
    end: f64,
    layers: Vec<Box<dyn Layer>>,
}

impl Layer for Parts {
    fn apply(&mut self, arrivals: &mut Vec<Arrival>) {
        let mut of_parts: Vec<Vec<Arrival>> = self.parts.iter().map(|_| vec![]).collect();
        let last = self.parts.len() - 1;
        for arrival in arrivals.drain(..) {
            let at = unit(self.partition.at(arrival.row));
            // Shares that add up to a little less than 1 leave the rest to the last.
            let part = self.parts.partition_point(|part| part.end <= at).min(last);
            of_parts[part].push(arrival);
        }
        for (part, mut rows) in self.parts.iter_mut().zip(of_parts) {
            for layer in &mut part.layers {
                layer.apply(&mut rows);
            }
            arrivals.append(&mut rows);
        }
        arrivals.sort_by_key(|arrival| (arrival.row, arrival.copy));
    }
}

#[cfg(test)]
mod tests {
    use crate::generate;
    use crate::spec::StreamSpec;

    #[test]
    fn each_partition_is_late_in_its_own_way() {
        let spec = StreamSpec::from_toml(
            r#"
            kind = "scotsmen"
            rows = 4000
            lateness = { model = "by-partition", partitions = [
                { share = 0.5 },
                { share = 0.3, lateness = { model = "constant", delay = "5s" } },
                { share = 0.2, lateness = "constant,delay=9s" },
            ] }
            "#,
        );
        let trace = generate(&[("a".into(), spec.unwrap())], 7).unwrap();
        let arrivals = trace.streams[0].micro_batches.iter().flat_map(|batch| &batch.arrivals);
        let delays: Vec<i64> = arrivals
            .map(|arrival| (arrival.time - arrival.event_time) / 1_000_000)
            .collect();
        for (delay, share) in [(0, 0.5), (5, 0.3), (9, 0.2)] {
            let found = delays.iter().filter(|found| **found == delay).count() as f64 / delays.len() as f64;
            assert!(
                (found - share).abs() < 0.03,
                "{found} of the rows are {delay} s late, not {share}"
            );
        }
    }

    #[test]
    fn shares_that_do_not_add_up_are_refused() {
        let wrong = |partitions: &str| {
            let lateness = format!("{{ model = \"by-partition\", partitions = {partitions} }}");
            let mistakes =
                StreamSpec::from_toml(&format!("kind = \"scotsmen\"\nrows = 1\nlateness = {lateness}")).unwrap_err();
            mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        let boundary = "[{ share = 1, lateness = { model = \"boundary\", window = \"1m\" } }]";
        let all = [
            wrong("[]"),
            wrong("[{ share = 0.5 }, { share = 0.4 }]"),
            wrong("[{}]"),
            wrong(boundary),
        ];
        insta::assert_snapshot!(all.join("\n"), @r#"
        the layer `by-partition` needs `partitions`, such as `[{ share = 0.5 }, { share = 0.5, lateness = { model = "constant", delay = "5s" } }]`
        the shares of partitions must add up to 1, found 0.9
        a partition needs `share`; write for example `share = 0.5`
        the shares of partitions must add up to 1, found 0.5
        a partition cannot hold the layer `boundary`; put it beside the layer `by-partition`
        "#);
    }
}
