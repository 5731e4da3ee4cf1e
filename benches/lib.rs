//! Rows and queries the benchmarks share.
//!
//! A benchmark is a file of its own beside this one, named for the question it answers; it asserts its result, so that
//! it cannot measure nothing, and the test command runs each once.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use skirl_engine::sink::Sink;
use skirl_engine::source::{MemoryStream, Source};
use skirl_engine::sql::{WatermarkSpec, timestamp_type};
use skirl_engine::{OutputMode, Session, StreamingQuery};

/// The districts rows are spread over.
pub const DISTRICTS: [&str; 20] = [
    "Aveiro",
    "Beja",
    "Braga",
    "Bragança",
    "Castelo Branco",
    "Coimbra",
    "Évora",
    "Faro",
    "Guarda",
    "Leiria",
    "Lisboa",
    "Portalegre",
    "Porto",
    "Santarém",
    "Setúbal",
    "Viana do Castelo",
    "Vila Real",
    "Viseu",
    "Açores",
    "Madeira",
];

/// 2024-12-03T10:00:00Z in microseconds.
pub const START_US: i64 = 1_733_220_000_000_000;

/// The seed's windows of 3 minutes.
pub const WINDOW_QUERY: &str = "SELECT window(timestamp, '3 minutes') AS window, district, count(*) AS event_count, \
     sum(new_scotsmen) AS total, avg(new_scotsmen) AS average FROM s GROUP BY window(timestamp, '3 minutes'), district";

/// The seed's join of conversions and sales within five minutes.
pub const JOIN_QUERY: &str = "SELECT s1.district, s1.n AS new_scotsmen, s2.n AS bagpipe_sales, s1.t AS t1, s2.t AS t2 FROM \
     s1 JOIN s2 ON s1.district = s2.district AND s2.t >= s1.t AND s2.t <= s1.t + INTERVAL 5 MINUTES";

/// `district, <count>, timestamp` as the streams of the seed have it.
pub fn schema(count: &str) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("district", DataType::Utf8, true),
        Field::new(count, DataType::Int32, true),
        Field::new("timestamp", timestamp_type(), true),
    ]))
}

/// `rows` rows from row `first` on, `step_us` apart, nearly in order: each is up to 2 s early or late.
pub fn rows(count: &str, first: usize, rows: usize, step_us: i64) -> RecordBatch {
    let mix = |row: usize| (row as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 17;
    let numbers = first..first + rows;
    let districts = numbers.clone().map(|row| DISTRICTS[(mix(row) % 20) as usize]);
    let counts = numbers.clone().map(|row| (mix(row) >> 8) as i32 % 10);
    let times = numbers.map(|row| START_US + row as i64 * step_us + (mix(row) >> 4) as i64 % 4_000_000 - 2_000_000);
    let columns: Vec<arrow::array::ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(districts)),
        Arc::new(Int32Array::from_iter_values(counts)),
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("+00:00")),
    ];
    RecordBatch::try_new(schema(count), columns).expect("columns fit the schema")
}

/// Makes the stream `s` of [`WINDOW_QUERY`] of the JSON values of the stream `topic`, in Kafka's columns.
pub fn parse_topic(session: &mut Session) {
    let parsed = "SELECT value.* FROM (SELECT from_json(CAST(value AS STRING), \
                  'district STRING, new_scotsmen INT, timestamp TIMESTAMP') AS value FROM topic)";
    let watermark = WatermarkSpec {
        column: "timestamp".into(),
        delay: "30 seconds".into(),
    };
    session
        .create_view("s", parsed, Some(&watermark))
        .expect("the view is sound");
}

/// Keeps what a query emits; clones share it.
#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<Vec<RecordBatch>>>);

impl Kept {
    /// Takes what was emitted since the last time.
    pub fn take(&self) -> Vec<RecordBatch> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Rows emitted since the last time.
    pub fn take_rows(&self) -> usize {
        self.take().iter().map(RecordBatch::num_rows).sum()
    }
}

impl Sink for Kept {
    fn write(&mut self, _: u64, rows: &RecordBatch, _: OutputMode) -> skirl_engine::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(rows.clone());
        Ok(())
    }

    fn describe(&self) -> String {
        "benchmark".into()
    }
}

/// A session with a stream `scotsmen` from a source, and the view `s` over it with a watermark of 30 seconds.
pub fn scotsmen_session(source: impl Fn() -> skirl_engine::Result<Box<dyn Source>> + Send + Sync + 'static) -> Session {
    let mut session = Session::new(Default::default());
    session
        .read_stream("scotsmen", schema("new_scotsmen"), source)
        .expect("the stream is new");
    let watermark = WatermarkSpec {
        column: "timestamp".into(),
        delay: "30 seconds".into(),
    };
    session
        .create_view("s", "SELECT * FROM scotsmen", Some(&watermark))
        .expect("the view is sound");
    session
}

/// The streams `scotsmen` and `bagpipe`, with the views `s1` and `s2` over them: `district, n, t`, watermark 1 minute.
pub fn join_session(scotsmen: &MemoryStream, bagpipe: &MemoryStream) -> Session {
    let mut session = Session::new(Default::default());
    for (stream, count, view, source) in [
        ("scotsmen", "new_scotsmen", "s1", scotsmen),
        ("bagpipe", "bagpipe_sales", "s2", bagpipe),
    ] {
        let made = source.clone();
        session
            .read_stream(stream, schema(count), move || Ok(Box::new(made.source(Some(1)))))
            .expect("the stream is new");
        let sql = format!("SELECT district, {count} AS n, date_trunc('minute', timestamp) AS t FROM {stream}");
        let watermark = WatermarkSpec {
            column: "t".into(),
            delay: "1 minute".into(),
        };
        session
            .create_view(view, &sql, Some(&watermark))
            .expect("the view is sound");
    }
    session
}

/// Starts `sql` in a mode.
pub fn start(session: &Session, sql: &str, mode: OutputMode, kept: &Kept) -> StreamingQuery {
    let query = session.write_stream(sql).expect("the query is sound").output_mode(mode);
    query.start(Box::new(kept.clone())).expect("the query starts")
}
