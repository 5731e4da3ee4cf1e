//! What the generator promises, on whole streams.

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use proptest::prelude::*;

use super::*;
use crate::encode::JsonEncoder;
use crate::progress::Silent;
use crate::spec::Kind;

const LATE: &str = r#"
    kind = "scotsmen"
    rows = 3_000
    batch = "30s"
    lateness = [
        { model = "ties", share = "5%" },
        { model = "clock", offset = "3s", share = "10%" },
        { model = "device", on = "3m", off = "20s", flush_rate = 5, max_age = "15s" },
        { model = "pareto", share = "20%", scale = "2s", max = "5m" },
        { model = "spikes", share = "0.1%", pause = "10s" },
        { model = "partition", slow = "1s", idle_from = "5m", idle_to = "7m" },
        { model = "duplicate", share = "3%" },
        { model = "loss", share = "2%" },
        { model = "corrupt", share = "10%", oversize_bytes = 100 },
        { model = "null-time", share = "1%" },
        { model = "jump", share = "1%", by = "-1h" },
        { model = "schedule", changes = [{ at = "10m", lateness = { model = "constant", delay = "1s" } }] },
        { model = "boundary", window = "3m", delay = "30s" },
    ]
"#;

fn specs(texts: &[(&str, &str)]) -> Vec<(String, StreamSpec)> {
    texts
        .iter()
        .map(|(name, text)| (name.to_string(), StreamSpec::from_toml(text).unwrap()))
        .collect()
}

fn made(specs: &[(String, StreamSpec)], seed: u64) -> GeneratedTrace {
    generate(specs, seed).unwrap()
}

/// The rows of one stream as JSON lines, a text for each micro-batch.
fn lines(stream: &GeneratedStream) -> Vec<Vec<u8>> {
    let json = JsonEncoder::new(&stream.schema);
    let text = |batch: &GeneratedBatch| {
        let mut out = vec![];
        json.encode(&batch.rows, &mut out).unwrap();
        out
    };
    stream.micro_batches.iter().map(text).collect()
}

#[test]
fn the_same_seed_makes_the_same_rows_and_another_seed_others() {
    let specs = specs(&[("a", LATE)]);
    let first = lines(&made(&specs, 7).streams[0]);
    assert_eq!(first, lines(&made(&specs, 7).streams[0]));
    assert_ne!(first, lines(&made(&specs, 8).streams[0]));
}

#[test]
fn adding_a_stream_changes_no_other() {
    let alone = made(&specs(&[("a", LATE)]), 7);
    let both = made(&specs(&[("b", "kind = \"weather\"\nrows = 50"), ("a", LATE)]), 7);
    assert_eq!(lines(&alone.streams[0]), lines(&both.streams[1]));
}

#[test]
fn every_layer_leaves_its_mark() {
    let stream = &made(&specs(&[("a", LATE)]), 7).streams[0];
    let card = &stream.card;
    assert!(
        card.duplicates > 20 && card.lost > 50 && card.corrupt > 100 && card.without_event_time > 50,
        "{card}"
    );
    assert!(card.inversions > 100, "{card}");
}

#[test]
fn rows_are_what_a_reader_makes_of_their_text() {
    let stream = &made(&specs(&[("a", LATE)]), 7).streams[0];
    for batch in &stream.micro_batches {
        let raw = batch.raw.as_ref().unwrap();
        let texts: Vec<&[u8]> = raw.split(|byte| *byte == b'\n').collect();
        assert_eq!(
            texts.len(),
            batch.rows.num_rows() + 1,
            "one line a row, and nothing after the last"
        );
        assert!(
            texts[..texts.len() - 1].iter().all(|text| !text.is_empty()),
            "a blank line would be no row"
        );
        for (row, arrival) in batch.arrivals.iter().enumerate() {
            let time = batch.rows.column(2).as_primitive::<TimestampMicrosecondType>();
            let seen = batch.rows.column(2).is_valid(row).then(|| time.value(row));
            assert_eq!(seen, arrival.seen_time());
        }
    }
}

#[test]
fn no_row_arrives_before_it_happened_and_all_in_order() {
    let stream = &made(&specs(&[("a", LATE)]), 7).streams[0];
    let arrivals: Vec<&Arrival> = stream.micro_batches.iter().flat_map(|batch| &batch.arrivals).collect();
    assert!(arrivals.is_sorted_by_key(|arrival| arrival.time));
    assert!(arrivals.iter().all(|arrival| arrival.time >= arrival.event_time));
    let start = StreamSpec::new(Kind::Scotsmen, 1).start.0;
    for (number, batch) in stream.micro_batches.iter().enumerate() {
        let window = start + number as i64 * 30_000_000..start + (number as i64 + 1) * 30_000_000;
        assert!(
            batch.arrivals.iter().all(|arrival| window.contains(&arrival.time)),
            "micro-batch {number}"
        );
    }
}

