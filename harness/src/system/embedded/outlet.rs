//! Where the rows of a job go: the sink it names, what that sink is given, and what it holds.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use skirl_engine::format::FileFormat;
use skirl_engine::format::columns::Columns;
use skirl_engine::sink::files::committed_files;
use skirl_engine::sink::{ConsoleSink, FileSink, ForeachBatchSink, MemoryTable, Sink};
use skirl_engine::{Error, OutputMode, Result, Session};
use tempfile::TempDir;

use crate::job::{self, Job, SinkFormat};

/// The sink of a job over all starts of its query: a restart finds the files that were written before it.
#[derive(Default)]
pub(super) struct Outlet {
    given: Given,
    dir: Option<TempDir>,
    /// What the last start opened.
    opened: Option<Opened>,
}

/// A sink as a start of the query opens it.
pub(super) struct Opened {
    sink: job::Sink,
    conf: BTreeMap<String, String>,
    /// What the query emits.
    schema: SchemaRef,
    table: MemoryTable,
}

/// Batches a sink was given; clones share them.
#[derive(Clone, Default)]
struct Given(Arc<Mutex<Vec<(u64, RecordBatch)>>>);

impl Outlet {
    /// The sink `job` names, for a query that emits `schema`; it counts once the query has started ([`Outlet::settle`]).
    pub fn open(&mut self, job: &Job, schema: SchemaRef) -> Result<(Box<dyn Sink>, Opened)> {
        let table = MemoryTable::new(Arc::clone(&schema));
        let options = &job.sink.options;
        let sink: Box<dyn Sink> = match job.sink.format {
            SinkFormat::ForeachBatch => Box::new(ForeachBatchSink::new(|_, _| Ok(()))),
            SinkFormat::Memory => Box::new(table.sink()),
            // What a console shows is for people, who do not look here.
            SinkFormat::Console => Box::new(ConsoleSink::new(Box::new(std::io::sink()), options)?),
            SinkFormat::Json | SinkFormat::Csv | SinkFormat::Parquet => {
                Box::new(FileSink::new(&self.dir()?, job.sink.format.name(), options)?)
            }
        };
        let watched = Watched {
            sink,
            format: job.sink.format,
            given: self.given.clone(),
        };
        let opened = Opened {
            sink: job.sink.clone(),
            conf: job.conf.clone(),
            schema,
            table,
        };
        Ok((Box::new(watched), opened))
    }

    /// From here on the sink is the one that was opened.
    pub fn settle(&mut self, opened: Opened) {
        self.opened = Some(opened);
    }

    /// What the sink was given as batch `batch_id`; earlier batches are forgotten.
    pub fn take(&self, batch_id: u64) -> Option<RecordBatch> {
        let given = std::mem::take(&mut *self.given.0.lock().unwrap_or_else(PoisonError::into_inner));
        let of_batch = given.into_iter().find(|(given, _)| *given == batch_id);
        of_batch.map(|(_, rows)| rows)
    }

    /// The answer of the memory table to a batch query.
    pub fn ask(&self, sql: &str, now_ms: i64) -> Result<RecordBatch> {
        let fills_a_table = |opened: &&Opened| opened.sink.format == SinkFormat::Memory;
        let opened = self.opened.as_ref().filter(fills_a_table);
        let Some((opened, name)) = opened.and_then(|opened| Some((opened, opened.sink.name.as_ref()?))) else {
            let message = "no query fills a memory table: give the query a `name`";
            return Err(Error::Invalid(message.to_string()));
        };
        let mut session = Session::new(opened.conf.clone());
        session.add_table(name, opened.table.rows()?)?;
        session.catalog().batch_time().set(now_ms);
        session.query(sql)
    }

    /// The rows the sink holds, read back from where it put them.
    pub fn stored(&self) -> Result<Option<RecordBatch>> {
        let Some(opened) = &self.opened else { return Ok(None) };
        match (opened.sink.format, &self.dir) {
            (SinkFormat::Memory, _) => opened.table.rows().map(Some),
            (format, Some(dir)) => {
                let files = committed_files(dir.path())?.unwrap_or_default();
                let format = FileFormat::new(format.name(), &opened.sink.options, 0)?;
                let rows = format.read(&files, &opened.schema, &Columns::All)?;
                Ok(Some(concat_batches(&opened.schema, &rows)?))
            }
            (_, None) => Ok(None),
        }
    }

    /// The directory of a file sink, made when it is first asked for.
    fn dir(&mut self) -> Result<PathBuf> {
        let dir = match self.dir.take() {
            Some(dir) => dir,
            None => tempfile::tempdir().map_err(Error::io(&std::env::temp_dir()))?,
        };
        Ok(self.dir.insert(dir).path().to_path_buf())
    }
}

/// A sink that is told what to do by the query, and keeps what it was given.
struct Watched {
    sink: Box<dyn Sink>,
    format: SinkFormat,
    given: Given,
}

impl Sink for Watched {
    fn check_mode(&self, mode: OutputMode) -> Result<()> {
        self.sink.check_mode(mode)
    }

    fn write(&mut self, batch_id: u64, rows: &RecordBatch, mode: OutputMode) -> Result<()> {
        self.sink.write(batch_id, rows, mode)?;
        let mut given = self.given.0.lock().unwrap_or_else(PoisonError::into_inner);
        given.push((batch_id, rows.clone()));
        Ok(())
    }

    fn needs_checkpoint(&self) -> bool {
        self.sink.needs_checkpoint()
    }

    fn resumes(&self, mode: OutputMode) -> bool {
        self.sink.resumes(mode)
    }

    fn needs_name(&self) -> bool {
        self.sink.needs_name()
    }

    /// Without the directory, which is another one in each run.
    fn describe(&self) -> String {
        format!("the {} sink", self.format.name())
    }

    fn remarks(&self) -> Vec<String> {
        self.sink.remarks()
    }
}
