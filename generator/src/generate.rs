//! Generating streams: in memory for a scenario, or into files for a trace.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{nullif, take};
use arrow::datatypes::SchemaRef;

use crate::arrival::{Arrival, Arrivals, Arrived, NULL_TIME};
use crate::card::{DisorderCard, DisorderCount};
use crate::encode::{Encoder, Format, JsonEncoder};
use crate::error::{Error, Result};
use crate::lateness::{self, Scene};
use crate::pace::Pace;
use crate::progress::Progress;
use crate::seed::Seed;
use crate::spec::{SpecError, StreamSpec};
use crate::stream::{self, StreamKind};
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
            match stream::build(name, specs, &Seed::new(0)) {
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

/// One stream being generated, micro-batch by micro-batch: arrivals first (cheap), rows where they are wanted.
pub struct Stream {
    kind: Arc<dyn StreamKind>,
    arrivals: Arrivals,
    trailing: u64,
    json: Option<JsonEncoder>,
}

impl Stream {
    /// Stream `name` of `specs`, which must have been checked.
    ///
    /// # Errors
    /// When the stream is not there, or draws keys from one that is not.
    pub fn new(name: &str, specs: &[(String, StreamSpec)], seed: u64) -> Result<Stream> {
        let seed = Seed::new(seed);
        let kind = stream::build(name, specs, &seed)?;
        let Some((_, spec)) = specs.iter().find(|(known, _)| known == name) else {
            return Err(Error::Unsupported(format!("there is no stream `{name}`")));
        };
        let seed = seed.named(name);
        let schema = kind.schema();
        let is_text = |field: &Arc<arrow::datatypes::Field>| *field.data_type() == arrow::datatypes::DataType::Utf8;
        let scene = Scene {
            seed: seed.named("lateness"),
            sources: seed.named("sources"),
            start: spec.start.0,
            text_columns: schema.fields().iter().map(is_text).collect(),
            time_column: kind.time_column(),
        };
        let pace = Pace::new(&spec.pace, spec.start.0, &seed);
        let batches_from = spec.batches_from.unwrap_or(spec.start).0;
        let layers = lateness::layers(&spec.lateness, &scene);
        let arrivals = Arrivals::new(name, spec.rows, pace, layers, spec.cut(), batches_from).shifted(kind.shift());
        let json = lateness::corrupts(&spec.lateness).then(|| JsonEncoder::new(&schema));
        Ok(Stream {
            kind,
            arrivals,
            trailing: spec.trailing_batches,
            json,
        })
    }

    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        self.kind.schema()
    }

    /// The column with the event time, if there is one.
    pub fn time_column(&self) -> Option<usize> {
        self.kind.time_column()
    }

    /// Rows that have happened so far.
    pub fn rows_made(&self) -> u64 {
        self.arrivals.rows_made()
    }

    /// The arrivals of the next micro-batch; `None` after the last.
    ///
    /// # Errors
    /// When the stream would need too many micro-batches.
    pub fn next_arrivals(&mut self) -> Result<Option<Arrived>> {
        if let Some(arrivals) = self.arrivals.next_micro_batch()? {
            return Ok(Some(arrivals));
        }
        if self.trailing == 0 {
            return Ok(None);
        }
        self.trailing -= 1;
        Ok(Some(Arrived::Mixed(vec![])))
    }

    /// The micro-batch of these arrivals.
    ///
    /// # Errors
    /// When rows cannot be built.
    pub fn batch(&self, arrived: Arrived) -> Result<GeneratedBatch> {
        let sent = self.rows(&arrived)?;
        let arrivals = arrived.into_arrivals();
        let Some(json) = &self.json else {
            return Ok(GeneratedBatch {
                rows: sent,
                raw: None,
                arrivals,
            });
        };
        let mut raw = vec![];
        json.encode_spoilt(&sent, |row| arrivals[row].fault, &mut raw)?;
        Ok(GeneratedBatch {
            rows: parsed(&sent, &arrivals)?,
            raw: Some(raw),
            arrivals,
        })
    }

    /// Appends the file of these arrivals to `out`.
    ///
    /// # Errors
    /// When rows cannot be built or encoded.
    pub fn encode(&self, arrived: &Arrived, encoder: &Encoder, out: &mut Vec<u8>) -> Result<()> {
        self.encode_rows(&self.rows(arrived)?, arrived, encoder, out)
    }

    /// As [`Stream::encode`], with the rows of these arrivals at hand.
    pub(crate) fn encode_rows(
        &self,
        sent: &RecordBatch,
        arrived: &Arrived,
        encoder: &Encoder,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        match (&self.json, arrived) {
            (Some(json), Arrived::Mixed(arrivals)) => json.encode_spoilt(sent, |row| arrivals[row].fault, out),
            _ => encoder.encode(sent, out),
        }
    }

    /// The rows of these arrivals as they are sent, before anything spoils them.
    ///
    /// # Errors
    /// When rows cannot be built.
    pub fn rows(&self, arrived: &Arrived) -> Result<RecordBatch> {
        match arrived {
            Arrived::InOrder { first_row, times } => {
                let rows: Vec<u64> = (*first_row..*first_row + times.len() as u64).collect();
                self.kind.rows(&rows, times)
            }
            Arrived::Mixed(arrivals) => self.mixed_rows(arrivals),
        }
    }

    fn mixed_rows(&self, arrivals: &[Arrival]) -> Result<RecordBatch> {
        let rows = if arrivals.is_sorted_by_key(|arrival| arrival.row) {
            let rows: Vec<u64> = arrivals.iter().map(|arrival| arrival.row).collect();
            let times: Vec<i64> = arrivals.iter().map(|arrival| arrival.event_time).collect();
            self.kind.rows(&rows, &times)?
        } else {
            self.rows_out_of_order(arrivals)?
        };
        let Some(column) = self.kind.time_column() else {
            return Ok(rows);
        };
        with_column(&rows, column, stamps(arrivals))
    }

    /// Draws cost least in row order, so rows are made in it and then put in the order of arrival.
    fn rows_out_of_order(&self, arrivals: &[Arrival]) -> Result<RecordBatch> {
        let by_row = in_row_order(arrivals);
        let rows: Vec<u64> = by_row.iter().map(|(row, _)| *row).collect();
        let times: Vec<i64> = by_row
            .iter()
            .map(|(_, place)| arrivals[*place as usize].event_time)
            .collect();
        let made = self.kind.rows(&rows, &times)?;
        let mut source = vec![0u32; arrivals.len()];
        for (made_at, (_, place)) in by_row.iter().enumerate() {
            source[*place as usize] = made_at as u32;
        }
        let source = UInt32Array::from(source);
        let mut columns = made.columns().to_vec();
        for (index, column) in columns.iter_mut().enumerate() {
            // Event times are set from the arrivals afterwards.
            if self.kind.time_column() != Some(index) {
                *column = take(&*column, &source, None)?;
            }
        }
        Ok(RecordBatch::try_new(made.schema(), columns)?)
    }
}

