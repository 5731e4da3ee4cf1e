//! What real Spark's Kafka source answered, case by case (`spark_source.py` asked): Skirl's source answers the same.
//!
//! Rows, batches and offset logs are compared, and whether there is an error; where Skirl refuses an option in Spark's
//! words, the words too. The few cases in which Skirl means to do something else are in [`OTHERWISE`], each with its reason.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use libtest_mimic::Failed;
use serde_json::{Value, json};
use skirl_engine::Trigger;
use skirl_kafka::{Mark, Row, Transactions};

use crate::needs::{Outcome, Test, shared, soon, tests, unique};
use crate::query::Query;
use crate::topic::Topic;

pub const TESTS: &[Test] = tests! {
    Broker: the_source_reads_what_spark_s_reads;
};

/// Cases that end otherwise than in Spark, and how. Of a topic that is made again Spark knows nothing: it goes on at the
/// offset it had in the old one, or at the end of the new one, past rows that nobody has read.
const OTHERWISE: &[(&str, &str)] = &[
    (
        "recreated_with_more",
        r#"{"error": "topic `{a}` was deleted and made again"}"#,
    ),
    (
        "recreated_with_fewer_lenient",
        r#"{"batches": [[["{a}", 0, 0, null, "x", 0, 1733220000000]]], "logged": [{"{a}": {"0": 1}}]}"#,
    ),
];

/// Refusals that say the same in other words, or more.
const IN_OTHER_WORDS: &[&str] = &[
    "refused_kafka.isolation.level",
    "refused_failOnDataLoss",
    "refused_kafka.auto.offset.reset",
    "refused_kafka.key.deserializer",
    "refused_kafka.value.deserializer",
];

fn the_source_reads_what_spark_s_reads() -> Outcome {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/kafka");
    let read = |name: &str| -> Result<Value, Failed> {
        Ok(serde_json::from_str(&std::fs::read_to_string(fixtures.join(name))?)?)
    };
    let (cases, expected) = (read("cases.json")?, read("expected.json")?);
    let cases = cases["cases"].as_array().expect("a list of cases");
    // Each waits for the broker more than it computes.
    let (next, differences) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let difference = difference(case, &expected["cases"]).unwrap_or_else(|error| Some(format!("{error:?}")));
            differences.lock().expect("no case panics").extend(difference);
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
    let differences = differences.into_inner().expect("no case panics");
    match differences.len() {
        0 => Ok(()),
        count => Err(format!("{count} cases differ\n{}", differences.join("\n")).into()),
    }
}

/// How Skirl's answers to a case differ from Spark's, or from those it means to give instead.
fn difference(case: &Value, expected: &Value) -> Result<Option<String>, Failed> {
    let name = case["name"].as_str().expect("a name");
    let spark = expected[name]
        .as_array()
        .ok_or(format!("Spark was not asked for `{name}`"))?;
    let mut wanted = spark.clone();
    if let Some((_, last)) = OTHERWISE.iter().find(|(otherwise, _)| *otherwise == name) {
        let spark_s = wanted.pop();
        wanted.push(serde_json::from_str(last)?);
        assert_ne!(spark_s.as_ref(), wanted.last(), "{name} does not differ from Spark");
    }
    let mut case = Case::new(case)?;
    let found = case.answer()?;
    let is_same = wanted.len() == found.len() && wanted.iter().zip(&found).all(|(w, f)| agrees(name, w, f));
    Ok((!is_same).then(|| {
        format!(
            "{name}\n  wanted {}\n  found  {}\n  told   {:?}",
            Value::from(wanted),
            Value::from(found),
            case.told
        )
    }))
}

fn agrees(case: &str, wanted: &Value, found: &Value) -> bool {
    let (Some(wants), Some(says)) = (wanted["error"].as_str(), found["error"].as_str()) else {
        return wanted == found;
    };
    match wants.split_once(": ") {
        Some(("IllegalArgumentException", sentence)) => {
            IN_OTHER_WORDS.contains(&case) || says.contains(sentence.trim_end_matches('.'))
        }
        Some((_class, _)) => true,
        None => says.contains(wants),
    }
}

/// A case with its topics made.
struct Case<'a> {
    case: &'a Value,
    prefix: String,
    topics: BTreeMap<String, Topic>,
    query: Query,
    /// What was remarked on while it was read.
    told: Vec<String>,
}

