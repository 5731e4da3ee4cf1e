//! How fast does the seed's window query go over JSON rows of a topic, beside a consumer that only counts them?
//!
//! Needs a broker: `SKIRL_KAFKA=host:port cargo bench -p skirl-benches --bench kafka_source`. Both read the same topic, in
//! turns; `SKIRL_BENCH_ROWS` says how many rows it has.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use skirl_benches::{Kept, WINDOW_QUERY, parse_topic, rows};
use skirl_engine::format::json::{JsonOptions, write_json_lines};
use skirl_engine::source::Source;
use skirl_engine::source::kafka::KafkaSource;
use skirl_engine::{OutputMode, Session, Trigger};
use skirl_kafka::{Admin, Isolation, NewTopic, Position, Properties, Reader, Reports, Row, Span, Writer};

const PARTITIONS: i32 = 4;
const TURNS: usize = 5;
/// Windows of 3 minutes close every 50,000 rows.
const STEP_US: i64 = 3_600;
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let Some(address) = std::env::var("SKIRL_KAFKA").ok().filter(|address| !address.is_empty()) else {
        println!("kafka_source: skipped, SKIRL_KAFKA names no broker");
        return;
    };
    let wanted = std::env::var("SKIRL_BENCH_ROWS")
        .ok()
        .and_then(|rows| rows.parse().ok());
    let topic = Topic::filled(&address, wanted.unwrap_or(2_000_000));
    for turn in 1..=TURNS {
        let bare = topic.count();
        let query = topic.aggregate();
        println!(
            "turn {turn}: bare consumer {bare}, window query {query}, ratio {:.2}",
            query.rows_per_s / bare.rows_per_s
        );
    }
}

/// What a turn took.
struct Measured {
    rows_per_s: f64,
    cpu_us_per_row: f64,
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.2} M rows/s, {:.2} us of CPU a row",
            self.rows_per_s / 1e6,
            self.cpu_us_per_row
        )
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn measured(rows: usize, work: impl FnOnce()) -> Measured {
    let (started, cpu_us) = (Instant::now(), cpu_us());
    work();
    Measured {
        rows_per_s: rows as f64 / started.elapsed().as_secs_f64(),
        cpu_us_per_row: (self::cpu_us() - cpu_us) as f64 / rows as f64,
    }
}

/// CPU time of this process so far, in microseconds; 0 where the system does not tell it in Linux's way.
fn cpu_us() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name in brackets, ticks of 10 ms in user and in system mode are the 12th and 13th field.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum::<u64>()
        * 10_000
}

struct Topic {
    name: String,
    properties: Properties,
    admin: Admin,
    rows: usize,
}

impl Topic {
    /// A topic with the seed's rows as JSON, about 80 bytes each.
    fn filled(address: &str, count: usize) -> Topic {
        let properties = Properties::new(address);
        let admin = Admin::connect(&properties).expect("a broker");
        let name = format!("skirl-bench-{}", std::process::id());
        let new = NewTopic {
            name: name.clone(),
            partitions: PARTITIONS,
            replication: Some(1),
            settings: BTreeMap::new(),
        };
        admin.create(&new).expect("the topic is new");
        let topic = Topic {
            name,
            properties,
            admin,
            rows: count,
        };
        topic.fill();
        topic
    }

    fn fill(&self) {
        let mut writer = Writer::connect(&self.properties, Reports::Failures).expect("a broker");
        let handle = writer.topic(&self.name).expect("a topic");
        let mut lines = Vec::new();
        let all = rows("new_scotsmen", 0, self.rows, STEP_US);
        write_json_lines(&all, &JsonOptions::default(), &mut lines).expect("rows are JSON");
        let values = lines.split(|byte| *byte == b'\n').take(self.rows).enumerate();
        let rows: Vec<Row> = values
            .map(|(number, value)| Row {
                partition: Some((number % PARTITIONS as usize) as i32),
                value: Some(value),
                ..Row::default()
            })
            .collect();
        let mut left = &rows[..];
        while !left.is_empty() {
            left = &left[writer.queue(&handle, left).expect("rows fit")..];
            writer
                .poll(Duration::from_millis(1), |report| panic!("{:?}", report.error))
                .expect("a broker");
        }
        writer
            .finish(PATIENCE, |report| panic!("{:?}", report.error))
            .expect("a broker");
    }

    fn count(&self) -> Measured {
        let ends: Vec<_> = (0..PARTITIONS)
            .map(|number| (self.name.as_str(), number, Position::Latest))
            .collect();
        let ends = self.admin.offsets(&ends, Isolation::ReadUncommitted).expect("a broker");
        let span = |(number, end): (i32, Option<i64>)| Span {
            topic: self.name.clone(),
            partition: number,
            start: 0,
            end: end.expect("every log has an end"),
        };
        let spans: Vec<Span> = (0..PARTITIONS).zip(ends).map(span).collect();
        let mut properties = self.properties.clone();
        properties.set("queued.min.messages", "1000000").expect("a property");
        let mut reader = Reader::connect(&properties, Isolation::ReadUncommitted).expect("a broker");
        measured(self.rows, || {
            let (mut rows, mut bytes) = (0, 0);
            let each = |_, row: &skirl_kafka::Fetched| {
                rows += 1;
                bytes += row.value().map_or(0, <[u8]>::len);
            };
            reader.read(&spans, PATIENCE, each).expect("rows");
            assert_eq!(rows, self.rows);
            assert!(bytes > 60 * rows);
        })
    }

    fn aggregate(&self) -> Measured {
        let mut session = Session::new(BTreeMap::new());
        let options = [("subscribe", self.name.as_str()), ("startingOffsets", "earliest")];
        let options: BTreeMap<String, String> = options
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .into();
        let properties = self.properties.clone();
        let make = move || KafkaSource::new(&properties, &options);
        let schema = make().expect("the options are sound").schema();
        session
            .read_stream("topic", schema, move || Ok(Box::new(make()?)))
            .expect("the stream is new");
        parse_topic(&mut session);
        let kept = Kept::default();
        let mut query = skirl_benches::start(&session, WINDOW_QUERY, OutputMode::Append, &kept);
        let measured = measured(self.rows, || {
            let mut read = 0;
            query
                .run(Trigger::AvailableNow, |batch| read += batch.input_rows[0])
                .expect("the query runs");
            assert_eq!(read, self.rows as u64);
        });
        assert!(
            kept.take_rows() >= (self.rows / 50_000 - 2) * 20,
            "nearly every window has closed"
        );
        measured
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        let _ = self.admin.delete(&self.name);
    }
}
