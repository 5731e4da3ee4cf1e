//! Where the rows of a stream come from: a generator, a directory of files, or the scenario itself.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use toml::Spanned;
use toml::de::DeValue;

use super::files::{self, Reader};
use super::generated::Generated;
use super::inline::rows_of;
use super::mistake::Mistakes;
use super::options::Given;
use super::schema::parse_schema;
use super::section::{Section, Value};

/// A stream of a scenario.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Its name in SQL.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
    /// Where its rows come from.
    pub source: StreamSource,
    /// Options of the source, by Spark's names.
    pub options: BTreeMap<String, String>,
}

/// Where the rows of a stream come from.
#[derive(Debug, Clone)]
pub enum StreamSource {
    /// The generator makes them from a seed.
    Generated(Box<Generated>),
    /// They are given, one batch per micro-batch: by files or by the scenario itself.
    Given(Vec<RecordBatch>),
}

impl Stream {
    /// Reads `[streams.name]`; `root` is the directory of the scenario file.
    pub(super) fn read(name: &Spanned<String>, value: Value, root: &Path, mistakes: &Mistakes) -> Option<Stream> {
        let title = format!("[streams.{}]", name.get_ref());
        let mut section = Section::of(title, value.clone(), mistakes)?;
        let is_given = section.has("files") || section.has("batches");
        // A schema is of rows that are given: the columns of a generated stream follow from its kind.
        if !is_given && (section.has("kind") || !section.has("schema")) {
            return Generated::read(name.get_ref(), value, mistakes);
        }
        let files = section.text("files");
        let batches = section.list("batches");
        let schema = read_schema(&mut section);
        let given = Given::take(&mut section);
        let options = given.values();
        if !is_given {
            section.missing_any(&["batches", "files"], "[[[\"Porto\", 3]]]");
        }
        let per_trigger = read_per_trigger(&mut section, files.is_some());
        let source = match (files, batches, &schema) {
            (Some(dir), None, Some(schema)) => {
                let reader = Reader {
                    schema,
                    options: &options,
                };
                read_directory(&section, root, &dir, &given, &reader, per_trigger)
            }
            // Without a schema nothing can be read, but the directory can be looked for.
            (Some(dir), None, None) => {
                let listed = files::list(&root.join(dir.get_ref()));
                listed.map_err(|problem| note_in(&section, &dir, problem)).ok();
                None
            }
            (None, Some(batches), Some(schema)) => {
                given.note_without_files();
                read_batches(&section, batches, schema)
            }
            (Some(dir), Some(_), _) => {
                let message = format!("stream `{}` has both `files` and `batches`", name.get_ref());
                section.mistakes.note_with_help(dir.span(), message, "keep one of them");
                None
            }
            _ => None,
        };
        section.finish();
        Some(Stream {
            name: name.get_ref().clone(),
            schema: schema?,
            source: StreamSource::Given(source?),
            options,
        })
    }
}

/// The schema of a section that must have one.
pub(super) fn read_schema(section: &mut Section) -> Option<SchemaRef> {
    let ddl = section.required_text("schema", "\"district STRING, pop INT\"")?;
    match parse_schema(ddl.get_ref()) {
        Ok(schema) => Some(schema),
        Err(wrong) => {
            section.mistakes.note_with_help(ddl.span(), wrong.message, wrong.help);
            None
        }
    }
}

fn read_per_trigger(section: &mut Section, has_files: bool) -> usize {
    let Some(number) = section.integer("max_files_per_trigger") else {
        return 1;
    };
    match usize::try_from(*number.get_ref()) {
        Ok(number) if number > 0 && has_files => return number,
        Ok(_) if !has_files => section.mistakes.note_with_help(
            number.span(),
            "`max_files_per_trigger` belongs to a stream of files",
            "remove it: every entry of `batches` is a micro-batch",
        ),
        _ => section
            .mistakes
            .note(number.span(), "`max_files_per_trigger` must be at least 1"),
    }
    1
}

fn read_batches(section: &Section, batches: Vec<Spanned<DeValue>>, schema: &SchemaRef) -> Option<Vec<RecordBatch>> {
    let read = batches.into_iter().map(|batch| {
        let span = batch.span();
        let DeValue::Array(rows) = batch.into_inner() else {
            section.mistakes.note_with_help(
                span,
                "a micro-batch is a list of rows",
                "write `[[\"Porto\", 3], [\"Faro\", 1]]`",
            );
            return None;
        };
        rows_of(schema, rows.into_iter().collect(), section.mistakes)
    });
    // Every batch is read before the first failure counts, so that all mistakes are found.
    read.collect::<Vec<_>>().into_iter().collect()
}

fn read_directory(
    section: &Section,
    root: &Path,
    dir: &Spanned<String>,
    options: &Given,
    reader: &Reader,
    per_trigger: usize,
) -> Option<Vec<RecordBatch>> {
    let note = |problem| note_in(section, dir, problem);
    let paths = files::list(&root.join(dir.get_ref())).map_err(note).ok()?;
    options.note_unread(&paths);
    let read: Vec<_> = paths.iter().map(|path| reader.read(path).map_err(note).ok()).collect();
    let batches: Vec<RecordBatch> = read.into_iter().collect::<Option<_>>()?;
    let together =
        |files: &[RecordBatch]| concat_batches(reader.schema, files).expect("files were read with one schema");
    Some(batches.chunks(per_trigger).map(together).collect())
}

fn note_in(section: &Section, dir: &Spanned<String>, problem: files::Problem) {
    section
        .mistakes
        .note_with_help(dir.span(), problem.message, problem.help);
}