/// Rows with their places in `arrivals`, by row: most already ascend, the late ones are sorted and merged in.
fn in_row_order(arrivals: &[Arrival]) -> Vec<(u64, u32)> {
    let mut ascending = Vec::with_capacity(arrivals.len());
    let mut late = vec![];
    let mut latest = None;
    for (place, arrival) in arrivals.iter().enumerate() {
        let entry = (arrival.row, place as u32);
        if Some(arrival.row) >= latest {
            latest = Some(arrival.row);
            ascending.push(entry);
        } else {
            late.push(entry);
        }
    }
    late.sort_unstable();
    ascending.append(&mut late);
    // Two ascending runs: the stable sort finds and merges them.
    ascending.sort();
    ascending
}

fn stamps(arrivals: &[Arrival]) -> ArrayRef {
    let stamps: TimestampMicrosecondArray = if arrivals.iter().any(|arrival| arrival.stamp == NULL_TIME) {
        arrivals
            .iter()
            .map(|arrival| (arrival.stamp != NULL_TIME).then_some(arrival.stamp))
            .collect()
    } else {
        arrivals
            .iter()
            .map(|arrival| arrival.stamp)
            .collect::<Vec<i64>>()
            .into()
    };
    Arc::new(stamps.with_timezone("+00:00"))
}

