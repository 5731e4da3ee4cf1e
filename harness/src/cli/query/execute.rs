//! Runs what `skirl query` was asked for on the embedded engine.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use skirl_engine::clock::{Clock, SystemClock};
use skirl_engine::error::in_full;
use skirl_engine::format::FileFormat;
use skirl_engine::format::columns::Columns;
use skirl_engine::format::text::text_schema;
use skirl_engine::format::without_compression;
use skirl_engine::sink::show::show;
use skirl_engine::sink::{ConsoleSink, FileSink, ForeachBatchSink, MemoryTable, Sink};
use skirl_engine::source::files::options_in_session;
use skirl_engine::source::{FileOrder, FileSource, SocketSource, Source};
use skirl_engine::spelling::closest;
use skirl_engine::sql::setting_names;
use skirl_engine::storage::DirStorage;
use skirl_engine::{BatchProgress, Session};
use skirl_generator::trace::TRACE_FILE;

use super::refusal::explained;
use super::{Request, SinkPlace, SourceRequest, StreamRequest, TableSource, topic};
use crate::cli::out;
use crate::scenario::format_schema;

/// Spark's settings that change how files are read.
const FILE_SETTINGS: [&str; 6] = [
    "spark.sql.columnNameOfCorruptRecord",
    "spark.sql.csv.parser.columnPruning.enabled",
    "spark.sql.files.ignoreCorruptFiles",
    "spark.sql.files.ignoreMissingFiles",
    "spark.sql.parquet.mergeSchema",
    "spark.sql.sources.partitionColumnTypeInference.enabled",
];

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Runs `request` until its trigger is done or the user interrupts it.
pub(super) fn execute(request: &Request) -> Result<ExitCode> {
    remark_on_settings(&request.conf);
    let mut session = Session::new(request.conf.clone());
    let today = today();
    for stream in &request.streams {
        add_stream(&mut session, stream, request, today).with_context(|| format!("stream `{}`", stream.name))?;
    }
    for table in &request.tables {
        let added = match &table.source {
            TableSource::File(file) => {
                read_table(file, today).and_then(|rows| Ok(session.add_table(&table.name, rows)?))
            }
            TableSource::Topic(address) => topic::add_table(&mut session, table, address, request),
        };
        added.with_context(|| format!("table `{}`", table.name))?;
    }
    for view in &request.views {
        let made = session.create_view(&view.name, &view.sql, view.watermark.as_ref());
        let made = made.map_err(|error| explained(&error, request));
        made.with_context(|| format!("view `{}`", view.name))?;
    }
    let explain = |error| explained(&error, request);
    let writer = session.write_stream(&request.sql).map_err(explain)?;
    let mut writer = writer.output_mode(request.output_mode);
    if let Some(name) = &request.name {
        writer = writer.query_name(name);
    }
    if let Some(dir) = &request.checkpoint {
        writer = writer.checkpoint(DirStorage::new(dir)?);
    }
    let table = MemoryTable::new(writer.schema());
    let mut query = writer.start(sink_of(request, &table)?).map_err(explain)?;
    let stop = query.stop_signal();
    ctrlc::set_handler(move || stop.raise()).context("cannot listen for Ctrl-C")?;
    query.run(request.trigger.unwrap_or_default(), |batch| report(&batch))?;
    if request.sink.place == SinkPlace::Memory {
        out::print(show(&table.rows()?, 20, 20))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Says which settings change nothing here.
fn remark_on_settings(conf: &BTreeMap<String, String>) {
    let known = || setting_names().chain(FILE_SETTINGS);
    for name in conf.keys().filter(|name| known().all(|known| known != *name)) {
        let meant = closest(name, known());
        let meant = meant
            .map(|meant| format!("; did you mean `{meant}`?"))
            .unwrap_or_default();
        out::remark(format_args!("setting `{name}` changes nothing here{meant}\n"));
    }
}

/// The day a bare time of day in the rows means, in days since 1970-01-01.
fn today() -> i32 {
    i32::try_from(SystemClock.now_ms().div_euclid(DAY_MS)).unwrap_or_default()
}

fn add_stream(session: &mut Session, stream: &StreamRequest, request: &Request, today: i32) -> Result<()> {
    match &stream.source {
        SourceRequest::Socket { host, port } => {
            let (host, port) = (host.clone(), *port);
            // The connection is the query's: who sends may take no second one.
            session.read_stream(&stream.name, text_schema(), move || {
                Ok(Box::new(SocketSource::connect(&host, port)?))
            })?;
        }
        SourceRequest::Directory(dir) => {
            let options = options_in_session(&stream.options, &request.conf);
            add_directory(session, stream, dir, &options, today)?;
        }
        SourceRequest::Topic(address) => topic::add_stream(session, stream, address, request)?,
    }
    if let Some(watermark) = &stream.watermark {
        // The view takes the stream's name: whoever reads it reads it with its watermark.
        let made = session.create_view(
            &stream.name,
            &format!("SELECT * FROM `{}`", stream.name),
            Some(watermark),
        );
        made.map_err(|error| {
            let help = match error.condition() {
                Some("EVENT_TIME_IS_NOT_ON_TIMESTAMP_TYPE") => " Give it the type TIMESTAMP with --schema.",
                _ => "",
            };
            anyhow!("watermark: {}{help}", in_full(&error))
        })?;
    }
    Ok(())
}

fn add_directory(
    session: &mut Session,
    stream: &StreamRequest,
    dir: &Path,
    options: &BTreeMap<String, String>,
    today: i32,
) -> Result<()> {
    let path = dir
        .to_str()
        .ok_or_else(|| anyhow!("{} is no UTF-8 path", dir.display()))?
        .to_string();
    let order = FileOrder::ModificationTime;
    refuse_trace(&stream.name, dir)?;
    let files = FileSource::list(&path, options, order).map_err(|error| match error.condition() {
        Some("PATH_NOT_FOUND") => {
            anyhow!("{error}; give a directory of files, `socket://HOST:PORT` or `kafka://HOST:PORT/TOPIC`")
        }
        _ => anyhow!(error),
    })?;
    let format = match &stream.format {
        Some(format) => format.clone(),
        None => format_of_files(&stream.name, &files, dir)?.to_string(),
    };
    let columns = match &stream.schema {
        Some(schema) => Arc::clone(schema),
        None => inferred(&stream.name, &format, &files, options, today)?,
    };
    let make = {
        let options = options.clone();
        move || FileSource::new(&path, &format, &columns, &options, order, today)
    };
    let source = make()?;
    for remark in source.remarks() {
        out::remark(format_args!("stream `{}`: {remark}\n", stream.name));
    }
    if stream.schema.is_none() {
        out::remark(format_args!(
            "stream `{0}`: columns inferred; to fix them: --schema {0}='{1}'\n",
            stream.name,
            format_schema(&source.schema())
        ));
        if source
            .schema()
            .fields()
            .first()
            .is_some_and(|field| field.name() == "_c0")
        {
            out::remark(format_args!(
                "stream `{0}`: the first line is taken for a row; if it has the names, add --option {0}.header=true\n",
                stream.name
            ));
        }
    }
    session.read_stream(&stream.name, source.schema(), move || Ok(Box::new(make()?)))?;
    Ok(())
}

/// A trace has a directory for each of its streams; which one is meant?
fn refuse_trace(stream: &str, dir: &Path) -> Result<()> {
    if !dir.join(TRACE_FILE).is_file() {
        return Ok(());
    }
    let entries = std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut streams: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .collect();
    streams.sort();
    let named: Vec<String> = streams
        .iter()
        .map(|path| format!("`--stream {stream}={}`", path.display()))
        .collect();
    bail!(
        "{} is a trace, with a directory for each stream; write {}",
        dir.display(),
        named.join(" or ")
    )
}

fn inferred(
    stream: &str,
    format: &str,
    files: &[PathBuf],
    options: &BTreeMap<String, String>,
    today: i32,
) -> Result<SchemaRef> {
    if files.is_empty() {
        bail!("there are no files to infer columns from; give them: `--schema {stream}='name TYPE, ...'`");
    }
    Ok(FileFormat::new(format, options, today)?.infer_schema(files)?)
}

fn format_of_files(stream: &str, files: &[PathBuf], dir: &Path) -> Result<&'static str> {
    let give = format!("give it: `--format {stream}=csv`, or json, parquet or text");
    let Some(file) = files.first() else {
        bail!("{} has no files to tell a format from; {give}", dir.display());
    };
    format_of(file).ok_or_else(|| anyhow!("the name of {} tells no format; {give}", file.display()))
}

/// The format a file's extension names, that of its compression aside.
fn format_of(file: &Path) -> Option<&'static str> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    match without_compression(&name).rsplit_once('.')?.1 {
        "csv" => Some("csv"),
        "json" | "jsonl" | "ndjson" => Some("json"),
        "parquet" => Some("parquet"),
        "txt" | "text" | "log" => Some("text"),
        _ => None,
    }
}

