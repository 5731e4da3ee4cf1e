//! Topics of Apache Kafka as a stream, with the options and the offsets of Spark's Kafka source (spark-semantics 12).
//!
//! How far the query is belongs to its checkpoint, not to a consumer group: [`offsets`] are in the offset log as Spark
//! writes them, [`journal`] keeps where the query began and the ids of its topics. Each batch is planned ([`course`],
//! [`limit`]) from what is [`there`](course::Snapshot), then read ([`read`]) into columns ([`rows`]). Nothing is ever
//! reset behind the source's back: rows that are gone are an error or, with `failOnDataLoss` off, a warning and a skip.

mod cluster;
mod course;
mod journal;
mod limit;
mod offsets;
mod options;
mod pattern;
mod read;
mod rows;
mod start;
mod topics;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use skirl_kafka::{Position, Properties, Reader, Span};

use super::{Give, Offset, Place, ReadLimit, Source};
use crate::clock::{Clock, SystemClock};
use crate::format::columns::Columns;
use crate::{Error, Result};
use cluster::Cluster;
use course::{Loss, Snapshot};
use journal::Journal;
use options::Settings;
use rows::Layout;
use start::Side;

pub use journal::initial_offsets;
pub use offsets::{Offsets, TopicPartition};
pub use rows::{header, header_fields, schema};

/// Rows from which on operators work while the source still reads.
const MANY_ROWS: i64 = 1 << 17;

/// The rows of topics as they come.
pub struct KafkaSource {
    settings: Settings,
    layout: Layout,
    journal: Journal,
    cluster: Cluster,
    reader: Option<Reader>,
    clock: Arc<dyn Clock>,
    /// When a batch was last begun under `minOffsetsPerTrigger`.
    last_batch_ms: i64,
    /// Whether only what is there when it is first looked at counts, and what that was.
    available_now: bool,
    available: Option<Snapshot>,
    /// The end that was chosen last, from what was seen to be there.
    chosen: Option<Offsets>,
    warnings: Vec<String>,
    /// What was warned of before: a topic that stays away is told once.
    told: BTreeSet<String>,
}

impl KafkaSource {
    /// A stream of topics. `properties` are those of the client, and hold for whatever `options` do not say as `kafka.*`;
    /// `options` are those of Spark's source, by Spark's names. Nobody is connected to before rows are asked for.
    ///
    /// # Errors
    /// What Spark refuses, in its words; a property nobody knows, with the nearest one that is known.
    pub fn new(properties: &Properties, options: &BTreeMap<String, String>) -> Result<KafkaSource> {
        Ok(KafkaSource::with(Settings::of_stream(properties, options)?))
    }

    fn with(settings: Settings) -> KafkaSource {
        KafkaSource {
            layout: Layout::new(settings.include_headers),
            journal: Journal::default(),
            cluster: Cluster::new(
                &settings.properties,
                settings.isolation,
                settings.attempts,
                settings.retry_wait,
            ),
            reader: None,
            clock: Arc::new(SystemClock),
            last_batch_ms: 0,
            available_now: false,
            available: None,
            chosen: None,
            warnings: Vec::new(),
            told: BTreeSet::new(),
            settings,
        }
    }

    /// Where a batch begins: after `start`, or where the query does.
    fn begin(&mut self, start: Option<&Offset>) -> Result<Offsets> {
        if let Some(start) = start {
            return Offsets::of(start);
        }
        if let Some(initial) = self.journal.initial() {
            return Ok(initial.clone());
        }
        let found = self.find_all()?;
        let (bound, clock) = (&self.settings.start, &*self.clock);
        let initial = start::resolve(bound, Side::Starting, &found.partitions, &mut self.cluster, clock)?;
        let known = found
            .ids
            .iter()
            .map(|(topic, id)| (topic.clone(), journal::Known::of(id)));
        self.journal.know(known.collect())?;
        self.journal.begin(initial.clone())?;
        Ok(initial)
    }

