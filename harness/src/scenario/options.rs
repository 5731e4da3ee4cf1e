//! Options by Spark's names: `options = { header = true }`. Spark passes over an option nobody reads; here it is a
//! mistake, unless it stands at the wrong end of the query, which the advice of the report is about.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use skirl_engine::format::FileFormat;
use skirl_engine::format::options::UnknownOption;
use skirl_engine::sink::{ConsoleSink, FileSink};
use toml::Spanned;

use super::files;
use super::mistake::Mistakes;
use super::section::Section;
use crate::advice::{is_of_sinks, is_of_sources};
use crate::job::SinkFormat;

/// The options of a section, where they stand.
pub(super) struct Given<'m> {
    options: Vec<(Spanned<String>, String)>,
    mistakes: &'m Mistakes,
}

impl<'m> Given<'m> {
    /// Takes `options` from a section.
    pub fn take(section: &mut Section<'_, 'm>) -> Self {
        Given {
            options: section.settings("options"),
            mistakes: section.mistakes,
        }
    }

    /// What they say.
    pub fn values(&self) -> BTreeMap<String, String> {
        let values = self.options.iter();
        values
            .map(|(name, value)| (name.get_ref().clone(), value.clone()))
            .collect()
    }

    /// Notes the options that mean nothing to the reader of any of `files`.
    pub fn note_unread(&self, files: &[PathBuf]) {
        let options = self.values();
        let formats: BTreeSet<&str> = files.iter().filter_map(|file| files::format_of(file)).collect();
        let unknown = formats.into_iter().map(|format| {
            // A bad option is for the reader to refuse.
            FileFormat::unknown_options(format, &options).unwrap_or_default()
        });
        let to_all = unknown.reduce(|all, unknown| {
            all.into_iter()
                .filter(|option| unknown.iter().any(|other| other.name == option.name))
                .collect()
        });
        self.note(to_all.unwrap_or_default(), is_of_sinks);
    }

    /// Notes the options of rows that come from no file.
    pub fn note_without_files(&self) {
        let unknown = self.options.iter().map(|(name, _)| UnknownOption {
            name: name.get_ref().clone(),
            meant: None,
        });
        self.note(unknown.collect(), is_of_sinks);
    }

    /// Notes the options that mean nothing to a sink.
    pub fn note_unwritten(&self, format: SinkFormat) {
        let options = self.values();
        let unknown = match format {
            SinkFormat::Console => ConsoleSink::unknown_options(&options),
            SinkFormat::Json | SinkFormat::Csv | SinkFormat::Parquet => {
                FileSink::unknown_options(format.name(), &options)
            }
            SinkFormat::Memory | SinkFormat::ForeachBatch => return,
        };
        // A bad option is for the sink to refuse.
        self.note(unknown.unwrap_or_default(), is_of_sources);
    }

    fn note(&self, unknown: Vec<UnknownOption>, is_misplaced: fn(&str) -> bool) {
        for option in unknown.into_iter().filter(|option| !is_misplaced(&option.name)) {
            let span = self.options.iter().find(|(name, _)| *name.get_ref() == option.name);
            let span = span.map(|(name, _)| name.span()).unwrap_or_default();
            let message = format!("option `{}` changes nothing here", option.name);
            let help = match (&option.meant, option.name.to_ascii_lowercase().as_str()) {
                (_, "maxfilespertrigger") => "write `max_files_per_trigger`, beside `files`".to_string(),
                (Some(meant), _) => format!("did you mean `{meant}`?"),
                (None, _) => "remove it".to_string(),
            };
            self.mistakes.note_with_help(span, message, help);
        }
    }
}