fn read_table(file: &Path, today: i32) -> Result<RecordBatch> {
    std::fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?;
    let Some(format) = format_of(file) else {
        bail!(
            "the name of {} tells no format; let it end in .csv, .json, .parquet or .txt",
            file.display()
        );
    };
    let options = BTreeMap::from([("header".to_string(), "true".to_string())]);
    let format = FileFormat::new(format, &options, today)?;
    let files = [file.to_path_buf()];
    let schema = format.infer_schema(&files)?;
    Ok(concat_batches(&schema, &format.read(&files, &schema, &Columns::All)?)?)
}

fn sink_of(request: &Request, table: &MemoryTable) -> Result<Box<dyn Sink>> {
    let options = &request.sink.options;
    let sink: Box<dyn Sink> = match &request.sink.place {
        SinkPlace::Memory => Box::new(table.sink()),
        SinkPlace::Noop => Box::new(ForeachBatchSink::new(|_, _| Ok(()))),
        SinkPlace::Console => Box::new(ConsoleSink::new(Box::new(std::io::stdout()), options)?),
        SinkPlace::Files(format, dir) => Box::new(FileSink::new(dir, format.name(), options)?),
        SinkPlace::Topic(address) => Box::new(topic::sink(address, request)?),
    };
    for remark in sink.remarks() {
        out::remark(format_args!("sink: {remark}\n"));
    }
    Ok(sink)
}

/// One line per batch, beside the rows.
fn report(batch: &BatchProgress) {
    let watermark = batch.watermark_ms.map(|ms| {
        let time = chrono::DateTime::from_timestamp_millis(ms).unwrap_or_default();
        format!(", watermark {}", time.format("%Y-%m-%d %H:%M:%S%.3f"))
    });
    let dropped: u64 = batch.operators.iter().map(|operator| operator.dropped).sum();
    let late = if dropped > 0 {
        format!(", {} dropped as late", rows(dropped))
    } else {
        String::new()
    };
    let read: u64 = batch.input_rows.iter().sum();
    let line = format!(
        "batch {}: {} in, {} out{}{late}",
        batch.batch_id,
        rows(read),
        rows(batch.output_rows),
        watermark.unwrap_or_default()
    );
    let _ = std::io::stdout().flush();
    for warning in &batch.warnings {
        out::remark(format_args!("batch {}: {warning}\n", batch.batch_id));
    }
    out::remark(format_args!("{line}\n"));
}

/// `1 row`, `2 rows`.
fn rows(count: u64) -> String {
    format!("{count} row{}", if count == 1 { "" } else { "s" })
}
