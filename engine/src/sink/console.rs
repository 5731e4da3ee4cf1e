//! Batches as tables on a terminal.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use arrow::array::RecordBatch;

use super::Sink;
use super::show::show;
use crate::format::options::Options;
use crate::{Error, OutputMode, Result};

/// Prints each batch with its id, the empty ones too, as Spark's console sink does.
pub struct ConsoleSink {
    out: Box<dyn Write + Send>,
    rows_max: usize,
    truncate: usize,
    remarks: Vec<String>,
}

impl ConsoleSink {
    /// A sink that prints to `out`. Options: `numRows` (20), `truncate` (true, false, or a number of characters).
    ///
    /// # Errors
    /// An option that is no number.
    pub fn new(out: Box<dyn Write + Send>, options: &BTreeMap<String, String>) -> Result<ConsoleSink> {
        let mut options = Options::new(options);
        let rows_max = count(&mut options, "numRows", 20)?;
        let truncate = match options
            .text("truncate")
            .map(|value| value.to_ascii_lowercase())
            .as_deref()
        {
            None | Some("true") => 20,
            Some("false") => 0,
            Some(_) => count(&mut options, "truncate", 20)?,
        };
        Ok(ConsoleSink {
            out,
            rows_max,
            truncate,
            remarks: options.remarks(),
        })
    }
}

fn count(options: &mut Options, name: &str, default: usize) -> Result<usize> {
    let Some(value) = options.text(name) else {
        return Ok(default);
    };
    value
        .parse()
        .map_err(|_| Error::Invalid(format!("invalid value `{value}` for option `{name}`, write a number")))
}

impl Sink for ConsoleSink {
    fn write(&mut self, batch_id: u64, rows: &RecordBatch, _mode: OutputMode) -> Result<()> {
        let rule = "-".repeat(43);
        let table = show(rows, self.rows_max, self.truncate);
        let printed = writeln!(self.out, "{rule}\nBatch: {batch_id}\n{rule}\n{table}").and_then(|()| self.out.flush());
        printed.map_err(Error::io(Path::new("console")))
    }

    fn describe(&self) -> String {
        "ConsoleSink".to_owned()
    }

    fn remarks(&self) -> Vec<String> {
        self.remarks.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use arrow::array::{ArrayRef, Int32Array, StringArray};

    use super::*;

    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn batches_look_as_on_sparks_console() {
        let rows = RecordBatch::try_from_iter([
            (
                "district",
                Arc::new(StringArray::from(vec![Some("Porto"), None])) as ArrayRef,
            ),
            ("new_scotsmen", Arc::new(Int32Array::from(vec![3, 12]))),
        ])
        .unwrap();
        let screen = Screen::default();
        let mut sink = ConsoleSink::new(Box::new(screen.clone()), &BTreeMap::new()).unwrap();
        sink.write(0, &rows, OutputMode::Append).unwrap();
        sink.write(1, &rows.slice(0, 0), OutputMode::Append).unwrap();
        let printed = String::from_utf8(screen.0.lock().unwrap().clone()).unwrap();
        insta::assert_snapshot!(printed, @r"
        -------------------------------------------
        Batch: 0
        -------------------------------------------
        +--------+------------+
        |district|new_scotsmen|
        +--------+------------+
        |   Porto|           3|
        |    NULL|          12|
        +--------+------------+

        -------------------------------------------
        Batch: 1
        -------------------------------------------
        +--------+------------+
        |district|new_scotsmen|
        +--------+------------+
        +--------+------------+
        ");
    }
}