fn with_column(rows: &RecordBatch, column: usize, values: ArrayRef) -> Result<RecordBatch> {
    let mut columns = rows.columns().to_vec();
    columns[column] = values;
    Ok(RecordBatch::try_new(rows.schema(), columns)?)
}

/// What a parser makes of the rows: NULL where a fault hides a value.
fn parsed(sent: &RecordBatch, arrivals: &[Arrival]) -> Result<RecordBatch> {
    if arrivals.iter().all(|arrival| arrival.fault.is_none()) {
        return Ok(sent.clone());
    }
    let column = |(index, values): (usize, &ArrayRef)| {
        let hidden = arrivals
            .iter()
            .map(|arrival| Some(arrival.fault.is_some_and(|fault| fault.hides(index))));
        nullif(values, &hidden.collect::<BooleanArray>())
    };
    let columns: std::result::Result<Vec<ArrayRef>, _> = sent.columns().iter().enumerate().map(column).collect();
    Ok(RecordBatch::try_new(sent.schema(), columns?)?)
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
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::TimestampMicrosecondType;
    use proptest::prelude::*;

    use super::*;
    use crate::progress::Silent;
    use crate::spec::Kind;

    const LATE: &str = r#"
        kind = "scotsmen"
        rows = 3_000
        batch = "30s"
        lateness = [
            { model = "ties", share = "5%" },
            { model = "clock", offset = "3s", share = "10%" },
            { model = "device", on = "3m", off = "20s", flush_rate = 5, max_age = "15s" },
            { model = "pareto", share = "20%", scale = "2s", max = "5m" },
            { model = "spikes", share = "0.1%", pause = "10s" },
            { model = "partition", slow = "1s", idle_from = "5m", idle_to = "7m" },
            { model = "duplicate", share = "3%" },
            { model = "loss", share = "2%" },
            { model = "corrupt", share = "10%", oversize_bytes = 100 },
            { model = "null-time", share = "1%" },
            { model = "jump", share = "1%", by = "-1h" },
            { model = "schedule", changes = [{ at = "10m", lateness = { model = "constant", delay = "1s" } }] },
            { model = "boundary", window = "3m", delay = "30s" },
        ]
    "#;

    fn specs(texts: &[(&str, &str)]) -> Vec<(String, StreamSpec)> {
        texts
            .iter()
            .map(|(name, text)| (name.to_string(), StreamSpec::from_toml(text).unwrap()))
            .collect()
    }

    fn made(specs: &[(String, StreamSpec)], seed: u64) -> GeneratedTrace {
        generate(specs, seed).unwrap()
    }

    /// The rows of one stream as JSON lines, a text for each micro-batch.
    fn lines(stream: &GeneratedStream) -> Vec<Vec<u8>> {
        let json = JsonEncoder::new(&stream.schema);
        let text = |batch: &GeneratedBatch| {
            let mut out = vec![];
            json.encode(&batch.rows, &mut out).unwrap();
            out
        };
        stream.micro_batches.iter().map(text).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_rows_and_another_seed_others() {
        let specs = specs(&[("a", LATE)]);
        let first = lines(&made(&specs, 7).streams[0]);
        assert_eq!(first, lines(&made(&specs, 7).streams[0]));
        assert_ne!(first, lines(&made(&specs, 8).streams[0]));
    }

    #[test]
    fn adding_a_stream_changes_no_other() {
        let alone = made(&specs(&[("a", LATE)]), 7);
        let both = made(&specs(&[("b", "kind = \"weather\"\nrows = 50"), ("a", LATE)]), 7);
        assert_eq!(lines(&alone.streams[0]), lines(&both.streams[1]));
    }

    #[test]
    fn every_layer_leaves_its_mark() {
        let stream = &made(&specs(&[("a", LATE)]), 7).streams[0];
        let card = &stream.card;
        assert!(
            card.duplicates > 20 && card.lost > 50 && card.corrupt > 100 && card.without_event_time > 50,
            "{card}"
        );
        assert!(card.inversions > 100, "{card}");
    }

    #[test]
    fn rows_are_what_a_reader_makes_of_their_text() {
        let stream = &made(&specs(&[("a", LATE)]), 7).streams[0];
        for batch in &stream.micro_batches {
            let raw = batch.raw.as_ref().unwrap();
            let texts: Vec<&[u8]> = raw.split(|byte| *byte == b'\n').collect();
            assert_eq!(
                texts.len(),
                batch.rows.num_rows() + 1,
                "one line a row, and nothing after the last"
            );
            assert!(
                texts[..texts.len() - 1].iter().all(|text| !text.is_empty()),
                "a blank line would be no row"
            );
            for (row, arrival) in batch.arrivals.iter().enumerate() {
                let time = batch.rows.column(2).as_primitive::<TimestampMicrosecondType>();
                let seen = batch.rows.column(2).is_valid(row).then(|| time.value(row));
                assert_eq!(seen, arrival.seen_time());
            }
        }
    }

    #[test]
    fn no_row_arrives_before_it_happened_and_all_in_order() {
        let stream = &made(&specs(&[("a", LATE)]), 7).streams[0];
        let arrivals: Vec<&Arrival> = stream.micro_batches.iter().flat_map(|batch| &batch.arrivals).collect();
        assert!(arrivals.is_sorted_by_key(|arrival| arrival.time));
        assert!(arrivals.iter().all(|arrival| arrival.time >= arrival.event_time));
        let start = StreamSpec::new(Kind::Scotsmen, 1).start.0;
        for (number, batch) in stream.micro_batches.iter().enumerate() {
            let window = start + number as i64 * 30_000_000..start + (number as i64 + 1) * 30_000_000;
            assert!(
                batch.arrivals.iter().all(|arrival| window.contains(&arrival.time)),
                "micro-batch {number}"
            );
        }
    }

    #[test]
    fn boundary_rows_stand_on_window_ends_and_watermarks() {
        let spec = "kind = \"scotsmen\"\nrows = 1000\nbatch = \"20s\"\n\
                    lateness = { model = \"boundary\", window = \"1m\", delay = \"30s\" }";
        let stream = &made(&specs(&[("a", spec)]), 7).streams[0];
        let times: Vec<i64> = stream
            .micro_batches
            .iter()
            .flat_map(|batch| &batch.arrivals)
            .map(|a| a.stamp)
            .collect();
        let start = StreamSpec::new(Kind::Scotsmen, 1).start.0;
        for end in (1..15).map(|minute| start + minute * 60_000_000) {
            let around: Vec<i64> = [-1_000, 0, 1_000]
                .into_iter()
                .filter(|away| times.contains(&(end + away)))
                .collect();
            assert!(around.len() >= 2, "window end {end} has only {around:?}");
        }
        let mut latest = i64::MIN;
        for (number, batch) in stream.micro_batches.iter().enumerate() {
            if number > 0 {
                let watermark = latest / 1_000 * 1_000 - 30_000_000;
                let on = batch
                    .arrivals
                    .iter()
                    .filter(|arrival| (arrival.stamp - watermark).abs() <= 1_000)
                    .count();
                assert!(on >= 3, "micro-batch {number} has {on} rows around its watermark");
            }
            latest = batch
                .arrivals
                .iter()
                .map(|arrival| arrival.stamp)
                .fold(latest, i64::max);
        }
    }

    #[test]
    fn sales_follow_conversions_of_the_same_district() {
        let streams = specs(&[
            ("scotsmen", "kind = \"scotsmen\"\nrows = 200"),
            ("bagpipe", "kind = \"bagpipe\"\nrows = 200"),
        ]);
        let trace = made(&streams, 7);
        let rows = |stream: &GeneratedStream| -> Vec<(u64, String, i64)> {
            let of_batch = |batch: &GeneratedBatch| -> Vec<(u64, String, i64)> {
                let districts = batch.rows.column(0).as_string::<i32>();
                batch
                    .arrivals
                    .iter()
                    .enumerate()
                    .map(|(at, a)| (a.row, districts.value(at).into(), a.event_time))
                    .collect()
            };
            stream.micro_batches.iter().flat_map(of_batch).collect()
        };
        let conversions = rows(&trace.streams[0]);
        for (row, district, sold) in rows(&trace.streams[1]) {
            let (_, converted_in, converted) = &conversions[row as usize];
            assert_eq!(*converted_in, district);
            assert!(
                (0..=300_000_000).contains(&(sold - converted)),
                "sold {} us later",
                sold - converted
            );
        }
    }

    #[test]
    fn empty_micro_batches_are_kept() {
        let spec = "kind = \"scotsmen\"\nrows = 3\npace = { every = \"10s\" }\nbatch = \"4s\"\ntrailing_batches = 2";
        let stream = &made(&specs(&[("a", spec)]), 7).streams[0];
        let rows: Vec<usize> = stream.micro_batches.iter().map(|batch| batch.rows.num_rows()).collect();
        assert_eq!(rows, [1, 0, 1, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn custom_columns_have_their_types_and_models() {
        let spec = r#"
            kind = "custom"
            rows = 500
            columns = [
                { name = "id", type = "bigint", model = "sequence", start = 100, step = 5 },
                { name = "user", type = "string", template = "user-{value}", model = "zipf", n = 50 },
                { name = "page", type = "string", model = "choice", values = ["a", "b"], weights = [9, 1], nulls = "10%" },
                { name = "price", type = "decimal(10,2)", model = "uniform", min = "1.00", max = "9.99" },
                { name = "score", type = "double", model = "normal", mean = 5, deviation = 2 },
                { name = "clicks", type = "int", model = "poisson", mean = 2 },
                { name = "vip", type = "boolean", model = "choice", values = [true, false] },
                { name = "day", type = "date", model = "uniform", min = "2024-01-01", max = "2024-01-31" },
                { name = "seen", type = "timestamp", model = "event-time" },
                { name = "note", type = "string", template = "row {row}" },
                { name = "district", type = "string", model = "key", stream = "scotsmen", column = "district" },
            ]
        "#;
        let streams = specs(&[("clicks", spec), ("scotsmen", "kind = \"scotsmen\"\nrows = 10")]);
        let stream = &made(&streams, 7).streams[0];
        let text = String::from_utf8(lines(stream).concat()).unwrap();
        insta::assert_snapshot!(text.lines().take(3).collect::<Vec<_>>().join("\n"), @r#"
        {"id":100,"user":"user-1","page":null,"price":6.07,"score":6.8194637639579305,"clicks":3,"vip":false,"day":"2024-01-05","seen":"2024-01-01T00:00:00Z","note":"row 0","district":"Porto"}
        {"id":105,"user":"user-1","page":"a","price":5.48,"score":6.044629600171812,"clicks":1,"vip":false,"day":"2024-01-11","seen":"2024-01-01T00:00:01Z","note":"row 1","district":"Lisboa"}
        {"id":110,"user":"user-15","page":"a","price":8.59,"score":3.882306790038114,"clicks":2,"vip":true,"day":"2024-01-04","seen":"2024-01-01T00:00:02Z","note":"row 2","district":"Porto"}
        "#);
        assert_eq!(stream.time_column, Some(8));
    }

    #[test]
    fn a_circle_of_keys_is_refused() {
        let column = |stream: &str| {
            format!(
                "kind = \"custom\"\nrows = 5\n\
                 columns = [{{ name = \"k\", type = \"string\", model = \"key\", stream = \"{stream}\", column = \"k\" }}]"
            )
        };
        let streams = specs(&[("a", &column("b")), ("b", &column("a"))]);
        insta::assert_snapshot!(generate(&streams, 7).unwrap_err(), @"stream `a`: its keys come from stream `a` again through a, b; break the circle");
    }

    #[test]
    fn shards_write_the_files_of_the_whole() {
        let directory = tempfile::tempdir().unwrap();
        let request = |to: &str, format, shard| GenerateRequest {
            specs: specs(&[(
                "a",
                if format == Format::Json {
                    LATE
                } else {
                    "kind = \"bagpipe\"\nrows = 3000\nbatch_rows = 100"
                },
            )]),
            seed: 7,
            format,
            target: Target::Directory(directory.path().join(to)),
            shard,
        };
        for format in [Format::Json, Format::Csv, Format::Parquet] {
            let (whole, parts) = (format!("{format}-whole"), format!("{format}-parts"));
            run(&request(&whole, format, None), &mut Silent).unwrap();
            for index in 0..3 {
                run(&request(&parts, format, Some(Shard { index, of: 3 })), &mut Silent).unwrap();
            }
            let files = |name: &str| -> Vec<(String, Vec<u8>)> {
                let mut files: Vec<PathBuf> = std::fs::read_dir(directory.path().join(name).join("a"))
                    .unwrap()
                    .map(|entry| entry.unwrap().path())
                    .collect();
                files.push(directory.path().join(name).join("trace.toml"));
                files.sort();
                let named = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
                files
                    .iter()
                    .map(|path| (named(path), std::fs::read(path).unwrap()))
                    .collect()
            };
            assert!(files(&whole).len() > 20);
            assert_eq!(files(&whole), files(&parts), "{format}");
        }
    }

    #[test]
    fn a_trace_says_what_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let request = GenerateRequest {
            specs: specs(&[("a", LATE)]),
            seed: 7,
            format: Format::Json,
            target: Target::Directory(directory.path().to_owned()),
            shard: None,
        };
        run(&request, &mut Silent).unwrap();
        let text = std::fs::read_to_string(directory.path().join("trace.toml")).unwrap();
        let trace = TraceFile::from_toml(&text).unwrap();
        assert_eq!(
            trace.streams[0].schema().unwrap(),
            made(&request.specs, 7).streams[0].schema
        );
        let spec = toml::to_string(trace.streams[0].spec.as_ref().unwrap()).unwrap();
        assert_eq!(
            StreamSpec::from_toml(&spec).unwrap().lateness,
            request.specs[0].1.lateness
        );
        let again = run(&request, &mut Silent).unwrap_err();
        assert!(matches!(again, Error::DirectoryInUse { .. }), "{again}");
    }

    #[test]
    fn requests_that_do_not_go_together_are_refused() {
        let request = |format, target| GenerateRequest {
            specs: specs(&[("a", LATE)]),
            seed: 7,
            format,
            target,
            shard: None,
        };
        let parquet = run(
            &request(Format::Parquet, Target::Directory("nowhere".into())),
            &mut Silent,
        );
        insta::assert_snapshot!(parquet.unwrap_err(), @"the layer `corrupt` of stream `a` spoils JSON lines; write `json`");
        let mut two = request(Format::Json, Target::Stdout);
        two.specs.extend(specs(&[("b", "kind = \"weather\"\nrows = 5")]));
        insta::assert_snapshot!(run(&two, &mut Silent).unwrap_err(), @"standard output takes one stream, as JSON or CSV; give a directory for more");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        /// However micro-batches are cut, the rows and their order are the same.
        #[test]
        fn the_cut_changes_no_row(seed in 0u64..1_000, batch_rows in 1u64..500, seconds in 1i64..600) {
            let by = |cut: String| {
                let text = format!(
                    "kind = \"scotsmen\"\nrows = 500\n{cut}\nlateness = [{{ model = \"pareto\", share = 0.3 , max = \"5m\"}}, \
                     {{ model = \"duplicate\", share = 0.1 }}, {{ model = \"loss\" }}]"
                );
                lines(&made(&specs(&[("a", &text)]), seed).streams[0]).concat()
            };
            prop_assert_eq!(by(format!("batch_rows = {batch_rows}")), by(format!("batch = \"{seconds}s\"")));
        }
    }
}
