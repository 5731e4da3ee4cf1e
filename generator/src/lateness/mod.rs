//! How rows arrive: late, twice, never, spoilt, exactly on a border.
//!
//! A layer changes arrivals; [`crate::arrival`] sorts what the layers leave, so all disorder of a trace comes from this
//! folder. Layers work in a fixed order, whatever the order they are written in: what a clock says
//! comes before what a network delays, and what is lost was sent before. Several of one model keep their order.
//!
//! To add a layer, write `lateness/<name>.rs`, give it a variant in [`LayerSpec`], a name among the models, and a line in
//! `read`, `layer` and `rank` of [`LayerSpec`].

mod boundary;
mod by_partition;
mod clock;
mod corrupt;
mod device;
mod duplicate;
mod jump;
mod loss;
mod network;
mod null_time;
mod partition;
mod schedule;
mod shorthand;
mod spikes;
mod ties;

use std::fmt;

use serde::Serialize;
use toml::Spanned;

pub use boundary::Boundary;
pub use by_partition::{ByPartition, OfPartition};
pub use clock::{Clock, ClockStep};
pub use corrupt::{Corrupt, Fault, FaultKind};
pub use device::Device;
pub use duplicate::Duplicate;
pub use jump::Jump;
pub use loss::Loss;
pub use network::Network;
pub use null_time::NullTime;
pub use partition::Partition;
pub use schedule::{Change, Schedule};
pub use shorthand::parse_lateness;
pub use spikes::Spikes;
pub use ties::Ties;

use crate::arrival::Arrival;
use crate::seed::{Draws, Seed};
use crate::spec::{Kind, Node, SpecError, StreamSpec, Table, listed, suggestion};

/// Changes when, whether and how rows arrive.
///
/// Random draws are keyed by (stream, field, row number), never by the order of calls. Rows come in row order, in pieces
/// of any size, so a layer may remember what went before. A layer never lets a row arrive before it happened.
pub trait Layer: fmt::Debug + Send {
    /// Changes a piece of the arrivals.
    fn apply(&mut self, arrivals: &mut Vec<Arrival>);

    /// Sees each micro-batch when it is cut, in order; only event times may still change.
    fn at_cut(&mut self, _micro_batch: &mut [Arrival]) {}
}

/// What a layer may know of its stream.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The layer's own seed.
    pub seed: Seed,
    /// The seed of the stream's sources, shared by the layers that know devices or partitions.
    pub sources: Seed,
    /// Event time of the first row in microseconds since 1970.
    pub start: i64,
    /// Which columns are texts, in schema order.
    pub text_columns: Vec<bool>,
    /// The column with the event time.
    pub time_column: Option<usize>,
}

impl Scene {
    /// Draws that say which of several sources (devices, partitions) a row belongs to.
    fn source_draws(&self, name: &str) -> Draws {
        self.sources.draws(name)
    }
}

/// One of `count` sources for these bits.
fn source_of(bits: u64, count: u64) -> u64 {
    ((u128::from(bits) * u128::from(count)) >> 64) as u64
}

/// A layer as a scenario file names it, by `model`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "model", rename_all = "kebab-case")]
pub enum LayerSpec {
    /// Several rows at one event time.
    Ties(Ties),
    /// Single rows far off in event time.
    Jump(Jump),
    /// Device clocks that are wrong.
    Clock(Clock),
    /// Rows exactly on window ends and watermarks.
    Boundary(Boundary),
    /// Devices that are offline, then burst.
    Device(Device),
    /// Rare pauses of everything.
    Spikes(Spikes),
    /// Slow and idle partitions.
    Partition(Partition),
    /// Partitions with layers of their own.
    ByPartition(ByPartition),
    /// Rows that arrive again.
    Duplicate(Duplicate),
    /// Rows that never arrive.
    Loss(Loss),
    /// Rows spoilt on the way.
    Corrupt(Corrupt),
    /// Rows without an event time.
    NullTime(NullTime),
    /// Other layers from given times on.
    Schedule(Schedule),
    /// Delays of a network, named by their distribution.
    #[serde(untagged)]
    Network(Network),
}

