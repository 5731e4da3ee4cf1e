//! Recordings as tests make them, look into them and put them back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicI64, Ordering};

use libtest_mimic::Failed;
use skirl::recording::{PutBack, PutBackRequest, RecordRequest, Recorded, Repartition, Start, Until, put_back, record};
use skirl_generator::spec::Cut;
use skirl_generator::target::kafka::{Clock, SendPace, Timestamps};
use skirl_generator::trace::{TRACE_FILE, TraceFile};
use skirl_kafka::{Existing, Row};

use crate::role::Role;
use crate::topic::Topic;

/// A clock that moves on with every look at it, so that nothing has to be waited for.
pub struct Ticking {
    now_us: AtomicI64,
    tick_us: i64,
}

impl Ticking {
    pub fn every(tick_us: i64) -> Self {
        Ticking {
            now_us: AtomicI64::new(1_733_220_000_000_000),
            tick_us,
        }
    }
}

impl Clock for Ticking {
    fn now_us(&self) -> i64 {
        self.now_us.fetch_add(self.tick_us, Ordering::Relaxed)
    }
}

/// A time for records of tests, in milliseconds since 1970.
pub const NOON: i64 = 1_733_227_200_000;

/// A request for all that is in a topic now.
pub fn everything(topic: &Topic, directory: &Path) -> RecordRequest {
    RecordRequest {
        properties: topic.properties.clone(),
        topics: vec![topic.name.clone()],
        start: Start::Earliest,
        until: Until {
            offsets: Some(BTreeMap::new()),
            ..Until::default()
        },
        directory: directory.to_path_buf(),
        cut: Cut::Rows(1_000),
        schemas: BTreeMap::new(),
        bytes_only: false,
    }
}

/// Records.
pub fn recorded(request: &RecordRequest) -> Result<Recorded, Failed> {
    Ok(record(request, &Ticking::every(1), &|| false, &mut |_, _| ())?)
}

/// A request to put a trace of one stream back to a topic, with its timestamps and as fast as it goes.
pub fn back_to(topic: &Topic, trace: &Path) -> Result<PutBackRequest, Failed> {
    let stream = described(trace)?.streams.remove(0).name;
    Ok(PutBackRequest {
        trace: trace.to_path_buf(),
        properties: topic.properties.clone(),
        topics: [(stream, topic.name.clone())].into_iter().collect(),
        partitions: None,
        settings: BTreeMap::new(),
        existing: Existing::Refuse,
        repartition: Repartition::Refuse,
        pace: SendPace::Unlimited,
        timestamps: Timestamps::Original,
    })
}

/// Puts a trace back, at the time it is.
pub fn put(request: &PutBackRequest) -> Result<PutBack, Failed> {
    let now = skirl_engine::clock::Clock::now_ms(&skirl_engine::clock::SystemClock) * 1_000;
    let clock = Ticking {
        now_us: AtomicI64::new(now),
        tick_us: 1,
    };
    Ok(put_back(request, &clock, &|| false, &mut |_, _| ())?)
}

/// What a trace says of itself.
pub fn described(trace: &Path) -> Result<TraceFile, Failed> {
    Ok(TraceFile::from_toml(&fs::read_to_string(trace.join(TRACE_FILE))?)?)
}

/// Every file of a trace but its description, and its bytes.
pub fn files(trace: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, Failed> {
    let mut files = BTreeMap::new();
    for directory in fs::read_dir(trace)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>, Failed>>()?
    {
        if directory.is_dir() {
            for file in fs::read_dir(&directory)? {
                let path = file?.path();
                files.insert(path.strip_prefix(trace)?.to_path_buf(), fs::read(&path)?);
            }
        }
    }
    Ok(files)
}

/// Runs the command.
pub fn skirl(arguments: &[&str]) -> Result<Output, Failed> {
    Ok(Role::Skirl.command().args(arguments).output()?)
}

/// What a command says, which must end with `code`.
pub fn said(output: &Output, code: i32) -> String {
    let text = [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .concat();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

/// Everything Kafka allows and people forget.
pub fn odd_rows<'a>() -> Vec<Row<'a>> {
    const HEADERS: &[(&str, Option<&[u8]>)] = &[
        ("a", Some(b"1")),
        ("a", Some(b"2")),
        ("b", None),
        ("b", Some(b"")),
        ("", Some(b"\xff\0")),
    ];
    let row = |partition, key, value, after_ms, headers| Row {
        partition: Some(partition),
        key,
        value,
        timestamp_ms: Some(NOON + after_ms),
        headers,
        tag: 0,
    };
    vec![
        row(
            0,
            Some(&b"Porto"[..]),
            Some(&br#"{"district":"Porto","n":1}"#[..]),
            0,
            &[][..],
        ),
        row(0, None, Some(b"{\"n\":2}"), 40, HEADERS),
        row(0, Some(b""), Some(b""), 20, &[]),
        row(0, Some(b"\xff\xfe"), Some(b"\xff\0\n\r"), 30, HEADERS),
        row(1, Some(b"gone"), None, 10, &[]),
        row(1, None, None, 10, HEADERS),
        row(1, Some(b"k"), Some(b"{\n\"n\": 3 }"), 2_500, &[]),
        row(2, Some(b"avro"), Some(b"no json"), 1_700, &HEADERS[..1]),
    ]
}
