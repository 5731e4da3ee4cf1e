//! Figures of a run for Prometheus, in its text format: one page, over the simplest HTTP there is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::load::run::View;

/// How long a client may take to ask.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest request that is read.
const REQUEST_BYTES: usize = 8_192;

/// Serves the page until it is dropped.
pub struct Exporter {
    address: SocketAddr,
    page: Arc<Mutex<String>>,
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Listens at an address such as `127.0.0.1:9400`.
    ///
    /// # Errors
    /// An address that cannot be listened at.
    pub fn listen(address: &str) -> Result<Exporter, String> {
        let wrong = |error: std::io::Error| {
            format!("cannot listen at `{address}` for Prometheus: {error}; write for example 127.0.0.1:9400")
        };
        let listener = TcpListener::bind(address).map_err(wrong)?;
        let address = listener.local_addr().map_err(wrong)?;
        let (page, closing) = (Arc::new(Mutex::new(String::new())), Arc::new(AtomicBool::new(false)));
        let (shown, closed) = (Arc::clone(&page), Arc::clone(&closing));
        let serve = move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if closed.load(Ordering::Relaxed) {
                    break;
                }
                let page = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let _ = answer(stream, &page); // a client that is gone asks again
            }
        };
        let thread = std::thread::Builder::new()
            .name("skirl-metrics".into())
            .spawn(serve)
            .map_err(wrong)?;
        Ok(Exporter {
            address,
            page,
            closing,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts the counts of now on the page.
    pub fn show(&self, view: &View) {
        *self.page.lock().unwrap_or_else(PoisonError::into_inner) = page(view);
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        // A visit wakes the thread, which then looks.
        if TcpStream::connect_timeout(&self.address, PATIENCE).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

fn answer(mut stream: TcpStream, page: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = Vec::new();
    let mut part = [0; 1_024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < REQUEST_BYTES {
        match stream.read(&mut part)? {
            0 => break,
            read => request.extend_from_slice(&part[..read]),
        }
    }
    let asks_for = |path: &str| request.starts_with(format!("GET {path} ").as_bytes());
    let (status, body) = if asks_for("/metrics") || asks_for("/") {
        ("200 OK", page)
    } else {
        ("404 Not Found", "the figures are at /metrics\n")
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

fn page(view: &View) -> String {
    let counts = &view.counts;
    let mut page = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(&str, f64)]| {
        page += &format!("# HELP skirl_load_{name} {help}\n# TYPE skirl_load_{name} {kind}\n");
        for (labels, value) in samples {
            page += &format!("skirl_load_{name}{{run=\"{}\"{labels}}} {value}\n", view.run);
        }
    };
    let seconds = |micros: u64| micros as f64 / 1e6;
    let count = |count: u64| [("", count as f64)];
    family(
        "intended_rows_per_second",
        "gauge",
        "Mean rate the run is to offer.",
        &[("", view.plan.timing.mean_rate())],
    );
    family(
        "elapsed_seconds",
        "gauge",
        "Since the measured part began; negative in the warm-up.",
        &[("", view.now.0 as f64 / 1e9)],
    );
    family("queued_rows_total", "counter", "Rows queued.", &count(counts.queued));
    family(
        "queued_bytes_total",
        "counter",
        "Bytes of keys and values queued.",
        &count(counts.queued_bytes),
    );
    family(
        "acknowledged_rows_total",
        "counter",
        "Rows acknowledged.",
        &count(counts.acknowledged),
    );
    family(
        "failed_rows_total",
        "counter",
        "Rows that could not be written.",
        &count(counts.failed),
    );
    family(
        "in_flight_rows",
        "gauge",
        "Rows queued and not yet reported.",
        &count(counts.in_flight()),
    );
    family(
        "behind_seconds",
        "gauge",
        "How late the latest row was queued.",
        &[("", counts.behind_ns.max(0) as f64 / 1e9)],
    );
    if view.plan.receive.is_some() {
        family(
            "received_rows_total",
            "counter",
            "Different rows of the run read back.",
            &count(counts.received),
        );
        family(
            "duplicate_rows_total",
            "counter",
            "Rows read back that were there before.",
            &count(counts.duplicates),
        );
        family(
            "reordered_rows_total",
            "counter",
            "Rows read back behind a later one.",
            &count(counts.reordered),
        );
        family(
            "lag_rows",
            "gauge",
            "Rows acknowledged and not yet read back.",
            &count(counts.lag()),
        );
    }
    family(
        "latency_seconds",
        "gauge",
        "From the intended time to the acknowledgement, of the interval under way.",
        &[
            (",quantile=\"0.5\"", seconds(counts.p50_us)),
            (",quantile=\"0.99\"", seconds(counts.p99_us)),
            (",quantile=\"1\"", seconds(counts.max_us)),
        ],
    );
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::clock::Moment;
    use crate::load::plan::tests::plan;
    use crate::load::stamp::RunId;
    use crate::load::tally::Counts;

    fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn figures_are_served_until_the_run_is_over() {
        let exporter = Exporter::listen("127.0.0.1:0").unwrap();
        let plan = plan();
        let counts = Counts {
            queued: 7,
            acknowledged: 5,
            p99_us: 20_000,
            ..Counts::default()
        };
        exporter.show(&View {
            plan: &plan,
            run: RunId(1),
            now: Moment(0),
            counts,
            is_draining: false,
        });
        let answer = get(exporter.address(), "/metrics");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(
            answer.contains("skirl_load_acknowledged_rows_total{run=\"0000000000000001\"} 5\n"),
            "{answer}"
        );
        assert!(
            answer.contains("skirl_load_latency_seconds{run=\"0000000000000001\",quantile=\"0.99\"} 0.02\n"),
            "{answer}"
        );
        assert!(get(exporter.address(), "/other").starts_with("HTTP/1.1 404"));
        let address = exporter.address();
        drop(exporter);
        assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
    }

    #[test]
    fn an_address_that_cannot_be_had_is_told() {
        let message = Exporter::listen("nowhere").err().unwrap();
        assert!(message.contains("127.0.0.1:9400"), "{message}");
    }

    /// Each sample has its HELP and TYPE, and nothing else stands on the page.
    #[test]
    fn the_page_is_prometheus_text() {
        let plan = plan();
        let view = View {
            plan: &plan,
            run: RunId(1),
            now: Moment(-5),
            counts: Counts::default(),
            is_draining: false,
        };
        let mut described = String::new();
        for line in page(&view).lines() {
            match line.strip_prefix("# TYPE ") {
                Some(family) => described = family.split(' ').next().unwrap().to_string(),
                None if line.starts_with("# HELP ") => {}
                None => {
                    assert!(line.starts_with(&format!("{described}{{")), "{line}");
                    assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
                }
            }
        }
    }
}
