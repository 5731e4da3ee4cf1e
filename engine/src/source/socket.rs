//! Lines of text from a TCP connection, for trying things out.
//!
//! What was read before a restart is gone, as with Spark's socket source: the other end keeps nothing.

use std::io::{BufRead, BufReader};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use serde_json::json;

use super::memory::count_of;
use super::{Offset, ReadLimit, Source};
use crate::format::text::text_schema;
use crate::{Error, Result};

/// A source of one column `value`, a row a line. An offset is the number of lines read.
///
/// A thread of its own waits for lines; it ends with the source.
#[derive(Debug)]
pub struct SocketSource {
    address: String,
    connection: TcpStream,
    received: Arc<Mutex<Received>>,
    reader: Option<JoinHandle<()>>,
    available: Option<u64>,
}

#[derive(Debug, Default)]
struct Received {
    /// The number of lines before the first kept one.
    committed: u64,
    lines: Vec<String>,
    broken: Option<std::io::Error>,
}

impl SocketSource {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(host: &str, port: u16) -> Result<SocketSource> {
        let address = format!("{host}:{port}");
        let refused = |error| Error::Invalid(format!("cannot connect to {address}: {error}; is something listening?"));
        let connection = TcpStream::connect((host, port)).map_err(refused)?;
        let incoming = connection.try_clone().map_err(refused)?;
        let received = Arc::new(Mutex::new(Received::default()));
        let shared = Arc::clone(&received);
        let reader = std::thread::spawn(move || receive(BufReader::new(incoming), &shared));
        Ok(SocketSource {
            address,
            connection,
            received,
            reader: Some(reader),
            available: None,
        })
    }

    fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Collects lines until the connection ends.
fn receive(mut incoming: BufReader<TcpStream>, received: &Mutex<Received>) {
    let mut line = Vec::new();
    loop {
        line.clear();
        let outcome = incoming.read_until(b'\n', &mut line);
        let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(0) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                let text = text.strip_suffix('\n').unwrap_or(&text);
                received.lines.push(text.strip_suffix('\r').unwrap_or(text).to_owned());
            }
            Err(error) => {
                received.broken = Some(error);
                return;
            }
        }
    }
}

impl Source for SocketSource {
    fn schema(&self) -> SchemaRef {
        text_schema()
    }

    fn latest_offset(&mut self, start: Option<&Offset>, _limit: ReadLimit) -> Result<Option<Offset>> {
        let start = count_of(start)?;
        let mut received = self.received();
        if let Some(error) = received.broken.take() {
            return Err(Error::Invalid(format!(
                "the connection to {} broke: {error}",
                self.address
            )));
        }
        // After a restart, counting goes on where the last run ended.
        if received.committed < start && received.lines.is_empty() {
            received.committed = start;
        }
        let mut end = received.committed + received.lines.len() as u64;
        if let Some(available) = self.available {
            end = end.min(available);
        }
        Ok((end > 0).then(|| Offset(json!(end.max(start)))))
    }

    fn read(&mut self, start: Option<&Offset>, end: &Offset) -> Result<Vec<RecordBatch>> {
        let (start, end) = (count_of(start)?, count_of(Some(end))?);
        let received = self.received();
        let lines = start
            .checked_sub(received.committed)
            .and_then(|from| received.lines.get(from as usize..(end - received.committed) as usize));
        let lines = lines.ok_or_else(|| {
            Error::Invalid(format!(
                "lines {start} to {end} from {} are gone: a socket cannot be read again after a restart; delete the \
                 checkpoint to start over",
                self.address
            ))
        })?;
        let values = StringArray::from_iter_values(lines);
        Ok(vec![RecordBatch::try_new(text_schema(), vec![Arc::new(values)])?])
    }

    fn commit(&mut self, end: &Offset) -> Result<()> {
        let end = count_of(Some(end))?;
        let mut received = self.received();
        let done = end.saturating_sub(received.committed).min(received.lines.len() as u64);
        received.lines.drain(..done as usize);
        received.committed += done;
        Ok(())
    }

    fn prepare_available_now(&mut self) -> Result<()> {
        let available = {
            let received = self.received();
            received.committed + received.lines.len() as u64
        };
        self.available = Some(available);
        Ok(())
    }

    fn describe(&self) -> String {
        format!("TextSocket[{}]", self.address)
    }
}

impl Drop for SocketSource {
    fn drop(&mut self) {
        // The reader wakes up to a closed connection.
        let _ = self.connection.shutdown(Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    /// Asks until `lines` lines are there.
    fn wait_for(source: &mut SocketSource, start: Option<&Offset>, lines: u64) -> Offset {
        loop {
            match source.latest_offset(start, ReadLimit::Configured).unwrap() {
                Some(offset) if offset.0 == json!(lines) => return offset,
                _ => std::thread::yield_now(),
            }
        }
    }

    #[test]
    fn lines_arrive_are_committed_and_the_source_stops_while_it_waits() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut source = SocketSource::connect("127.0.0.1", listener.local_addr().unwrap().port()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"one\ntwo\r\n").unwrap();
        let first = wait_for(&mut source, None, 2);
        let rows = source.read(None, &first).unwrap();
        assert_eq!(
            rows[0].column(0).as_ref(),
            &StringArray::from(vec!["one", "two"]) as &dyn arrow::array::Array
        );
        source.commit(&first).unwrap();
        assert!(source.read(None, &first).is_err());
        peer.write_all(b"three\n").unwrap();
        let second = wait_for(&mut source, Some(&first), 3);
        assert_eq!(source.read(Some(&first), &second).unwrap()[0].num_rows(), 1);
        drop(source);
    }

    #[test]
    fn nobody_listening_is_said() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = SocketSource::connect("127.0.0.1", port).unwrap_err().to_string();
        assert!(error.contains("is something listening?"), "{error}");
    }
}
