//! A failure on disk: the scenario with its rows as files, so that it can be run again as it was.
//!
//! ```text
//! target/failures/late_burst-8147/trace.toml              what this is
//!                                 late_burst.toml         the scenario, its streams read from files
//!                                 scotsmen/000000.jsonl   a file per micro-batch
//!                                 tables/population.jsonl
//! ```

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};

use super::files::write_file;
use super::schema::format_schema;
use super::{ReadError, Scenario};
use crate::case;
use crate::job::Job;
use crate::trace::Trace;

/// A failure that cannot be saved or loaded.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// A file or directory cannot be read or written.
    #[error("cannot access {}: {source}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The directory holds no saved failure.
    #[error("{} is no saved failure: {reason}; give the directory that `skirl run` named", .path.display())]
    Foreign {
        /// The directory or its `trace.toml`.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The saved scenario is wrong.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file of rows cannot be written.
    #[error("{0}")]
    Rows(String),
}

/// What `trace.toml` says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TraceFile {
    /// The scenario file beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    scenario: Option<String>,
    /// The case file beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    case: Option<String>,
    /// What the rows were made from.
    seed: u64,
    micro_batches: usize,
}

/// A saved failure.
pub enum Saved {
    /// A scenario and the seed its rows were made from.
    Scenario(Box<Scenario>, u64),
    /// A vector case.
    Case {
        /// Its name.
        name: String,
        /// What is run.
        job: Box<Job>,
        /// Over which rows.
        trace: Trace,
    },
}

/// Saves `scenario` with the rows of `trace` in `dir`, in place of a failure saved there before.
pub fn save(dir: &Path, scenario: &Scenario, seed: u64, trace: &Trace) -> Result<(), SaveError> {
    clear(dir)?;
    for (n, stream) in scenario.streams.iter().enumerate() {
        let directory = dir.join(&stream.name);
        create(&directory)?;
        for (position, micro_batch) in trace.micro_batches.iter().enumerate() {
            if let Some(rows) = &micro_batch.rows[n] {
                write_rows(&directory.join(format!("{position:06}.jsonl")), rows)?;
            }
        }
    }
    create(&dir.join("tables"))?;
    for (name, rows) in &scenario.tables {
        write_rows(&dir.join("tables").join(format!("{name}.jsonl")), rows)?;
    }
    let file = format!("{}.toml", scenario.name);
    write_text(&dir.join(&file), &with_files(scenario, seed, trace))?;
    let trace_file = TraceFile { scenario: Some(file), case: None, seed, micro_batches: trace.micro_batches.len() };
    write_trace_file(dir, &trace_file)
}

/// Saves the case `name`, whose file holds its rows, in `dir`.
pub fn save_case(dir: &Path, name: &str, path: &Path) -> Result<(), SaveError> {
    clear(dir)?;
    let text = std::fs::read_to_string(path).map_err(|source| SaveError::Io { path: path.to_path_buf(), source })?;
    let file = format!("{name}.json");
    write_text(&dir.join(&file), &text)?;
    let trace = case::read(path).map_or(0, |(_, trace)| trace.micro_batches.len());
    write_trace_file(dir, &TraceFile { scenario: None, case: Some(file), seed: 0, micro_batches: trace })
}

/// Loads what was saved in `dir`.
pub fn load(dir: &Path) -> Result<Saved, SaveError> {
    let path = dir.join("trace.toml");
    let foreign = |reason: String| SaveError::Foreign { path: dir.to_path_buf(), reason };
    let text = std::fs::read_to_string(&path).map_err(|_| foreign("it has no trace.toml".to_string()))?;
    let saved: TraceFile = toml::from_str(&text).map_err(|error| foreign(format!("trace.toml: {}", error.message())))?;
    match (&saved.scenario, &saved.case) {
        (Some(file), _) => Ok(Saved::Scenario(Box::new(Scenario::read(&dir.join(file))?), saved.seed)),
        (None, Some(file)) => {
            let name = file.trim_end_matches(".json").to_string();
            let (job, trace) = case::read(&dir.join(file)).map_err(|error| foreign(error.to_string()))?;
            Ok(Saved::Case { name, job: Box::new(job), trace })
        }
        (None, None) => Err(foreign("its trace.toml names no scenario".to_string())),
    }
}

/// The scenario's text with streams and tables read from the files beside it.
fn with_files(scenario: &Scenario, seed: u64, trace: &Trace) -> String {
    let mut document: toml::Table = scenario.text.parse().expect("a scenario that was read is TOML");
    let streams = scenario.streams.iter().enumerate().map(|(n, stream)| {
        let has_files = trace.micro_batches.iter().any(|micro_batch| micro_batch.rows[n].is_some());
        let mut table = given("files", stream.name.clone(), &stream.schema);
        if !has_files {
            table.remove("files");
            table.insert("batches".to_string(), toml::Value::Array(Vec::new()));
        }
        (stream.name.clone(), toml::Value::Table(table))
    });
    document.insert("streams".to_string(), toml::Value::Table(streams.collect()));
    if !scenario.tables.is_empty() {
        let tables = scenario.tables.iter().map(|(name, rows)| {
            let table = given("file", format!("tables/{name}.jsonl"), &rows.schema());
            (name.clone(), toml::Value::Table(table))
        });
        document.insert("tables".to_string(), toml::Value::Table(tables.collect()));
    }
    // Seeds beyond TOML's numbers are kept in trace.toml alone.
    document.insert("seed".to_string(), toml::Value::Integer(i64::try_from(seed).unwrap_or(0)));
    toml::to_string_pretty(&document).expect("a scenario that was read can be written")
}

fn given(key: &str, path: String, schema: &SchemaRef) -> toml::Table {
    let entries = [(key, path), ("schema", format_schema(schema))];
    entries.into_iter().map(|(key, value)| (key.to_string(), toml::Value::String(value))).collect()
}

fn clear(dir: &Path) -> Result<(), SaveError> {
    if dir.join("trace.toml").exists() {
        std::fs::remove_dir_all(dir).map_err(|source| SaveError::Io { path: dir.to_path_buf(), source })?;
    }
    create(dir)
}

fn create(dir: &Path) -> Result<(), SaveError> {
    std::fs::create_dir_all(dir).map_err(|source| SaveError::Io { path: dir.to_path_buf(), source })
}

fn write_trace_file(dir: &Path, file: &TraceFile) -> Result<(), SaveError> {
    write_text(&dir.join("trace.toml"), &toml::to_string(file).expect("three plain values can be written"))
}

fn write_rows(path: &Path, rows: &RecordBatch) -> Result<(), SaveError> {
    write_file(path, rows).map_err(SaveError::Rows)
}

fn write_text(path: &Path, text: &str) -> Result<(), SaveError> {
    std::fs::write(path, text).map_err(|source| SaveError::Io { path: path.to_path_buf(), source })
}
