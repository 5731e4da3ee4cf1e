//! Runs what `skirl query` was asked for on the embedded engine.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use skirl_engine::clock::{Clock, SystemClock};
use skirl_engine::format::FileFormat;
use skirl_engine::sink::show::show;
use skirl_engine::sink::{ConsoleSink, FileSink, MemoryTable, Sink};
use skirl_engine::source::{FileOrder, FileSource, SocketSource, Source};
use skirl_engine::storage::DirStorage;
use skirl_engine::{BatchProgress, Session, Trigger as EngineTrigger};

use super::{Request, SourceRequest, StreamRequest};
use crate::job::SinkFormat;
use crate::scenario::{Trigger, format_schema};

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Runs `request` until its trigger is done or the user interrupts it.
pub(super) fn execute(request: &Request) -> Result<ExitCode> {
    let mut session = Session::new(request.conf.clone());
    let today = today();
    for stream in &request.streams {
        add_stream(&mut session, stream, today).with_context(|| format!("stream `{}`", stream.name))?;
    }
    for (name, file) in &request.tables {
        let rows = read_table(file, today).with_context(|| format!("table `{name}`"))?;
        session.add_table(name, rows)?;
    }
    for view in &request.views {
        let made = session.create_view(&view.name, &view.sql, view.watermark.as_ref());
        made.with_context(|| format!("view `{}`", view.name))?;
    }
    let mut writer = session.write_stream(&request.sql)?.output_mode(request.output_mode);
    if let Some(name) = &request.name {
        writer = writer.query_name(name);
    }
    if let Some(dir) = &request.checkpoint {
        writer = writer.checkpoint(DirStorage::new(dir)?);
    }
    let table = MemoryTable::new(writer.schema());
    let mut query = writer.start(sink_of(request, &table)?)?;
    let stop = query.stop_signal();
    ctrlc::set_handler(move || stop.raise()).context("cannot listen for Ctrl-C")?;
    query.run(trigger_of(request.trigger.as_ref()), |batch| report(&batch))?;
    if request.sink.format == SinkFormat::Memory {
        print!("{}", show(&table.rows()?, 20, 20));
    }
    Ok(ExitCode::SUCCESS)
}

/// The day a bare time of day in the rows means, in days since 1970-01-01.
fn today() -> i32 {
    i32::try_from(SystemClock.now_ms().div_euclid(DAY_MS)).unwrap_or_default()
}

fn add_stream(session: &mut Session, stream: &StreamRequest, today: i32) -> Result<()> {
    match &stream.source {
        SourceRequest::Socket { host, port } => {
            let (host, port) = (host.clone(), *port);
            let schema = SocketSource::connect(&host, port)?.schema();
            session.read_stream(&stream.name, schema, move || {
                Ok(Box::new(SocketSource::connect(&host, port)?))
            })?;
        }
        SourceRequest::Directory(dir) => add_directory(session, stream, dir, today)?,
    }
    if let Some(watermark) = &stream.watermark {
        // The view takes the stream's name: whoever reads it reads it with its watermark.
        session.create_view(
            &stream.name,
            &format!("SELECT * FROM `{}`", stream.name),
            Some(watermark),
        )?;
    }
    Ok(())
}

fn add_directory(session: &mut Session, stream: &StreamRequest, dir: &Path, today: i32) -> Result<()> {
    let path = dir
        .to_str()
        .ok_or_else(|| anyhow!("{} is no UTF-8 path", dir.display()))?
        .to_string();
    let files = FileSource::list(&path, FileOrder::ModificationTime)?;
    let format = match &stream.format {
        Some(format) => format.clone(),
        None => format_of(files.first().map(PathBuf::as_path), dir)?,
    };
    let schema = match &stream.schema {
        Some(schema) => Arc::clone(schema),
        None => inferred(&stream.name, &format, &files, &stream.options, today)?,
    };
    let source = {
        let (schema, options) = (Arc::clone(&schema), stream.options.clone());
        move || FileSource::new(&path, &format, &schema, &options, FileOrder::ModificationTime, today)
    };
    source()?
        .remarks()
        .iter()
        .for_each(|remark| eprintln!("stream `{}`: {remark}", stream.name));
    session.read_stream(&stream.name, schema, move || Ok(Box::new(source()?)))?;
    Ok(())
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
    let schema = FileFormat::new(format, options, today)?.infer_schema(files)?;
    eprintln!(
        "stream `{stream}`: columns inferred; to fix them: --schema {stream}='{}'",
        format_schema(&schema)
    );
    Ok(schema)
}

