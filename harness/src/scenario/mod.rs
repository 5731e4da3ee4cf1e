//! A scenario: streams, a query, and what must come out. One TOML file, one behaviour.
//!
//! A file is read to its end whatever is wrong in it: [`WrongScenario`] names all mistakes at once. To add a key, take
//! it from its [`section::Section`]; a key nobody takes is a mistake.

mod analysis;
mod conf;
mod duration;
mod expect;
mod files;
mod find;
mod follow_up;
mod generated;
mod inline;
mod kafka;
mod mistake;
mod options;
mod query;
mod save;
mod schema;
mod section;
mod stream;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use skirl_kafka::properties::names_a_secret;
use toml::de::DeTable;

pub(crate) use conf::is_known;
pub use duration::{parse_duration_ms, parse_time_ms, parse_time_us};
pub use expect::{Comparison, Expect, ExpectedError, Guard, Quantity};
pub(crate) use files::append_json_lines;
pub use files::read_file;
pub use find::{FindError, find};
pub use follow_up::FollowUp;
pub use generated::Generated;
pub use kafka::InTopics;
pub(crate) use mistake::suggestion;
pub use mistake::{Mistake, WrongScenario};
pub use query::Query;
pub use save::{SaveError, Saved, load, save, save_case};
pub use schema::{WrongSchema, format_schema, parse_schema};
pub use stream::{Stream, StreamSource};

use crate::job::{BatchClock, Feed, Job, Sink, Trigger, View};
use crate::shape::Shape;
use crate::trace::{MicroBatch, Trace};
use analysis::{SqlSpans, ViewSpans};
use mistake::Mistakes;
use section::Section;

/// A scenario file, read and found sound.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The file's name without its extension; unique in a run.
    pub name: String,
    /// A sentence that says what is proved.
    pub title: String,
    /// The file.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// What random rows are made from, unless the command line says another.
    pub seed: u64,
    /// Streams in the order of the file.
    pub streams: Vec<Stream>,
    /// Static tables by name.
    pub tables: Vec<(String, RecordBatch)>,
    /// Views in the order they are made.
    pub views: Vec<View>,
    /// The query.
    pub query: Query,
    /// How micro-batches become visible.
    pub feed: Feed,
    /// What "now" is.
    pub clock: BatchClock,
    /// When a batch runs.
    pub trigger: Trigger,
    /// Where the rows go.
    pub sink: Sink,
    /// Topics for its streams, if they are to live in Kafka.
    pub kafka: Option<InTopics>,
    /// Spark's settings that change results.
    pub conf: BTreeMap<String, String>,
    /// Queries on the memory table.
    pub follow_ups: Vec<FollowUp>,
    /// The guards.
    pub expect: Expect,
    /// How the query's output is made up; `None` if the query cannot be planned.
    pub shape: Option<Shape>,
}

/// A scenario that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot read {}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file has mistakes.
    #[error("{0}")]
    Wrong(Box<WrongScenario>),
}

impl Scenario {
    /// Reads the scenario file at `path`.
    pub fn read(path: &Path) -> Result<Scenario, ReadError> {
        let text = std::fs::read_to_string(path).map_err(|source| ReadError::Io {
            path: path.to_path_buf(),
            source,
        })?;
        Scenario::parse(path, &text).map_err(|wrong| ReadError::Wrong(Box::new(wrong)))
    }

