//! What is wrong in a scenario file: all of it at once, each mistake with its place and what to write instead.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, NamedSource,
    SourceCode, SourceSpan, SpanContents,
};
use skirl_engine::spelling::closest;
use toml::de::{DeTable, DeValue};

/// One mistake in a scenario file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where the offending text stands, in bytes from the start of the file.
    pub span: Range<usize>,
    /// What was found and what was wanted.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// Collects mistakes while a file is read, so that reading can go on after the first; and the places of text that no
/// message may show.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    noted: RefCell<Vec<Mistake>>,
    hidden: RefCell<Vec<Range<usize>>>,
}

impl Mistakes {
    /// Notes a mistake that says what was found and wanted.
    pub fn note(&self, span: Range<usize>, message: impl Into<String>) {
        self.noted.borrow_mut().push(Mistake {
            span,
            message: message.into(),
            help: None,
        });
    }

    /// Notes a mistake and what to write instead.
    pub fn note_with_help(&self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.noted.borrow_mut().push(Mistake {
            span,
            message: message.into(),
            help: Some(help.into()),
        });
    }

    /// How many were noted so far.
    pub fn len(&self) -> usize {
        self.noted.borrow().len()
    }

    /// Keeps what stands at `span`, which may be a secret, out of everything that is shown of the file.
    pub fn hide(&self, span: Range<usize>) {
        self.hidden.borrow_mut().push(span);
    }

    /// All mistakes of the file at `path` that holds `text`, in the order of their places; `None` if there are none.
    pub fn into_wrong(self, path: &Path, text: &str) -> Option<WrongScenario> {
        let mut mistakes = self.noted.into_inner();
        mistakes.sort_by_key(|mistake| (mistake.span.start, mistake.span.end));
        mistakes.dedup();
        let shown = masked(text, &self.hidden.into_inner());
        (!mistakes.is_empty()).then(|| WrongScenario::new(path, &shown, mistakes))
    }
}

/// `text` with a star for every character of the `hidden` places but quotes and the ends of lines.
fn masked(text: &str, hidden: &[Range<usize>]) -> String {
    let is_hidden = |at: usize| hidden.iter().any(|place| place.contains(&at));
    text.char_indices()
        .map(|(at, c)| match c {
            '"' | '\'' | '\n' => String::from(c),
            // As many bytes, so that every mistake stays where it is.
            _ if is_hidden(at) => "*".repeat(c.len_utf8()),
            _ => String::from(c),
        })
        .collect()
}

/// A scenario file that cannot be used, with everything that is wrong in it.
#[derive(Debug)]
pub struct WrongScenario {
    /// The file.
    pub path: PathBuf,
    /// Its mistakes in the order of their places; never empty.
    pub mistakes: Vec<Mistake>,
    source: NamedSource<String>,
}

impl WrongScenario {
    /// The mistakes of the file at `path` that holds `text`.
    pub fn new(path: &Path, text: &str, mistakes: Vec<Mistake>) -> Self {
        let source = NamedSource::new(path.display().to_string(), text.to_string());
        WrongScenario {
            path: path.to_path_buf(),
            mistakes,
            source,
        }
    }

    /// The title of the scenario, as far as it can be made out.
    pub fn title(&self) -> Option<String> {
        let (document, _) = DeTable::parse_recoverable(self.source.inner());
        let mut entries = document.get_ref().iter();
        let (_, title) = entries.find(|(key, _)| key.get_ref().as_ref() == "title")?;
        match title.get_ref() {
            DeValue::String(title) => Some(title.to_string()),
            _ => None,
        }
    }

    /// The first mistake with its place, and how many there are: a line for a report.
    pub fn summary(&self) -> String {
        let Some(first) = self.mistakes.first() else {
            return String::new();
        };
        let before = &self.source.inner()[..first.span.start.min(self.source.inner().len())];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let help = first.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
        let more = match self.mistakes.len() - 1 {
            0 => String::new(),
            1 => " (and one more mistake)".to_string(),
            more => format!(" (and {more} more mistakes)"),
        };
        // Spark's messages are whole sentences.
        let message = first.message.trim_end_matches('.');
        format!("{}:{line}:{column}: {message}{help}{more}", self.path.display())
    }

    /// The mistakes as people read them: `file:line:column`, the offending line, what to write instead.
    pub fn render(&self, colours: bool) -> String {
        let theme = if colours {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::unicode_nocolor()
        };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(110)
            .with_links(false)
            .with_context_lines(0);
        let mut text = String::new();
        for mistake in &self.mistakes {
            let pointed = Pointed {
                mistake,
                source: &self.source,
            };
            handler
                .render_report(&mut text, &pointed)
                .expect("writing to a string cannot fail");
        }
        text
    }
}

impl fmt::Display for WrongScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for WrongScenario {}

/// A mistake beside the text it points into.
#[derive(Debug)]
struct Pointed<'a> {
    mistake: &'a Mistake,
    source: &'a NamedSource<String>,
}

impl fmt::Display for Pointed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.mistake.message)
    }
}

impl std::error::Error for Pointed<'_> {}

impl Diagnostic for Pointed<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.mistake
            .help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = LabeledSpan::new_with_span(None, self.mistake.span.clone());
        Some(Box::new(std::iter::once(label)))
    }
}

impl SourceCode for Pointed<'_> {
    /// The whole lines of the span: a mistake is easier to see beside its key.
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let text = self.source.inner();
        let (start, end) = (
            span.offset().min(text.len()),
            (span.offset() + span.len()).min(text.len()),
        );
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[end..].find('\n').map_or(text.len(), |newline| end + newline);
        let lines = SourceSpan::from((line_start, line_end - line_start));
        let contents = self.source.read_span(&lines, lines_before, lines_after)?;
        // The position people are told is the mistake's, not that of its line.
        let column = text[line_start..start].chars().count();
        Ok(Box::new(MietteSpanContents::new_named(
            self.source.name().to_string(),
            contents.data(),
            *contents.span(),
            contents.line(),
            column,
            contents.line_count(),
        )))
    }
}

/// ``did you mean `delay`?`` if one of `known` is close to `word`, else the list of what is known.
pub(crate) fn suggestion(word: &str, known: &[&str]) -> String {
    match (closest(word, known.iter().copied()), known) {
        (Some(name), _) => format!("did you mean `{name}`?"),
        (None, [only]) => format!("write `{only}`"),
        (None, _) => format!("write one of {}", listed(known)),
    }
}

/// Whether `word` may be a misspelt `name`.
pub(super) fn is_close(word: &str, name: &str) -> bool {
    closest(word, [name]).is_some()
}

/// `` `a`, `b` and `c` ``.
pub(crate) fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.join(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_shown_as_stars_and_moves_nothing() {
        let text = "a = \"p\u{e9}w\" # 'x'\nb = 1";
        assert_eq!(masked(text, &[4..6, 6..10]), "a = \"****\" # 'x'\nb = 1");
    }

    #[test]
    fn a_misspelt_key_is_recognised() {
        for (word, answer) in [
            ("watermrk", "did you mean `watermark`?"),
            ("titel", "did you mean `title`?"),
            ("zebra", "write one of `title` and `watermark`"),
        ] {
            assert_eq!(suggestion(word, &["title", "watermark"]), answer, "{word}");
        }
    }
}
