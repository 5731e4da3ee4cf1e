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

#[test]
fn what_spark_would_pass_over_or_misread_is_refused() {
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\0";
    let utf16 = b"\xff\xfe{\0}\0";
    let row = b"{\"n\":1}\n";
    let cases: [(&[(&str, &[u8])], &str, (&str, &str)); 7] = [
        (&[("d=1/a", row), ("b", row)], "", ("", "")),
        (&[("x/d=1/a", row)], "*", ("", "")),
        (&[("a.json", gzip)], "", ("", "")),
        (&[("a.json", utf16)], "", ("", "")),
        (&[("d=__HIVE_DEFAULT_PARTITION__/a", row)], "", ("", "")),
        (&[("a", row)], "", ("timeZone", "Europe/Lisbon")),
        (&[("a", row)], "", ("ignoreCorruptFiles", "true")),
    ];
    let told = cases.map(|(files, path, (option, value))| {
        let dir = Directory::new();
        for (name, content) in files {
            fs::create_dir_all(dir.path(name).parent().unwrap()).unwrap();
            fs::write(dir.path(name), content).unwrap();
        }
        let options = BTreeMap::from([(option.to_string(), value.to_string())]);
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, true)]));
        let path = dir.path(path);
        let path = path.to_str().unwrap().trim_end_matches('/');
        let read = || {
            let mut source = FileSource::new(path, "json", &schema, &options, FileOrder::Name, 0)?;
            let end = source.latest_offset(None, ReadLimit::Configured)?.unwrap();
            source.read(None, &end)
        };
        let message = read().unwrap_err().to_string();
        message.replace(&dir.0.path().display().to_string(), "DIR")
    });
    insta::assert_snapshot!(told.join("\n"), @r"
    DIR/b lies beside partition directories, where Spark passes over it without a word; move it, or set `recursiveFileLookup` to read all files without the directories' columns
    there are partition directories below what DIR/* stands for, whose columns Spark does not find then; point at the directory above them
    DIR/a.json seems to be compressed with gzip, but its name does not say so and Spark would read it as text; unpack it, or let its name end in .gz, .bz2 or .zst if it is that
    DIR/a.json: the file begins with the byte order mark of another encoding than UTF-8; set `encoding` to UTF-16 or UTF-32, and `multiLine` to true
    every value of the partition directories `d=...` is NULL, so that its column has no type; give it one in the schema
    option `timeZone` is `Europe/Lisbon`, which means something to Spark that Skirl does not do yet; remove it
    option `ignoreCorruptFiles` is `true`, which means something to Spark that Skirl does not do yet; remove it
    ");
}

#[test]
fn a_partition_directory_that_comes_later_needs_its_column() {
    for (ddl, wanted) in [("n INT", None), ("p INT, n INT", Some(7))] {
        let dir = Directory::new();
        let schema = Arc::new(crate::sql::parse_schema_ddl(ddl).unwrap());
        let path = dir.0.path().to_str().unwrap();
        let mut source = FileSource::new(path, "json", &schema, &BTreeMap::new(), FileOrder::Name, 0).unwrap();
        fs::create_dir(dir.path("p=7")).unwrap();
        dir.put("p=7/a", 1, 1);
        let end = source.latest_offset(None, ReadLimit::Configured).unwrap().unwrap();
        match (source.read(None, &end), wanted) {
            (Ok(rows), Some(wanted)) => {
                assert_eq!(rows[0].column(0).as_primitive::<Int32Type>().value(0), wanted);
            }
            (Err(error), None) => {
                insta::assert_snapshot!(error, @"a directory `p=7` gives a column `p`, which the stream does not have: there was no such directory when it started; start it anew")
            }
            (got, _) => panic!("{ddl}: {got:?}"),
        }
    }
}

#[test]
fn a_link_that_leads_back_is_no_endless_directory() {
    let dir = Directory::new();
    dir.put("a", 1, 1);
    std::os::unix::fs::symlink(dir.0.path(), dir.path("back")).unwrap();
    let error = dir.source(&[], FileOrder::Name).unwrap_err().to_string();
    assert!(error.contains("does a link lead back?"), "{error}");
}