    /// Reads the scenario `text` as if it stood at `path`, from which its name and its files' directory are taken.
    pub fn parse(path: &Path, text: &str) -> Result<Scenario, WrongScenario> {
        let mistakes = Mistakes::default();
        let (document, syntax_errors) = DeTable::parse_recoverable(text);
        for error in &syntax_errors {
            hide_secrets_around(error.span().unwrap_or(0..0), text, &mistakes);
            mistakes.note_with_help(
                error.span().unwrap_or(0..0),
                error.message(),
                "this is no TOML; see https://toml.io",
            );
        }
        let scenario = syntax_errors.is_empty().then(|| {
            let root = Section::new("the scenario", 0..0, document.into_inner(), &mistakes);
            read_root(root, path, text, &mistakes)
        });
        let scenario = scenario
            .flatten()
            .filter(|_| mistakes.len() == 0)
            .map(|(mut scenario, spans)| {
                scenario.shape = analysis::analyse(&scenario, &spans, &mistakes);
                scenario
            });
        match mistakes.into_wrong(path, text) {
            None => Ok(scenario.expect("without a mistake a scenario is read")),
            Some(wrong) => Err(wrong),
        }
    }

    /// What is run.
    pub fn job(&self) -> Job {
        Job {
            streams: self
                .streams
                .iter()
                .map(|stream| (stream.name.clone(), stream.schema.clone()))
                .collect(),
            tables: self.tables.clone(),
            views: self.views.clone(),
            sql: self.query.sql.clone(),
            output_mode: self.query.output_mode,
            conf: self.conf.clone(),
            feed: self.feed.clone(),
            clock: self.clock.clone(),
            trigger: self.trigger,
            sink: self.sink.clone(),
        }
    }

    /// The rows of every stream, made from `seed` where a generator makes them. The error is a sentence.
    pub fn rows(&self, seed: u64) -> Result<Rows, String> {
        let made = generated::make(&self.streams, seed)?;
        Ok(Rows {
            trace: trace_of(made.rows),
            read: made.read.map(trace_of),
        })
    }
}

/// Hides the values of lines with a mistake where nobody can tell yet what they say, if they look as if they held a secret.
fn hide_secrets_around(span: std::ops::Range<usize>, text: &str, mistakes: &Mistakes) {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        let is_touched = start <= span.end && span.start <= end;
        if is_touched && (names_a_secret(line) || line.contains('@')) {
            mistakes.hide(start + line.find('=').unwrap_or(0)..end);
        }
        start = end;
    }
}

/// Micro-batch by micro-batch what comes stream by stream.
fn trace_of(streams: Vec<Vec<RecordBatch>>) -> Trace {
    let length = streams.iter().map(Vec::len).max().unwrap_or(0);
    let rows = |n: usize| streams.iter().map(|batches| batches.get(n).cloned()).collect();
    Trace {
        micro_batches: (0..length).map(|n| MicroBatch { rows: rows(n) }).collect(),
    }
}

/// The rows of a scenario's streams.
#[derive(Debug, Clone)]
pub struct Rows {
    /// What they are: the oracle judges by these.
    pub trace: Trace,
    /// What a reader makes of them, where some arrive spoilt: the system is fed these.
    pub read: Option<Trace>,
}

/// Reads all sections, whatever is wrong in any of them.
fn read_root(mut root: Section, path: &Path, text: &str, mistakes: &Mistakes) -> Option<(Scenario, SqlSpans)> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let title = root.required_text("title", "\"Rows later than the watermark allows are dropped\"");
    if let Some(title) = title.as_ref().filter(|title| title.get_ref().trim().is_empty()) {
        mistakes.note(title.span(), "the title is empty; say what the scenario proves");
    }
    let seed = read_seed(&mut root);
    let streams = read_streams(&mut root, directory);
    let tables = read_tables(&mut root, directory);
    let (mut expect, guarded) = read_expect(&mut root);
    let (views, view_spans) = query::read_views(&mut root, expect.error.is_some());
    note_taken_names(&streams, &tables, &views, &view_spans, mistakes);
    let query = query::read(&mut root);
    let feed = query::read_feed(&mut root);
    if let Feed::RestartBefore(positions) = &feed {
        expect.restarts.clone_from(positions);
    }
    let trigger = query::read_trigger(&mut root);
    let clock = query::read_clock(&mut root, trigger);
    let sink = query::read_sink(
        &mut root,
        query.as_ref().map(|(query, _)| query),
        &feed,
        expect.error.is_some(),
    );
    let kafka = kafka::read(&mut root);
    let conf = conf::read(&mut root, expect.error.is_some());
    let follow_ups = follow_up::read_all(&mut root, &sink);
    if !guarded && follow_ups.iter().all(|follow_up| follow_up.rows.is_none()) {
        let message = "nothing guards this scenario: it would also pass if nothing happened";
        let help = "say in [expect] what must happen for it to mean anything: `late_rows = \"> 0\"`";
        mistakes.note_with_help(0..0, message, help);
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    root.finish();
    let (query, query_span) = query?;
    let scenario = Scenario {
        name,
        title: title?.into_inner(),
        path: path.to_path_buf(),
        text: text.to_string(),
        seed,
        streams,
        tables,
        views,
        query,
        feed,
        clock,
        trigger,
        sink,
        kafka,
        conf,
        follow_ups,
        expect,
        shape: None,
    };
    Some((
        scenario,
        SqlSpans {
            views: view_spans,
            query: query_span,
        },
    ))
}