/// Every model a layer may name.
const MODELS: [&str; 20] = [
    "constant",
    "uniform",
    "exponential",
    "lognormal",
    "pareto",
    "weibull",
    "empirical",
    "ties",
    "jump",
    "clock",
    "boundary",
    "device",
    "spikes",
    "partition",
    "by-partition",
    "duplicate",
    "loss",
    "corrupt",
    "null-time",
    "schedule",
];

impl LayerSpec {
    /// Reads one layer; `None` when its model is unknown.
    pub(crate) fn read(node: &Spanned<Node>) -> (Option<LayerSpec>, Vec<SpecError>) {
        let mut table = Table::new("a lateness layer", node);
        let model = table.required("model", "\"pareto\"", String::new());
        table.called(format!("the layer `{model}`"));
        let layer = match model.as_str() {
            "ties" => LayerSpec::Ties(Ties::read(&mut table)),
            "jump" => LayerSpec::Jump(Jump::read(&mut table)),
            "clock" => LayerSpec::Clock(Clock::read(&mut table)),
            "boundary" => LayerSpec::Boundary(Boundary::read(&mut table)),
            "device" => LayerSpec::Device(Device::read(&mut table)),
            "spikes" => LayerSpec::Spikes(Spikes::read(&mut table)),
            "partition" => LayerSpec::Partition(Partition::read(&mut table)),
            "by-partition" => LayerSpec::ByPartition(ByPartition::read(&mut table)),
            "duplicate" => LayerSpec::Duplicate(Duplicate::read(&mut table)),
            "loss" => LayerSpec::Loss(Loss::read(&mut table)),
            "corrupt" => LayerSpec::Corrupt(Corrupt::read(&mut table)),
            "null-time" => LayerSpec::NullTime(NullTime::read(&mut table)),
            "schedule" => LayerSpec::Schedule(Schedule::read(&mut table)),
            network => match Network::read(network, &mut table) {
                Some(network) => LayerSpec::Network(network),
                None => return (None, unknown_model(&model, table)),
            },
        };
        (Some(layer), table.finish())
    }

    /// The layer at work; its draws are named for the model and its number among those of the same model.
    fn layer(&self, scene: Scene) -> Box<dyn Layer> {
        match self {
            LayerSpec::Ties(spec) => spec.layer(&scene),
            LayerSpec::Jump(spec) => spec.layer(&scene),
            LayerSpec::Clock(spec) => spec.layer(&scene),
            LayerSpec::Boundary(spec) => spec.layer(&scene),
            LayerSpec::Device(spec) => spec.layer(&scene),
            LayerSpec::Network(spec) => spec.layer(&scene),
            LayerSpec::Spikes(spec) => spec.layer(&scene),
            LayerSpec::Partition(spec) => spec.layer(&scene),
            LayerSpec::ByPartition(spec) => spec.layer(&scene),
            LayerSpec::Duplicate(spec) => spec.layer(&scene),
            LayerSpec::Loss(spec) => spec.layer(&scene),
            LayerSpec::Corrupt(spec) => spec.layer(&scene),
            LayerSpec::NullTime(spec) => spec.layer(&scene),
            LayerSpec::Schedule(spec) => spec.layer(&scene),
        }
    }

    /// The place in the order of work, and the name of the draws.
    fn rank(&self) -> (usize, &'static str) {
        match self {
            LayerSpec::Ties(_) => (0, "ties"),
            LayerSpec::Jump(_) => (1, "jump"),
            LayerSpec::Clock(_) => (2, "clock"),
            LayerSpec::Boundary(_) => (3, "boundary"),
            LayerSpec::Device(_) => (4, "device"),
            LayerSpec::Network(_) => (5, "network"),
            LayerSpec::Spikes(_) => (6, "spikes"),
            LayerSpec::Partition(_) => (7, "partition"),
            LayerSpec::ByPartition(_) => (7, "by-partition"),
            LayerSpec::Duplicate(_) => (8, "duplicate"),
            LayerSpec::Loss(_) => (9, "loss"),
            LayerSpec::Corrupt(_) => (10, "corrupt"),
            LayerSpec::NullTime(_) => (11, "null-time"),
            LayerSpec::Schedule(_) => (12, "schedule"),
        }
    }
}

