//! A failure on disk: the scenario with its rows as files, so that it can be run again as it was.
//!
//! ```text
//! target/failures/late_burst-8147/trace.toml              what this is
//!                                 late_burst.toml         the scenario, its streams read from files
//!                                 scotsmen/000000.jsonl   a file per micro-batch
//!                                 tables/population.jsonl
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, SchemaRef};
use skirl_engine::sql::spark_type_name;
use skirl_generator::Format;
use skirl_generator::trace::{TRACE_FILE, TraceColumn, TraceFile, TraceStream, file_name};

use super::files::write_file;
use super::schema::format_schema;
use super::{ReadError, Rows, Scenario, Stream};
use crate::case;
use crate::job::Job;
use crate::trace::Trace;

/// A failure that cannot be saved or loaded.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// A file or directory cannot be read or written.
    #[error("cannot access {}", .path.display())]
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

/// Saves `scenario` with its rows in `dir`, in place of a failure saved there before.
pub fn save(dir: &Path, scenario: &Scenario, seed: u64, rows: &Rows) -> Result<(), SaveError> {
    clear(dir)?;
    let mut streams = Vec::new();
    for (n, stream) in scenario.streams.iter().enumerate() {
        let batches: Vec<&RecordBatch> = rows
            .trace
            .micro_batches
            .iter()
            .map_while(|batch| batch.rows[n].as_ref())
            .collect();
        create(&dir.join(&stream.name))?;
        for (position, batch) in batches.iter().enumerate() {
            write_rows(
                &dir.join(&stream.name).join(file_name(position as u64, Format::Json)),
                batch,
            )?;
        }
        streams.push(described(&stream.name, batches.len() as u64, &stream.schema));
    }
    create(&dir.join("tables"))?;
    for (name, rows) in &scenario.tables {
        write_rows(&dir.join("tables").join(format!("{name}.jsonl")), rows)?;
    }
    write_text(
        &dir.join(format!("{}.toml", scenario.name)),
        &with_files(scenario, seed, rows),
    )?;
    write_trace_file(
        dir,
        TraceFile {
            version: 1,
            seed: Some(seed),
            kafka: None,
            streams,
        },
    )
}

/// Saves the case `name`, whose file holds its rows, in `dir`, in place of a failure saved there before.
pub fn save_case(dir: &Path, name: &str, path: &Path) -> Result<(), SaveError> {
    clear(dir)?;
    let text = std::fs::read_to_string(path).map_err(|source| SaveError::Io {
        path: path.to_path_buf(),
        source,
    })?;
    write_text(&dir.join(format!("{name}.json")), &text)?;
    write_trace_file(
        dir,
        TraceFile {
            version: 1,
            seed: None,
            kafka: None,
            streams: Vec::new(),
        },
    )
}

/// Loads what was saved in `dir`: the scenario or the case beside its `trace.toml`.
pub fn load(dir: &Path) -> Result<Saved, SaveError> {
    let foreign = |reason: String| SaveError::Foreign {
        path: dir.to_path_buf(),
        reason,
    };
    if !dir.is_dir() {
        return Err(foreign("there is no such directory".to_string()));
    }
    let text = std::fs::read_to_string(dir.join(TRACE_FILE)).map_err(|_| foreign(format!("it has no {TRACE_FILE}")))?;
    let trace = TraceFile::from_toml(&text).map_err(|error| foreign(error.to_string()))?;
    let mut files = list_files(dir)?;
    files.retain(|path| path.file_name().is_some_and(|name| name != TRACE_FILE));
    let with = |extension: &str| {
        files
            .iter()
            .find(|path| path.extension().is_some_and(|found| found == extension))
    };
    match (with("toml"), with("json")) {
        (Some(path), _) => Ok(Saved::Scenario(
            Box::new(Scenario::read(path)?),
            trace.seed.unwrap_or(0),
        )),
        (None, Some(path)) => {
            let case = case::read_case(path).map_err(|error| foreign(error.to_string()))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Ok(Saved::Case {
                name,
                job: Box::new(case.job),
                trace: case.trace,
            })
        }
        (None, None) => Err(foreign("it holds a trace without a scenario".to_string())),
    }
}