/// Notes views whose name a stream, a table or a view before has: Spark would put the one in the place of the other, and
/// with it its watermark.
fn note_taken_names(
    streams: &[Stream],
    tables: &[(String, RecordBatch)],
    views: &[View],
    spans: &[ViewSpans],
    mistakes: &Mistakes,
) {
    let streams = streams.iter().map(|stream| ("stream", stream.name.as_str()));
    let tables = tables.iter().map(|(name, _)| ("table", name.as_str()));
    let mut taken: Vec<(&str, &str)> = streams.chain(tables).collect();
    for (view, spans) in views.iter().zip(spans) {
        let before = taken.iter().find(|(_, name)| name.eq_ignore_ascii_case(&view.name));
        if let Some((what, name)) = before {
            let message = format!("there is a {what} `{name}` already, whose place this view would take");
            mistakes.note_with_help(spans.name.clone(), message, "give the view a name of its own");
        }
        taken.push(("view", &view.name));
    }
}

fn read_seed(root: &mut Section) -> u64 {
    let Some(seed) = root.integer("seed") else { return 0 };
    u64::try_from(*seed.get_ref()).unwrap_or_else(|_| {
        root.mistakes.note(seed.span(), "a seed is not negative");
        0
    })
}

fn read_streams(root: &mut Section, directory: &Path) -> Vec<Stream> {
    if !root.has("streams") {
        root.missing("streams", "{ scotsmen = { kind = \"scotsmen\", rows = 1000 } }");
    }
    let Some(mut section) = root.section("streams") else {
        return Vec::new();
    };
    let sections = section.take_all();
    let count = sections.len();
    let read = |(name, value)| Stream::read(&name, value, directory, root.mistakes);
    let mut streams: Vec<Stream> = sections.into_iter().filter_map(read).collect();
    if streams.len() == count {
        generated::settle(&mut streams, root.mistakes);
    }
    streams
}

fn read_tables(root: &mut Section, directory: &Path) -> Vec<(String, RecordBatch)> {
    let Some(mut section) = root.section("tables") else {
        return Vec::new();
    };
    let tables: Vec<_> = section.take_all();
    tables
        .into_iter()
        .filter_map(|(name, value)| {
            let section = Section::of(format!("[tables.{}]", name.get_ref()), value, root.mistakes)?;
            table::read(&name, section, directory)
        })
        .collect()
}

/// The guards, and whether there are any; a wrong one counts, since it is reported by itself.
fn read_expect(root: &mut Section) -> (Expect, bool) {
    let mistakes_before = root.mistakes.len();
    let expect = root.section("expect").map(Expect::read).unwrap_or_default();
    let guarded = !expect.is_empty() || root.mistakes.len() > mistakes_before;
    (expect, guarded)
}

#[cfg(test)]
mod tests;