fn unknown_model(model: &str, mut table: Table) -> Vec<SpecError> {
    if !model.is_empty() {
        let hint = suggestion(model, &MODELS);
        table.wrong(
            "model",
            format!(
                "unknown lateness model `{model}`{hint}; the models are {}",
                listed(&MODELS)
            ),
        );
    }
    table.abandon()
}

/// Reads `lateness`: one layer as a table, several as a list of tables, or the command line's short form as a text.
pub(crate) fn read(node: &Spanned<Node>) -> (Vec<LayerSpec>, Vec<SpecError>) {
    match node.get_ref() {
        Node::List(nodes) => {
            let (layers, mistakes): (Vec<_>, Vec<_>) = nodes.iter().map(LayerSpec::read).unzip();
            (layers.into_iter().flatten().collect(), mistakes.concat())
        }
        Node::Text(text) => match parse_lateness(text) {
            Ok(layers) => (layers, vec![]),
            Err(message) => (
                vec![],
                vec![SpecError {
                    span: Some(node.span()),
                    message,
                }],
            ),
        },
        _ => {
            let (layer, mistakes) = LayerSpec::read(node);
            (layer.into_iter().collect(), mistakes)
        }
    }
}

/// What a stream's layers cannot do to its columns, as (field, message).
pub(crate) fn misfits(spec: &StreamSpec) -> Vec<(&'static str, String)> {
    let layers = flattened(&spec.lateness);
    let timed = spec.kind != Kind::Custom || spec.columns.iter().any(|column| column.is_event_time());
    let mut misfits = vec![];
    for layer in &layers {
        if !timed && matches!(layer.rank().0, 0..=3 | 11) {
            let message = format!(
                "the layer `{}` changes event times, but the stream has no column of model \"event-time\"; add one",
                layer.rank().1
            );
            misfits.push(("lateness", message));
        }
    }
    let boundaries = layers
        .iter()
        .filter(|layer| matches!(layer, LayerSpec::Boundary(_)))
        .count();
    if boundaries > 1 {
        misfits.push((
            "lateness",
            "two layers `boundary` would move each other's rows; keep one".into(),
        ));
    }
    misfits
}

/// Does any layer spoil rows, so that their text says more than their parsed values?
pub(crate) fn corrupts(layers: &[LayerSpec]) -> bool {
    flattened(layers)
        .iter()
        .any(|layer| matches!(layer, LayerSpec::Corrupt(_)))
}

/// All layers with those inside schedules and partitions.
fn flattened(layers: &[LayerSpec]) -> Vec<&LayerSpec> {
    let inner = layers.iter().flat_map(inside).flat_map(|layers| flattened(layers));
    layers.iter().chain(inner).collect()
}

fn inside(layer: &LayerSpec) -> Vec<&[LayerSpec]> {
    match layer {
        LayerSpec::Schedule(schedule) => schedule.changes.iter().map(|change| &change.lateness[..]).collect(),
        LayerSpec::ByPartition(by) => by.partitions.iter().map(|partition| &partition.lateness[..]).collect(),
        _ => vec![],
    }
}

/// The layers of a stream in their order of work.
pub fn layers(specs: &[LayerSpec], scene: &Scene) -> Vec<Box<dyn Layer>> {
    let mut ordered: Vec<&LayerSpec> = specs.iter().collect();
    ordered.sort_by_key(|layer| layer.rank().0);
    let mut number = 0;
    let mut last = "";
    let named = ordered.into_iter().map(|spec| {
        let name = spec.rank().1;
        number = if name == last { number + 1 } else { 0 };
        last = name;
        spec.layer(Scene {
            seed: scene.seed.named(&format!("{name}.{number}")),
            ..scene.clone()
        })
    });
    named.collect()
}