/// The format a file's extension names.
fn format_of(file: Option<&Path>, dir: &Path) -> Result<String> {
    let Some(file) = file else {
        bail!(
            "{} has no files to tell a format from; give it: `--format NAME=csv|json|parquet|text`",
            dir.display()
        );
    };
    Ok(match file.extension().and_then(|e| e.to_str()) {
        Some("csv") => "csv",
        Some("json" | "jsonl" | "ndjson") => "json",
        Some("parquet") => "parquet",
        Some("txt" | "text" | "log") => "text",
        _ => bail!(
            "the name of {} tells no format; give it: `--format NAME=csv|json|parquet|text`",
            file.display()
        ),
    }
    .to_string())
}

fn read_table(file: &Path, today: i32) -> Result<RecordBatch> {
    let format = format_of(Some(file), file)?;
    let options = BTreeMap::from([("header".to_string(), "true".to_string())]);
    let format = FileFormat::new(&format, &options, today)?;
    let files = [file.to_path_buf()];
    let schema = format.infer_schema(&files)?;
    Ok(concat_batches(&schema, &format.read(&files, &schema)?)?)
}

fn sink_of(request: &Request, table: &MemoryTable) -> Result<Box<dyn Sink>> {
    let files = |format: &str| -> Result<Box<dyn Sink>> {
        let dir = request
            .sink
            .dir
            .as_deref()
            .ok_or_else(|| anyhow!("the {format} sink needs a directory"))?;
        Ok(Box::new(FileSink::new(dir, format, &request.sink.options)?))
    };
    let sink: Box<dyn Sink> = match request.sink.format {
        SinkFormat::Memory => Box::new(table.sink()),
        SinkFormat::Json => files("json")?,
        SinkFormat::Csv => files("csv")?,
        SinkFormat::Parquet => files("parquet")?,
        SinkFormat::Console | SinkFormat::ForeachBatch => {
            Box::new(ConsoleSink::new(Box::new(std::io::stdout()), &request.sink.options)?)
        }
    };
    sink.remarks().iter().for_each(|remark| eprintln!("sink: {remark}"));
    Ok(sink)
}

fn trigger_of(trigger: Option<&Trigger>) -> EngineTrigger {
    match trigger {
        None => EngineTrigger::default(),
        Some(Trigger::Once) => EngineTrigger::Once,
        Some(Trigger::AvailableNow) => EngineTrigger::AvailableNow,
        Some(Trigger::ProcessingTime(ms)) => {
            EngineTrigger::ProcessingTime(Duration::from_millis(u64::try_from(*ms).unwrap_or_default()))
        }
    }
}

/// One line per batch, beside the rows.
fn report(batch: &BatchProgress) {
    let watermark = batch.watermark_ms.map(|ms| {
        let time = chrono::DateTime::from_timestamp_millis(ms).unwrap_or_default();
        format!(", watermark {}", time.format("%Y-%m-%d %H:%M:%S%.3f"))
    });
    let dropped: u64 = batch.operators.iter().map(|operator| operator.dropped).sum();
    let late = if dropped > 0 {
        format!(", {dropped} late rows dropped")
    } else {
        String::new()
    };
    let read: u64 = batch.input_rows.iter().sum();
    let line = format!(
        "batch {}: {read} rows in, {} rows out{}{late}",
        batch.batch_id,
        batch.output_rows,
        watermark.unwrap_or_default()
    );
    let _ = std::io::stdout().flush();
    eprintln!("{line}");
}