impl<'a> Case<'a> {
    fn new(case: &'a Value) -> Result<Case<'a>, Failed> {
        let prefix = format!("{}-", unique(case["name"].as_str().expect("a name")));
        let mut topics = BTreeMap::new();
        for (label, topic) in case["topics"].as_object().expect("topics by label") {
            let made = Topic::at(&shared()?, &format!("{prefix}{label}"))?;
            make(&made, topic)?;
            fill(&made, topic)?;
            topics.insert(label.clone(), made);
        }
        let first = topics.values().next().ok_or("a case has topics")?;
        let query = Query::of(&first.properties)?;
        Ok(Case {
            case,
            prefix,
            topics,
            query,
            told: Vec::new(),
        })
    }

    /// An answer for each `run` and `table`.
    fn answer(&mut self) -> Result<Vec<Value>, Failed> {
        let mut answers = Vec::new();
        for action in self.case["actions"].as_array().expect("a list of actions") {
            let (kind, argument) = action
                .as_object()
                .and_then(|action| action.iter().next())
                .expect("one action");
            let answer = match kind.as_str() {
                "run" => {
                    self.set_options(argument);
                    run(&self.query)
                }
                "table" => {
                    self.set_options(argument);
                    self.query
                        .table()
                        .map(|table| {
                            self.told.extend(table.remarks);
                            json!({ "rows": rows(&[table.rows]) })
                        })
                        .map_err(|e| e.to_string())
                }
                _ => {
                    self.act(kind, argument)?;
                    continue;
                }
            };
            let answer = answer.unwrap_or_else(|message| json!({ "error": message }));
            answers.push(self.without_names(&answer)?);
        }
        Ok(answers)
    }

    fn set_options(&mut self, options: &Value) {
        let options = options.as_object().expect("options by name").iter();
        let options = options.map(|(name, value)| (name.clone(), self.with_names(value.as_str().expect("text"))));
        self.query.options = options.collect();
        let includes_headers = self.query.options.contains_key("includeHeaders");
        self.query.sql = format!(
            "SELECT topic, partition, offset, CAST(key AS STRING) AS k, CAST(value AS STRING) AS v, timestampType, timestamp{} \
             FROM t",
            if includes_headers { ", headers" } else { "" }
        );
    }

    fn act(&mut self, kind: &str, argument: &Value) -> Outcome {
        for (label, what) in argument.as_object().expect("topics by label") {
            let topic = &self.topics[label];
            match kind {
                "put" => put(topic, what)?,
                "grow" => {
                    let partitions = what.as_u64().expect("a number") as usize;
                    topic.admin.grow(&topic.name, partitions)?;
                    let has_grown = || {
                        topic
                            .admin
                            .topic(&topic.name)
                            .is_ok_and(|t| t.partitions.len() == partitions)
                    };
                    soon("the topic does not grow", || has_grown().then_some(()))?;
                }
                "truncate" => {
                    for (partition, before) in what.as_object().expect("offsets by partition") {
                        let before = before.as_i64().expect("an offset");
                        topic.admin.truncate(&topic.name, partition.parse()?, before)?;
                    }
                }
                "delete" => topic.delete()?,
                "create" => {
                    soon("the topic cannot be made again", || make(topic, what).ok())?;
                    fill(topic, what)?;
                }
                other => return Err(format!("no action is called `{other}`").into()),
            }
        }
        Ok(())
    }

    fn with_names(&self, text: &str) -> String {
        let with =
            |text: String, label: &String| text.replace(&format!("{{{label}}}"), &format!("{}{label}", self.prefix));
        self.topics.keys().fold(text.to_string(), with)
    }

    fn without_names(&self, answer: &Value) -> Result<Value, Failed> {
        // The longest first: a name may be the beginning of another.
        let mut labels: Vec<&String> = self.case["topics"].as_object().expect("topics").keys().collect();
        labels.sort_by_key(|label| std::cmp::Reverse(label.len()));
        let without =
            |text: String, label: &&String| text.replace(&format!("{}{label}", self.prefix), &format!("{{{label}}}"));
        let text = labels.iter().fold(answer.to_string(), without);
        Ok(serde_json::from_str(&text)?)
    }
}

/// Makes a topic as a case describes it.
fn make(topic: &Topic, described: &Value) -> Outcome {
    let none = serde_json::Map::new();
    let settings = described["settings"].as_object().unwrap_or(&none);
    let settings: Vec<(&str, &str)> = settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().expect("text")))
        .collect();
    let partitions = described["partitions"].as_i64().expect("a number of partitions");
    topic.make(i32::try_from(partitions)?, &settings)
}

/// Writes the rows it begins with.
fn fill(topic: &Topic, described: &Value) -> Outcome {
    put(topic, &described["rows"])?;
    for transaction in described["transactions"].as_array().into_iter().flatten() {
        write(topic, &transaction[1], transaction[0] == "commit")?;
    }
    Ok(())
}

fn put(topic: &Topic, rows: &Value) -> Outcome {
    let rows = rows.as_array().map_or(&[][..], Vec::as_slice);
    let headers: Vec<Headers> = rows.iter().map(headers_of).collect();
    let rows: Vec<Row> = rows
        .iter()
        .zip(&headers)
        .map(|(row, headers)| row_of(row, headers))
        .collect();
    topic.send(&rows)
}