#[test]
fn boundary_rows_stand_on_window_ends_and_watermarks() {
    let spec = "kind = \"scotsmen\"\nrows = 1000\nbatch = \"20s\"\n\
                lateness = { model = \"boundary\", window = \"1m\", delay = \"30s\" }";
    let stream = &made(&specs(&[("a", spec)]), 7).streams[0];
    let times: Vec<i64> = stream
        .micro_batches
        .iter()
        .flat_map(|batch| &batch.arrivals)
        .map(|a| a.stamp)
        .collect();
    let start = StreamSpec::new(Kind::Scotsmen, 1).start.0;
    for end in (1..15).map(|minute| start + minute * 60_000_000) {
        let around: Vec<i64> = [-1_000, 0, 1_000]
            .into_iter()
            .filter(|away| times.contains(&(end + away)))
            .collect();
        assert!(around.len() >= 2, "window end {end} has only {around:?}");
    }
    let mut latest = i64::MIN;
    for (number, batch) in stream.micro_batches.iter().enumerate() {
        if number > 0 {
            let watermark = latest / 1_000 * 1_000 - 30_000_000;
            let on = batch
                .arrivals
                .iter()
                .filter(|arrival| (arrival.stamp - watermark).abs() <= 1_000)
                .count();
            assert!(on >= 3, "micro-batch {number} has {on} rows around its watermark");
        }
        latest = batch
            .arrivals
            .iter()
            .map(|arrival| arrival.stamp)
            .fold(latest, i64::max);
    }
}

#[test]
fn sales_follow_conversions_of_the_same_district() {
    let streams = specs(&[
        ("scotsmen", "kind = \"scotsmen\"\nrows = 200"),
        ("bagpipe", "kind = \"bagpipe\"\nrows = 200"),
    ]);
    let trace = made(&streams, 7);
    let rows = |stream: &GeneratedStream| -> Vec<(u64, String, i64)> {
        let of_batch = |batch: &GeneratedBatch| -> Vec<(u64, String, i64)> {
            let districts = batch.rows.column(0).as_string::<i32>();
            batch
                .arrivals
                .iter()
                .enumerate()
                .map(|(at, a)| (a.row, districts.value(at).into(), a.event_time))
                .collect()
        };
        stream.micro_batches.iter().flat_map(of_batch).collect()
    };
    let conversions = rows(&trace.streams[0]);
    for (row, district, sold) in rows(&trace.streams[1]) {
        let (_, converted_in, converted) = &conversions[row as usize];
        assert_eq!(*converted_in, district);
        assert!(
            (0..=300_000_000).contains(&(sold - converted)),
            "sold {} us later",
            sold - converted
        );
    }
}

#[test]
fn empty_micro_batches_are_kept() {
    let spec = "kind = \"scotsmen\"\nrows = 3\npace = { every = \"10s\" }\nbatch = \"4s\"\ntrailing_batches = 2";
    let stream = &made(&specs(&[("a", spec)]), 7).streams[0];
    let rows: Vec<usize> = stream.micro_batches.iter().map(|batch| batch.rows.num_rows()).collect();
    assert_eq!(rows, [1, 0, 1, 0, 0, 1, 0, 0]);
}