    /// The topics a new query reads; each that is named must be there.
    fn find_all(&mut self) -> Result<topics::Found> {
        let topics = &self.settings.topics;
        let found = self.cluster.ask(&*self.clock, |admin| {
            let found = topics.find(admin)?;
            let is_topic = |name: &&String| !topics.has_partition_named(name);
            match found.missing.iter().find(is_topic) {
                Some(topic) => Err(admin.no_such_topic(topic)),
                None => Ok(found),
            }
        })?;
        for partition in &found.missing {
            self.warn(format!(
                "partition {partition} is assigned and not there; the others are read"
            ));
        }
        Ok(found)
    }

    /// What is there now, or was when AvailableNow began, of what matters after `start`.
    fn look(&mut self, start: &Offsets) -> Result<Snapshot> {
        let mut there = match &self.available {
            Some(available) => available.clone(),
            None => self.look_at_ends(start)?,
        };
        if self.available_now {
            self.available = Some(there.clone());
        }
        let uncertain = course::uncertain(start, self.journal.topics(), &there.ids, &there.latest);
        there.earliest = self.cluster.ends(&*self.clock, &uncertain, Position::Earliest)?;
        Ok(there)
    }

    /// Ids and ends. An end before `start` may be an answer from a broker that lags behind, so it is asked for again.
    fn look_at_ends(&mut self, start: &Offsets) -> Result<Snapshot> {
        let mut attempt = 1;
        loop {
            let topics = &self.settings.topics;
            let found = self.cluster.ask(&*self.clock, |admin| topics.find(admin))?;
            let latest = self.cluster.ends(&*self.clock, &found.partitions, Position::Latest)?;
            let known = self.journal.topics();
            let went_back = |(partition, latest): (&TopicPartition, i64)| {
                let id = found.ids.get(&partition.topic).map(|id| id.0.as_str());
                let is_same = known.get(&partition.topic).map(|known| known.id.as_str()) == id;
                is_same && course::begin(partition, start, known).is_some_and(|from| latest < from)
            };
            if attempt >= self.cluster.attempts() || !latest.iter().any(went_back) {
                return Ok(Snapshot {
                    ids: found.ids.into_iter().map(|(topic, id)| (topic, id.0)).collect(),
                    latest,
                    earliest: Offsets::default(),
                });
            }
            self.cluster.wait(&*self.clock);
            attempt += 1;
        }
    }

    /// Where a batch ends.
    fn end(&mut self, start: &Offsets, course: &course::Course, there: &Snapshot, limit: ReadLimit) -> Offsets {
        if limit == ReadLimit::Unlimited {
            return there.latest.clone();
        }
        let limits = &self.settings.limits;
        if limits.min_rows.is_some() {
            let now_ms = self.clock.now_ms();
            if limits.puts_off(start, &there.latest, now_ms - self.last_batch_ms) {
                return start.clone();
            }
            self.last_batch_ms = now_ms;
        }
        limits.end(&course.from, &there.latest)
    }

    /// Ends the query over what is lost, or says what is done about it.
    fn report(&mut self, losses: &[Loss]) -> Result<()> {
        for loss in losses {
            if matches!(loss, Loss::Recreated { .. }) {
                self.reader = None; // it holds rows of the old topic
            }
            if self.settings.fail_on_data_loss {
                return Err(Error::spark(
                    loss.condition(),
                    format!(
                        "{}. With option `failOnDataLoss` as `false`, {}; or delete the checkpoint to start over",
                        loss.what(),
                        loss.instead()
                    ),
                ));
            }
            self.warn(format!("rows are lost: {}; {}", loss.what(), loss.instead()));
        }
        Ok(())
    }

    fn warn(&mut self, warning: String) {
        if self.told.insert(warning.clone()) {
            self.warnings.push(warning);
        }
    }
}

