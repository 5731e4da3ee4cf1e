//! Standard output: one stream after the other, as lines.

use std::io::Write;

use super::Sink;
use crate::encode::Format;
use crate::error::{Error, Result};
use crate::trace::TraceFile;

pub(super) struct Stdout {
    format: Format,
    begun: bool,
}

impl Stdout {
    pub fn new(format: Format) -> Stdout {
        Stdout { format, begun: false }
    }
}

impl Sink for Stdout {
    fn begin(&mut self, _stream: &str) -> Result<()> {
        Ok(())
    }

    fn write(&mut self, _stream: &str, _number: u64, bytes: &[u8]) -> Result<()> {
        // Only the first of several CSV files keeps its header.
        let header = if self.begun && self.format == Format::Csv {
            header_length(bytes)
        } else {
            0
        };
        self.begun = true;
        let mut out = std::io::stdout().lock();
        let written = out.write_all(&bytes[header..]).and_then(|()| out.flush());
        written.map_err(|source| Error::Write {
            path: "standard output".into(),
            source,
        })
    }

    fn finish(&mut self, _trace: &TraceFile) -> Result<()> {
        Ok(())
    }
}

fn header_length(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(bytes.len(), |end| end + 1)
}