#[test]
fn custom_columns_have_their_types_and_models() {
    let spec = r#"
        kind = "custom"
        rows = 500
        columns = [
            { name = "id", type = "bigint", model = "sequence", start = 100, step = 5 },
            { name = "user", type = "string", template = "user-{value}", model = "zipf", n = 50 },
            { name = "page", type = "string", model = "choice", values = ["a", "b"], weights = [9, 1], nulls = "10%" },
            { name = "price", type = "decimal(10,2)", model = "uniform", min = "1.00", max = "9.99" },
            { name = "score", type = "double", model = "normal", mean = 5, deviation = 2 },
            { name = "clicks", type = "int", model = "poisson", mean = 2 },
            { name = "vip", type = "boolean", model = "choice", values = [true, false] },
            { name = "day", type = "date", model = "uniform", min = "2024-01-01", max = "2024-01-31" },
            { name = "seen", type = "timestamp", model = "event-time" },
            { name = "note", type = "string", template = "row {row}" },
            { name = "district", type = "string", model = "key", stream = "scotsmen", column = "district" },
        ]
    "#;
    let streams = specs(&[("clicks", spec), ("scotsmen", "kind = \"scotsmen\"\nrows = 10")]);
    let stream = &made(&streams, 7).streams[0];
    let text = String::from_utf8(lines(stream).concat()).unwrap();
    insta::assert_snapshot!(text.lines().take(3).collect::<Vec<_>>().join("\n"), @r#"
    {"id":100,"user":"user-1","page":null,"price":6.07,"score":6.8194637639579305,"clicks":3,"vip":false,"day":"2024-01-05","seen":"2024-01-01T00:00:00Z","note":"row 0","district":"Porto"}
    {"id":105,"user":"user-1","page":"a","price":5.48,"score":6.044629600171812,"clicks":1,"vip":false,"day":"2024-01-11","seen":"2024-01-01T00:00:01Z","note":"row 1","district":"Lisboa"}
    {"id":110,"user":"user-15","page":"a","price":8.59,"score":3.882306790038114,"clicks":2,"vip":true,"day":"2024-01-04","seen":"2024-01-01T00:00:02Z","note":"row 2","district":"Porto"}
    "#);
    assert_eq!(stream.time_column, Some(8));
}

#[test]
fn a_circle_of_keys_is_refused() {
    let column = |stream: &str| {
        format!(
            "kind = \"custom\"\nrows = 5\n\
             columns = [{{ name = \"k\", type = \"string\", model = \"key\", stream = \"{stream}\", column = \"k\" }}]"
        )
    };
    let streams = specs(&[("a", &column("b")), ("b", &column("a"))]);
    insta::assert_snapshot!(generate(&streams, 7).unwrap_err(), @"stream `a`: its keys come from stream `a` again through a, b; break the circle");
}

#[test]
fn shards_write_the_files_of_the_whole() {
    let directory = tempfile::tempdir().unwrap();
    let request = |to: &str, format, shard| GenerateRequest {
        specs: specs(&[(
            "a",
            if format == Format::Json {
                LATE
            } else {
                "kind = \"bagpipe\"\nrows = 3000\nbatch_rows = 100"
            },
        )]),
        seed: 7,
        format,
        target: Target::Directory(directory.path().join(to)),
        shard,
    };
    for format in [Format::Json, Format::Csv, Format::Parquet] {
        let (whole, parts) = (format!("{format}-whole"), format!("{format}-parts"));
        run(&request(&whole, format, None), &mut Silent).unwrap();
        for index in 0..3 {
            run(&request(&parts, format, Some(Shard { index, of: 3 })), &mut Silent).unwrap();
        }
        let files = |name: &str| -> Vec<(String, Vec<u8>)> {
            let mut files: Vec<PathBuf> = std::fs::read_dir(directory.path().join(name).join("a"))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            files.push(directory.path().join(name).join("trace.toml"));
            files.sort();
            let named = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
            files
                .iter()
                .map(|path| (named(path), std::fs::read(path).unwrap()))
                .collect()
        };
        assert!(files(&whole).len() > 20);
        assert_eq!(files(&whole), files(&parts), "{format}");
    }
}

#[test]
fn a_trace_says_what_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let request = GenerateRequest {
        specs: specs(&[("a", LATE)]),
        seed: 7,
        format: Format::Json,
        target: Target::Directory(directory.path().to_owned()),
        shard: None,
    };
    run(&request, &mut Silent).unwrap();
    let text = std::fs::read_to_string(directory.path().join("trace.toml")).unwrap();
    let trace = TraceFile::from_toml(&text).unwrap();
    assert_eq!(
        trace.streams[0].schema().unwrap(),
        made(&request.specs, 7).streams[0].schema
    );
    let spec = toml::to_string(trace.streams[0].spec.as_ref().unwrap()).unwrap();
    assert_eq!(
        StreamSpec::from_toml(&spec).unwrap().lateness,
        request.specs[0].1.lateness
    );
    let again = run(&request, &mut Silent).unwrap_err();
    assert!(matches!(again, Error::DirectoryInUse { .. }), "{again}");
}

#[test]
fn requests_that_do_not_go_together_are_refused() {
    let request = |format, target| GenerateRequest {
        specs: specs(&[("a", LATE)]),
        seed: 7,
        format,
        target,
        shard: None,
    };
    let parquet = run(
        &request(Format::Parquet, Target::Directory("nowhere".into())),
        &mut Silent,
    );
    insta::assert_snapshot!(parquet.unwrap_err(), @"the layer `corrupt` of stream `a` spoils JSON lines; write `json`");
    let mut two = request(Format::Json, Target::Stdout);
    two.specs.extend(specs(&[("b", "kind = \"weather\"\nrows = 5")]));
    insta::assert_snapshot!(run(&two, &mut Silent).unwrap_err(), @"standard output takes one stream, as JSON or CSV; give a directory for more");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// However micro-batches are cut, the rows and their order are the same.
    #[test]
    fn the_cut_changes_no_row(seed in 0u64..1_000, batch_rows in 1u64..500, seconds in 1i64..600) {
        let by = |cut: String| {
            let text = format!(
                "kind = \"scotsmen\"\nrows = 500\n{cut}\nlateness = [{{ model = \"pareto\", share = 0.3 , max = \"5m\"}}, \
                 {{ model = \"duplicate\", share = 0.1 }}, {{ model = \"loss\" }}]"
            );
            lines(&made(&specs(&[("a", &text)]), seed).streams[0]).concat()
        };
        prop_assert_eq!(by(format!("batch_rows = {batch_rows}")), by(format!("batch = \"{seconds}s\"")));
    }
}
