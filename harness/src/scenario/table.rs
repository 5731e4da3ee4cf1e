//! Static tables: rows in the scenario or in one file.

use std::path::Path;

use arrow::array::RecordBatch;
use toml::Spanned;

use super::files::Reader;
use super::inline::rows_of;
use super::options::Given;
use super::section::Section;
use super::stream::read_schema;

/// Reads `[tables.name]`; `root` is the directory of the scenario file.
pub(super) fn read(name: &Spanned<String>, mut section: Section, root: &Path) -> Option<(String, RecordBatch)> {
    let schema = read_schema(&mut section);
    let file = section.text("file");
    let rows = section.list("rows");
    let given = Given::take(&mut section);
    let options = given.values();
    let table = match (file, rows, &schema) {
        (Some(file), None, Some(schema)) => {
            let reader = Reader {
                schema,
                options: &options,
            };
            let note = |problem: super::files::Problem| {
                section
                    .mistakes
                    .note_with_help(file.span(), problem.message, problem.help)
            };
            let path = root.join(file.get_ref());
            given.note_unread(std::slice::from_ref(&path));
            reader.read(&path).map_err(note).ok()
        }
        (None, Some(rows), Some(schema)) => {
            given.note_without_files();
            rows_of(schema, rows, section.mistakes)
        }
        (None, None, _) => {
            section.missing("rows", "[[\"Porto\", 237591]]` or `file = \"population.csv\"");
            None
        }
        (Some(file), Some(_), _) => {
            let message = format!("table `{}` has both `file` and `rows`", name.get_ref());
            section
                .mistakes
                .note_with_help(file.span(), message, "keep one of them");
            None
        }
        _ => None,
    };
    section.finish();
    Some((name.get_ref().clone(), table?))
}