fn list_files(dir: &Path) -> Result<Vec<PathBuf>, SaveError> {
    let io = |source| SaveError::Io {
        path: dir.to_path_buf(),
        source,
    };
    let entries = std::fs::read_dir(dir)
        .map_err(io)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(io)?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

/// A stream as `trace.toml` describes it.
fn described(name: &str, micro_batches: u64, schema: &SchemaRef) -> TraceStream {
    let column = |field: &Arc<Field>| TraceColumn {
        name: field.name().clone(),
        kind: spark_type_name(field.data_type()),
    };
    let columns = schema.fields().iter().map(column).collect();
    TraceStream {
        name: name.to_string(),
        format: Format::Json,
        micro_batches,
        columns,
        spec: None,
        kafka: None,
    }
}

/// The scenario's text with streams and tables read from the files beside it.
fn with_files(scenario: &Scenario, seed: u64, rows: &Rows) -> String {
    let mut document: toml::Table = scenario.text.parse().expect("a scenario that was read is TOML");
    // Rows that arrive spoilt are made again: only their description says what they must be read as.
    if rows.read.is_none() {
        document.insert(
            "streams".to_string(),
            toml::Value::Table(stream_files(scenario, &rows.trace)),
        );
    }
    if !scenario.tables.is_empty() {
        let tables = scenario.tables.iter().map(|(name, rows)| {
            let table = given("file", format!("tables/{name}.jsonl"), &rows.schema());
            (name.clone(), toml::Value::Table(table))
        });
        document.insert("tables".to_string(), toml::Value::Table(tables.collect()));
    }
    document.insert("seed".to_string(), toml::Value::Integer(seed as i64));
    toml::to_string_pretty(&document).expect("a scenario that was read can be written")
}

fn stream_files(scenario: &Scenario, trace: &Trace) -> toml::Table {
    let stream = |(n, stream): (usize, &Stream)| {
        let has_files = trace
            .micro_batches
            .iter()
            .any(|micro_batch| micro_batch.rows[n].is_some());
        let mut table = given("files", stream.name.clone(), &stream.schema);
        if !has_files {
            table.remove("files");
            table.insert("batches".to_string(), toml::Value::Array(Vec::new()));
        }
        (stream.name.clone(), toml::Value::Table(table))
    };
    scenario.streams.iter().enumerate().map(stream).collect()
}

fn given(key: &str, path: String, schema: &SchemaRef) -> toml::Table {
    let entries = [(key, path), ("schema", format_schema(schema))];
    entries
        .into_iter()
        .map(|(key, value)| (key.to_string(), toml::Value::String(value)))
        .collect()
}

fn clear(dir: &Path) -> Result<(), SaveError> {
    if dir.join(TRACE_FILE).exists() {
        std::fs::remove_dir_all(dir).map_err(|source| SaveError::Io {
            path: dir.to_path_buf(),
            source,
        })?;
    }
    create(dir)
}

fn create(dir: &Path) -> Result<(), SaveError> {
    std::fs::create_dir_all(dir).map_err(|source| SaveError::Io {
        path: dir.to_path_buf(),
        source,
    })
}

/// Written last: where it is, everything is.
fn write_trace_file(dir: &Path, file: TraceFile) -> Result<(), SaveError> {
    let text = file.to_toml().map_err(|error| SaveError::Rows(error.to_string()))?;
    write_text(&dir.join(TRACE_FILE), &text)
}

fn write_rows(path: &Path, rows: &RecordBatch) -> Result<(), SaveError> {
    write_file(path, rows).map_err(SaveError::Rows)
}

fn write_text(path: &Path, text: &str) -> Result<(), SaveError> {
    std::fs::write(path, text).map_err(|source| SaveError::Io {
        path: path.to_path_buf(),
        source,
    })
}