/// Writes rows in a transaction, and commits it or gives it up.
fn write(topic: &Topic, rows: &Value, commits: bool) -> Outcome {
    let mut transactions = Transactions::connect(&topic.properties, &topic.name)?;
    let handle = transactions.topic(&topic.name)?;
    let before = topic.end(0)?;
    transactions.begin()?;
    let rows: Vec<Row> = rows
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row_of(row, &[]))
        .collect();
    transactions.write(&handle, &rows)?;
    if commits {
        let mark = Mark {
            group: topic.name.clone(),
            topic: topic.name.clone(),
            partition: 0,
        };
        transactions.commit(&mark, 0)?;
    } else {
        let is_sent = || topic.end(0).ok().filter(|end| *end >= before + rows.len() as i64);
        soon("rows are not sent", is_sent)?;
        transactions.abort()?;
    }
    Ok(())
}

/// Headers of a row, in their order.
type Headers<'a> = Vec<(&'a str, Option<&'a [u8]>)>;

fn headers_of(row: &Value) -> Headers<'_> {
    let headers = row[4].as_array().into_iter().flatten();
    headers
        .map(|header| {
            (
                header[0].as_str().expect("a name"),
                header[1].as_str().map(str::as_bytes),
            )
        })
        .collect()
}

fn row_of<'a>(row: &'a Value, headers: &'a [(&'a str, Option<&'a [u8]>)]) -> Row<'a> {
    Row {
        partition: row[0].as_i64().and_then(|partition| i32::try_from(partition).ok()),
        key: row[1].as_str().map(str::as_bytes),
        value: row[2].as_str().map(str::as_bytes),
        timestamp_ms: row[3].as_i64(),
        headers,
        tag: 0,
    }
}

/// The batches of a run and where each ended.
fn run(query: &Query) -> Result<Value, String> {
    let mut started = query
        .start()
        .map_err(|error| error.message().unwrap_or_default().to_string())?;
    let ran = started.query.run(Trigger::AvailableNow, |_| ());
    let batches = started.emitted();
    ran.map_err(|error| skirl_engine::error::in_full(&error))?;
    let logged = query
        .logged()
        .map_err(|_| "the offset log cannot be read".to_string())?;
    let logged = logged[logged.len() - batches.len()..].iter();
    let logged: Vec<Value> = logged
        .map(|end| serde_json::from_str(end).unwrap_or_default())
        .collect();
    let batches: Vec<Value> = batches.iter().map(|batch| rows(std::slice::from_ref(batch))).collect();
    Ok(json!({ "batches": batches, "logged": logged }))
}

/// Rows as lists, in the order of topics, partitions and offsets.
fn rows(batches: &[RecordBatch]) -> Value {
    let mut rows: Vec<Vec<Value>> = batches
        .iter()
        .flat_map(|batch| (0..batch.num_rows()).map(move |row| row_values(batch, row)))
        .collect();
    rows.sort_by_key(|row| (row[0].to_string(), row[1].as_i64(), row[2].as_i64()));
    Value::from(rows.into_iter().map(Value::from).collect::<Vec<_>>())
}

fn row_values(batch: &RecordBatch, row: usize) -> Vec<Value> {
    let column = |names: [&str; 2]| {
        names
            .iter()
            .find_map(|name| batch.column_by_name(name))
            .expect("Kafka's columns")
    };
    let bytes = |array: &dyn Array| -> Value {
        if array.is_null(row) {
            return Value::Null;
        }
        match array.as_string_opt::<i32>() {
            Some(texts) => texts.value(row).into(),
            None => String::from_utf8_lossy(array.as_binary::<i32>().value(row)).into(),
        }
    };
    let kind = column(["timestampType"; 2]).as_primitive::<Int32Type>().value(row);
    let mut values = vec![
        bytes(column(["topic"; 2])),
        column(["partition"; 2]).as_primitive::<Int32Type>().value(row).into(),
        column(["offset"; 2]).as_primitive::<Int64Type>().value(row).into(),
        bytes(column(["k", "key"])),
        bytes(column(["v", "value"])),
        kind.into(),
    ];
    if kind == 0 {
        let time_us = column(["timestamp"; 2])
            .as_primitive::<TimestampMicrosecondType>()
            .value(row);
        values.push((time_us / 1_000).into());
    }
    if let Some(headers) = batch.column_by_name("headers") {
        values.push(header_values(headers.as_list(), row));
    }
    values
}

fn header_values(headers: &arrow::array::ListArray, row: usize) -> Value {
    if headers.is_null(row) {
        return Value::Null;
    }
    let pairs = headers.value(row);
    let pairs = pairs.as_struct();
    let (names, values) = (pairs.column(0).as_string::<i32>(), pairs.column(1).as_binary::<i32>());
    let pair = |(name, value): (Option<&str>, Option<&[u8]>)| json!([name, value.map(String::from_utf8_lossy)]);
    names.iter().zip(values).map(pair).collect()
}
