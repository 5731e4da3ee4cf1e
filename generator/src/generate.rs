//! Generating streams: in memory for a scenario, or into files for a trace.

mod stream;

use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

pub use stream::Stream;

use crate::arrival::Arrival;
use crate::card::{DisorderCard, DisorderCount};
use crate::encode::{Encoder, Format};
use crate::error::{Error, Result};
use crate::lateness;
use crate::progress::Progress;
use crate::seed::Seed;
use crate::spec::{SpecError, StreamSpec};
use crate::stream::build;
use crate::target;
use crate::trace::{TraceFile, TraceStream};

/// Streams generated in memory.
#[derive(Debug, Clone)]
pub struct GeneratedTrace {
    /// The streams, in the order of their specifications.
    pub streams: Vec<GeneratedStream>,
}

/// A stream with its micro-batches.
#[derive(Debug, Clone)]
pub struct GeneratedStream {
    /// Its name.
    pub name: String,
    /// Its columns, all nullable.
    pub schema: SchemaRef,
    /// The column with the event time, if there is one.
    pub time_column: Option<usize>,
    /// Its micro-batches, empty ones included.
    pub micro_batches: Vec<GeneratedBatch>,
    /// How far out of order it is.
    pub card: DisorderCard,
}

/// One micro-batch of a stream.
#[derive(Debug, Clone)]
pub struct GeneratedBatch {
    /// The rows as a reader must parse them, in arrival order.
    pub rows: RecordBatch,
    /// The JSON lines that `rows` are the reading of; only for streams with a layer that corrupts.
    pub raw: Option<Vec<u8>>,
    /// When and how each row arrived.
    pub arrivals: Vec<Arrival>,
}

/// Every mistake in these streams, those between streams included, each with the stream's name.
pub fn check(specs: &[(String, StreamSpec)]) -> Vec<(String, SpecError)> {
    let mut mistakes = vec![];
    for (index, (name, spec)) in specs.iter().enumerate() {
        let mut of_stream = spec.check(name);
        if specs[..index].iter().any(|(earlier, _)| earlier == name) {
            of_stream.push(SpecError {
                span: None,
                message: format!("two streams are named `{name}`; rename one"),
            });
        }
        if of_stream.is_empty() {
            match build(name, specs, &Seed::new(0)) {
                Err(Error::Spec { mistakes, .. }) => of_stream.extend(mistakes),
                Err(other) => of_stream.push(SpecError {
                    span: None,
                    message: other.to_string(),
                }),
                Ok(_) => {}
            }
        }
        mistakes.extend(of_stream.into_iter().map(|mistake| (name.clone(), mistake)));
    }
    mistakes
}

pub(crate) fn refuse_mistakes(specs: &[(String, StreamSpec)]) -> Result<()> {
    let all = check(specs);
    let Some((stream, _)) = all.first().cloned() else {
        return Ok(());
    };
    let mistakes = all
        .into_iter()
        .filter(|(name, _)| *name == stream)
        .map(|(_, mistake)| mistake)
        .collect();
    Err(Error::Spec { stream, mistakes })
}

/// Generates all streams in memory.
///
/// # Errors
/// When a specification is wrong, or its rows would need too many micro-batches.
pub fn generate(specs: &[(String, StreamSpec)], seed: u64) -> Result<GeneratedTrace> {
    refuse_mistakes(specs)?;
    let streams: Result<Vec<GeneratedStream>> = specs
        .iter()
        .map(|(name, spec)| {
            let mut stream = Stream::new(name, specs, seed)?;
            let mut micro_batches = vec![];
            let mut count = DisorderCount::default();
            while let Some(arrivals) = stream.next_arrivals()? {
                count.add(&arrivals);
                micro_batches.push(stream.batch(arrivals)?);
            }
            Ok(GeneratedStream {
                name: name.clone(),
                schema: stream.schema(),
                time_column: stream.time_column(),
                micro_batches,
                card: count.card(spec.rows),
            })
        })
        .collect();
    Ok(GeneratedTrace { streams: streams? })
}

/// What to generate, and where to.
#[derive(Debug, Clone)]
pub struct GenerateRequest {
    /// The streams by name.
    pub specs: Vec<(String, StreamSpec)>,
    /// The seed of all chance.
    pub seed: u64,
    /// The format of the files.
    pub format: Format,
    /// Where the rows go.
    pub target: Target,
    /// Only a part of the micro-batches, for several machines to share the work.
    pub shard: Option<Shard>,
}

/// Where rows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A trace: a directory for each stream, a file for each micro-batch, and `trace.toml`.
    Directory(PathBuf),
    /// Standard output: one stream, JSON or CSV.
    Stdout,
}

