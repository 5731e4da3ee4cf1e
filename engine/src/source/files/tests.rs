//! A directory as a stream, file by file.

use std::fs;
use std::time::{Duration, SystemTime};

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int32Type};

use super::*;

struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Directory(tempfile::tempdir().unwrap())
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    /// A file with one number, modified `time` seconds after some start.
    fn put(&self, name: &str, number: i32, time: u64) {
        fs::write(self.path(name), format!("{{\"n\":{number}}}\n")).unwrap();
        let file = fs::File::options().append(true).open(self.path(name)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + time))
            .unwrap();
    }
    fn source(&self, options: &[(&str, &str)], order: FileOrder) -> Result<FileSource> {
        let options = options
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, true)]));
        FileSource::new(self.0.path().to_str().unwrap(), "json", &schema, &options, order, 0)
    }
}

/// The numbers of each batch from `start` on, until nothing is new.
fn drain(source: &mut FileSource, mut start: Option<Offset>) -> (Vec<Vec<i32>>, Option<Offset>) {
    let mut batches = Vec::new();
    loop {
        let end = source.latest_offset(start.as_ref(), ReadLimit::Configured).unwrap();
        let Some(end) = end.filter(|end| Some(end) != start.as_ref()) else {
            return (batches, start);
        };
        let rows = source.read(start.as_ref(), &end).unwrap();
        batches.push(
            rows.iter()
                .flat_map(|b| b.column(0).as_primitive::<Int32Type>().values().to_vec())
                .collect(),
        );
        start = Some(end);
    }
}

#[test]
fn files_come_by_time_or_by_name_a_few_at_a_time() {
    let dir = Directory::new();
    for (name, number, time) in [
        ("a", 1, 30),
        ("b", 2, 10),
        ("c", 3, 20),
        ("_hidden", 9, 1),
        (".dot", 9, 1),
    ] {
        dir.put(name, number, time);
    }
    let two = [("maxFilesPerTrigger", "2")];
    let mut by_time = dir.source(&two, FileOrder::ModificationTime).unwrap();
    assert_eq!(drain(&mut by_time, None).0, [vec![2, 3], vec![1]]);
    let mut by_name = dir.source(&two, FileOrder::Name).unwrap();
    assert_eq!(drain(&mut by_name, None).0, [vec![1, 2], vec![3]]);
    let mut latest = dir
        .source(&[("latestFirst", "true")], FileOrder::ModificationTime)
        .unwrap();
    assert_eq!(drain(&mut latest, None).0, [vec![1, 3, 2]]);
    let mut bytes = dir.source(&[("maxBytesPerTrigger", "17")], FileOrder::Name).unwrap();
    assert_eq!(drain(&mut bytes, None).0, [vec![1, 2], vec![3]]);
}

#[test]
fn a_restart_neither_repeats_nor_loses_a_file() {
    let (dir, log) = (Directory::new(), tempfile::tempdir().unwrap());
    dir.put("a", 1, 1);
    let mut first = dir.source(&[], FileOrder::Name).unwrap();
    first.restore(Some(log.path())).unwrap();
    let (batches, committed) = drain(&mut first, None);
    assert_eq!(batches, [vec![1]]);
    // The next step is logged by the source, but the query dies before it notes the offset.
    dir.put("b", 2, 2);
    first.latest_offset(committed.as_ref(), ReadLimit::Configured).unwrap();
    drop(first);
    dir.put("c", 3, 3);
    let mut second = dir.source(&[], FileOrder::Name).unwrap();
    second.restore(Some(log.path())).unwrap();
    assert_eq!(drain(&mut second, committed).0, [vec![2, 3]]);
    // The same offsets give the same rows again.
    assert_eq!(second.read(None, &offset_of(0)).unwrap()[0].num_rows(), 1);
}

#[test]
fn available_now_leaves_later_files_alone() {
    let dir = Directory::new();
    dir.put("a", 1, 1);
    let mut source = dir.source(&[], FileOrder::ModificationTime).unwrap();
    source.prepare_available_now().unwrap();
    dir.put("b", 2, 2);
    assert_eq!(drain(&mut source, None).0, [vec![1]]);
}

#[test]
fn a_changed_file_is_not_read_again_and_an_old_one_is_too_late() {
    let dir = Directory::new();
    dir.put("new", 1, 2000);
    let mut source = dir
        .source(&[("maxFileAge", "1s")], FileOrder::ModificationTime)
        .unwrap();
    let (batches, start) = drain(&mut source, None);
    assert_eq!(batches, [vec![1]]);
    dir.put("new", 7, 3000);
    dir.put("old", 2, 1998);
    dir.put("just", 3, 1999);
    assert_eq!(drain(&mut source, start).0, [vec![3]]);
}

#[test]
fn mistakes_are_named() {
    let dir = Directory::new();
    dir.put("a", 1, 1);
    let mut source = dir.source(&[], FileOrder::Name).unwrap();
    let end = source.latest_offset(None, ReadLimit::Configured).unwrap().unwrap();
    fs::remove_file(dir.path("a")).unwrap();
    let clean = |error: Error| error.to_string().replace(&dir.0.path().display().to_string(), "DIR");
    insta::assert_snapshot!(clean(source.read(None, &end).unwrap_err()), @"DIR/a is gone before it was read; option `ignoreMissingFiles` would go on without it");
    insta::assert_snapshot!(clean(dir.source(&[("maxFilesPerTrigger", "none")], FileOrder::Name).unwrap_err()), @"invalid value `none` for option `maxFilesPerTrigger`, it must be a positive integer");
    fs::write(dir.path("b"), "{\"n\":1}\nnonsense\n").unwrap();
    let mut strict = dir.source(&[("mode", "FAILFAST")], FileOrder::Name).unwrap();
    let end = strict.latest_offset(None, ReadLimit::Configured).unwrap().unwrap();
    insta::assert_snapshot!(clean(strict.read(None, &end).unwrap_err()), @"DIR/b: malformed records are detected in record parsing: [null] in line 2; mode PERMISSIVE would make them NULL");
    let missing = FileSource::new(
        "/no/such",
        "csv",
        &strict.schema(),
        &BTreeMap::new(),
        FileOrder::Name,
        0,
    );
    let missing = missing.unwrap_err();
    assert_eq!(missing.condition(), Some("PATH_NOT_FOUND"));
}

#[test]
fn only_committed_files_of_a_file_sink_are_read() {
    let dir = Directory::new();
    dir.put("a", 1, 1);
    dir.put("b", 2, 2);
    fs::create_dir(dir.path("_spark_metadata")).unwrap();
    let entry = format!("{{\"path\":\"file://{}\"}}", dir.path("b").display());
    fs::write(dir.path("_spark_metadata/0"), format!("v1\n{entry}")).unwrap();
    let mut source = dir.source(&[], FileOrder::Name).unwrap();
    assert_eq!(drain(&mut source, None).0, [vec![2]]);
}