impl Source for KafkaSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.layout.schema())
    }

    fn select(&mut self, scans: &[Columns]) -> Result<()> {
        self.layout = self.layout.with(&Columns::any_of(scans));
        Ok(())
    }

    fn use_clock(&mut self, clock: Arc<dyn Clock>) {
        self.clock = clock;
    }

    fn restore(&mut self, log_dir: Option<&Path>) -> Result<()> {
        self.journal = Journal::open(log_dir)?;
        Ok(())
    }

    fn latest_offset(&mut self, start: Option<&Offset>, limit: ReadLimit) -> Result<Option<Offset>> {
        let start = self.begin(start)?;
        let there = self.look(&start)?;
        let course = course::course(&start, self.journal.topics(), &there, &self.settings.topics);
        self.report(&course.losses)?;
        let end = self.end(&start, &course, &there, limit);
        let end = course::told_apart(end, &start, &course);
        self.journal.know(course.known)?; // before the offset log depends on it
        let offset = (!end.0.is_empty()).then(|| Offset(end.to_json()));
        self.chosen = Some(end);
        Ok(offset)
    }

    fn read(&mut self, start: Option<&Offset>, end: &Offset) -> Result<Vec<RecordBatch>> {
        let mut rows: Vec<(Place, RecordBatch)> = Vec::new();
        self.pour(start, end, &mut |place, batch| {
            rows.push((place, batch));
            std::ops::ControlFlow::Continue(())
        })?;
        rows.sort_by_key(|(place, _)| *place);
        Ok(rows.into_iter().map(|(_, rows)| rows).collect())
    }

    fn has_many(&self, start: Option<&Offset>, end: &Offset) -> bool {
        let start = match start {
            Some(start) => Offsets::of(start).ok(),
            None => self.journal.initial().cloned(),
        };
        let (Some(start), Ok(end)) = (start, Offsets::of(end)) else {
            return false;
        };
        let known = self.journal.topics();
        let rows = end
            .iter()
            .map(|(partition, end)| end - course::begin(partition, &start, known).unwrap_or(0));
        rows.sum::<i64>() >= MANY_ROWS
    }

    fn pour(&mut self, start: Option<&Offset>, end: &Offset, give: &mut Give) -> Result<()> {
        let start = self.begin(start)?;
        let end = Offsets::of(end)?;
        let spans = self.spans(&start, &end)?;
        let ids = self.ids_of(&spans);
        self.read_spans(spans, give)?;
        self.check_ids(&ids)
    }

    fn prepare_available_now(&mut self) -> Result<()> {
        // Looked at with the first batch: where a new query begins has to be known before.
        (self.available_now, self.available) = (true, None);
        Ok(())
    }

    fn describe(&self) -> String {
        format!("KafkaV2[{}]", self.settings.topics.describe())
    }

    fn remarks(&self) -> Vec<String> {
        self.settings.remarks.clone()
    }

    fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}

/// The rows of topics at this moment, as a table: what `spark.read.format("kafka")` gives, partition after partition.
#[derive(Debug)]
pub struct KafkaTable {
    /// The rows.
    pub rows: RecordBatch,
    /// Remarks on options, and on rows that were gone.
    pub remarks: Vec<String>,
}

impl KafkaTable {
    /// Reads topics from `startingOffsets` (earliest) to `endingOffsets` (latest), with the options of [`KafkaSource::new`].
    ///
    /// # Errors
    /// What Spark refuses, in its words; rows that are gone, no answer.
    pub fn read(properties: &Properties, options: &BTreeMap<String, String>) -> Result<KafkaTable> {
        let (settings, bound) = Settings::of_batch(properties, options)?;
        let mut source = KafkaSource::with(settings);
        let start = source.begin(None)?;
        let partitions = start.0.keys().cloned().collect();
        let clock = Arc::clone(&source.clock);
        let end = start::resolve(&bound, Side::Ending, &partitions, &mut source.cluster, &*clock)?;
        check_order(&start, &end)?;
        let batches = source.read(None, &Offset(end.to_json()))?;
        Ok(KafkaTable {
            rows: concat_batches(&source.schema(), &batches)?,
            remarks: [source.remarks(), source.warnings()].concat(),
        })
    }
}

fn check_order(start: &Offsets, end: &Offsets) -> Result<()> {
    for (partition, start) in start.iter() {
        let end = end.get(partition).unwrap_or(start);
        if start > end {
            return Err(Error::spark(
                "RESOLVED_START_OFFSET_GREATER_THAN_END_OFFSET",
                format!(
                    "the start offset {start} is greater than the end offset {end} for topic {} partition {}: a start that lies \
                     beyond the end, or a log that was cut off",
                    partition.topic, partition.partition
                ),
            ));
        }
    }
    Ok(())
}

/// The span of a partition.
fn span(partition: &TopicPartition, start: i64, end: i64) -> Span {
    Span {
        topic: partition.topic.clone(),
        partition: partition.partition,
        start,
        end,
    }
}
