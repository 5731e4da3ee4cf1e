//! What commands print. `print!` and its like panic where nobody reads any more or a disk is full; these do not.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use anyhow::Error;

/// Why standard output does not take what a command prints.
#[derive(Debug, thiserror::Error)]
#[error("cannot write standard output")]
struct Unwritten(#[source] io::Error);

/// Prints `text` to standard output, as it is.
///
/// # Errors
/// A reader that has gone, a full disk.
pub fn print(text: impl Display) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let printed = write!(out, "{text}").and_then(|()| out.flush());
    Ok(printed.map_err(Unwritten)?)
}

/// Prints a remark to standard error, as it is. Where that takes nothing, there is nobody to tell.
pub fn remark(text: impl Display) {
    let _ = write!(io::stderr().lock(), "{text}");
}

/// An argument of a command that is printed, as a shell takes it: in quotes where it holds more than plain letters.
pub fn quoted(argument: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:,=@%+".contains(c);
    match !argument.is_empty() && argument.chars().all(is_plain) {
        true => argument.into(),
        false => format!("'{}'", argument.replace('\'', r"'\''")).into(),
    }
}

/// Whether a command failed because whoever read its standard output has gone, as `head` does: no news to anybody.
pub fn is_unread(error: &Error) -> bool {
    let is_gone = |error: &io::Error| error.kind() == ErrorKind::BrokenPipe;
    error.chain().any(|cause| {
        let printed = cause
            .downcast_ref::<Unwritten>()
            .is_some_and(|unwritten| is_gone(&unwritten.0));
        printed || stream_of(cause).is_some_and(is_gone)
    })
}

/// What standard output said to the crates that write streams to it.
fn stream_of<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    let generator = cause.downcast_ref::<skirl_generator::Error>();
    if let Some(skirl_generator::Error::Write { path, source }) = generator {
        return (path.as_os_str() == "standard output").then_some(source);
    }
    let boxed = || cause.downcast_ref::<Box<skirl_engine::Error>>().map(|error| &**error);
    match cause.downcast_ref::<skirl_engine::Error>().or_else(boxed) {
        Some(skirl_engine::Error::Io { path, source }) if path.as_os_str() == "console" => Some(source),
        _ => None,
    }
}