/// Every `of`-th micro-batch, from number `index` on (0-based).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// This shard, from 0.
    pub index: u64,
    /// All shards.
    pub of: u64,
}

impl Shard {
    /// Reads `1/4`, counted from 1 as people do.
    ///
    /// # Errors
    /// A sentence that says what to write.
    pub fn parse(text: &str) -> std::result::Result<Shard, String> {
        let wrong = || format!("`{text}` is not a shard; write for example 1/4 for the first of four");
        let (index, of) = text.split_once('/').ok_or_else(wrong)?;
        let index: u64 = index.trim().parse().map_err(|_| wrong())?;
        let of: u64 = of.trim().parse().map_err(|_| wrong())?;
        if index == 0 || index > of {
            Err(wrong())
        } else {
            Ok(Shard { index: index - 1, of })
        }
    }

    fn has(self, micro_batch: u64) -> bool {
        micro_batch % self.of == self.index
    }
}

/// What a run made.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The streams, in the order of their specifications.
    pub streams: Vec<StreamSummary>,
}

/// What a run made of one stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamSummary {
    /// Its name.
    pub name: String,
    /// Micro-batches written (of a shard, only its own).
    pub written: u64,
    /// Bytes written.
    pub bytes: u64,
    /// How far out of order the whole stream is.
    pub card: DisorderCard,
}

/// Generates streams and writes them.
///
/// # Errors
/// When a specification is wrong, things asked for do not go together, or files cannot be written.
pub fn run(request: &GenerateRequest, progress: &mut dyn Progress) -> Result<Summary> {
    refuse_mistakes(&request.specs)?;
    refuse_misfits(request)?;
    let mut target = target::open(request)?;
    let mut summary = Summary { streams: vec![] };
    let mut described = vec![];
    for (name, spec) in &request.specs {
        let mut stream = Stream::new(name, &request.specs, request.seed)?;
        let schema = stream.schema();
        let encoder = Encoder::new(request.format, &schema);
        target.begin(name)?;
        let of_stream = write_stream(name, spec, &mut stream, &encoder, request, target.as_mut(), progress)?;
        progress.finished(name);
        let micro_batches = of_stream.card.micro_batches;
        described.push(TraceStream::new(
            name,
            request.format,
            micro_batches,
            &schema,
            Some(spec),
        )?);
        summary.streams.push(of_stream);
    }
    target.finish(&TraceFile {
        version: 1,
        seed: Some(request.seed),
        kafka: None,
        streams: described,
    })?;
    Ok(summary)
}

fn refuse_misfits(request: &GenerateRequest) -> Result<()> {
    let refuse = |message: String| Err(Error::Unsupported(message));
    if request.specs.is_empty() {
        return refuse("there is no stream to generate".into());
    }
    if let Some((name, _)) = request
        .specs
        .iter()
        .find(|(_, spec)| lateness::corrupts(&spec.lateness))
        && request.format != Format::Json
    {
        return refuse(format!(
            "the layer `corrupt` of stream `{name}` spoils JSON lines; write `json`"
        ));
    }
    if i64::try_from(request.seed).is_err() {
        return refuse(format!("the seed {} is too large; take one below 2^63", request.seed));
    }
    if request.target == Target::Stdout && (request.specs.len() > 1 || request.format == Format::Parquet) {
        return refuse("standard output takes one stream, as JSON or CSV; give a directory for more".into());
    }
    if let Some(shard) = request.shard
        && (shard.of == 0 || shard.index >= shard.of)
    {
        return refuse(format!("there is no shard {} of {}", shard.index + 1, shard.of));
    }
    Ok(())
}

fn write_stream(
    name: &str,
    spec: &StreamSpec,
    stream: &mut Stream,
    encoder: &Encoder,
    request: &GenerateRequest,
    target: &mut dyn target::Sink,
    progress: &mut dyn Progress,
) -> Result<StreamSummary> {
    let mut count = DisorderCount::default();
    let (mut written, mut bytes) = (0, 0);
    let mut number = 0;
    let mut out = vec![];
    while let Some(arrivals) = stream.next_arrivals()? {
        count.add(&arrivals);
        if request.shard.is_none_or(|shard| shard.has(number)) {
            out.clear();
            stream.encode(&arrivals, encoder, &mut out)?;
            target.write(name, number, &out)?;
            written += 1;
            bytes += out.len() as u64;
        }
        number += 1;
        progress.rows(name, stream.rows_made(), spec.rows);
    }
    Ok(StreamSummary {
        name: name.to_owned(),
        written,
        bytes,
        card: count.card(spec.rows),
    })
}

#[cfg(test)]
mod tests;
