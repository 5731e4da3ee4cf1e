//! Topics, their ids and settings, and offsets by name or time.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fmt;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as rd;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::native::{Event, Handle, Queue, Role, c_string, checked, name_of, text};
use crate::properties::Properties;
use crate::reader::Isolation;

/// How long a request may take before it is given up.
const REQUEST_WAIT: Duration = Duration::from_secs(15);
/// How long one wait may block before refusals are looked for.
const SLICE: Duration = Duration::from_millis(100);
/// How long brokers are asked which of them takes requests for the controller.
const CONTROLLER_WAIT_MS: i32 = 5_000;

/// A client for topics and offsets.
pub struct Admin {
    handle: Handle,
    properties: Properties,
}

/// A topic as the cluster has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// What tells it from another topic that had the name before.
    pub id: TopicId,
    /// Its partitions, by number.
    pub partitions: Vec<Partition>,
}

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number, from 0.
    pub id: i32,
    /// The broker that leads it; none while an election is under way.
    pub leader: Option<i32>,
    /// The brokers that hold it; the first is the preferred leader.
    pub replicas: Vec<i32>,
}

/// A topic's id: another one each time a topic is made. Shown as Kafka shows it, in base64.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub String);

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A topic to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions, at least 1.
    pub partitions: i32,
    /// On how many brokers each; `None`: the cluster's default.
    pub replication: Option<i32>,
    /// Its settings, by Kafka's names (`retention.bytes`).
    pub settings: BTreeMap<String, String>,
}

/// A place in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// The first row there is.
    Earliest,
    /// After the last row a reader of the isolation level may see.
    Latest,
    /// The first row with a timestamp of so many milliseconds since 1970-01-01T00:00:00 UTC, or later.
    AtTime(i64),
}

impl Admin {
    /// Connects to a cluster.
    ///
    /// # Errors
    /// No answer, refused credentials or certificates, properties that are not taken.
    pub fn connect(properties: &Properties) -> Result<Self> {
        Ok(Admin {
            handle: Handle::connect(properties, Role::Producer)?,
            properties: properties.clone(),
        })
    }

    /// The same as a reader of `group`, which it never joins.
    ///
    /// Where a broker answers that it does not coordinate a group, librdkafka looks for the one that does on behalf of the
    /// client's own group; without one it dereferences a null pointer (rd_kafka_handle_OffsetFetch, in 2.12).
    fn of_group(&self, group: &str) -> Result<Self> {
        let mut properties = self.properties.clone();
        properties.set("group.id", group)?;
        properties.set("enable.auto.commit", "false")?;
        Ok(Admin {
            handle: Handle::connect(&properties, Role::Consumer)?,
            properties,
        })
    }

    /// The brokers first asked.
    pub fn bootstrap(&self) -> &str {
        self.handle.bootstrap()
    }

    /// The names of all topics the client may see, internal ones included.
    ///
    /// # Errors
    /// No answer.
    pub fn topic_names(&self) -> Result<BTreeSet<String>> {
        self.with_metadata(|metadata| {
            // SAFETY: librdkafka fills both fields, and the metadata outlives the closure.
            let topics = unsafe { slice(metadata.topics, metadata.topic_cnt as usize) };
            // SAFETY: as above.
            topics.iter().map(|topic| unsafe { text(topic.topic) }).collect()
        })
    }

    /// The ids of the brokers that are up.
    ///
    /// # Errors
    /// No answer.
    pub fn brokers(&self) -> Result<BTreeSet<i32>> {
        self.with_metadata(|metadata| {
            // SAFETY: librdkafka fills both fields, and the metadata outlives the closure.
            let brokers = unsafe { slice(metadata.brokers, metadata.broker_cnt as usize) };
            brokers.iter().map(|broker| broker.id).collect()
        })
    }

    fn with_metadata<T>(&self, read: impl FnOnce(&rd::rd_kafka_metadata) -> T) -> Result<T> {
        let deadline = Deadline::after(REQUEST_WAIT);
        loop {
            let mut metadata = std::ptr::null();
            // SAFETY: the client is alive; what it gives is destroyed below.
            let code = unsafe {
                let wait_ms = deadline.slice_ms(Duration::from_secs(1));
                rd::rd_kafka_metadata(self.handle.ptr(), 1, std::ptr::null_mut(), &mut metadata, wait_ms)
            };
            self.handle.serve(Duration::ZERO, |_| ());
            self.handle.refused()?;
            // SAFETY: not null after a success, and owned here.
            if let Some(found) = unsafe { metadata.as_ref() } {
                let value = read(found);
                // SAFETY: owned, and read to the end.
                unsafe { rd::rd_kafka_metadata_destroy(metadata) };
                return Ok(value);
            }
            if deadline.has_passed() {
                checked("list topics", code)?;
            }
        }
    }

    /// Some topics with their ids and partitions; `None` for one that is not there.
    ///
    /// # Errors
    /// No answer, or no right to see a topic.
    pub fn describe(&self, topics: &[&str]) -> Result<BTreeMap<String, Option<Topic>>> {
        if topics.is_empty() {
            return Ok(BTreeMap::new());
        }
        let names = topics
            .iter()
            .map(|name| c_string(name))
            .collect::<Result<Vec<CString>>>()?;
        let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
        let event = self.ask(
            "describe topics",
            rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            |rk, options, queue| {
                // SAFETY: names and options live for the call; the collection is copied by it.
                unsafe {
                    let collection = rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
                    rd::rd_kafka_DescribeTopics(rk, collection, options, queue);
                    rd::rd_kafka_TopicCollection_destroy(collection);
                }
            },
        )?;
        let mut described = BTreeMap::new();
        // SAFETY: the event is of this request and owns everything read here.
        unsafe {
            let mut count = 0;
            let result = rd::rd_kafka_event_DescribeTopics_result(event.ptr());
            let found = rd::rd_kafka_DescribeTopics_result_topics(result, &mut count);
            for topic in slice(found, count) {
                let name = text(rd::rd_kafka_TopicDescription_name(*topic));
                described.insert(name.clone(), topic_of(&name, *topic)?);
            }
        }
        Ok(described)
    }

    /// One topic that must be there.
    ///
    /// # Errors
    /// As [`Admin::describe`]; a topic that is not there, with the nearest name that is.
    pub fn topic(&self, name: &str) -> Result<Topic> {
        match self.describe(&[name])?.remove(name).flatten() {
            Some(topic) => Ok(topic),
            None => Err(self.no_such_topic(name)),
        }
    }

    /// The error for a topic that is not there.
    pub fn no_such_topic(&self, name: &str) -> Error {
        let known = self.topic_names().unwrap_or_default();
        let nearest = known
            .iter()
            .map(|known| (strsim::damerau_levenshtein(known, name), known))
            .filter(|(distance, _)| *distance <= 1 + name.len() / 4)
            .min();
        Error::NoSuchTopic {
            topic: name.to_string(),
            bootstrap: self.bootstrap().to_string(),
            near: nearest.map(|(_, known)| known.clone()),
        }
    }

    /// Makes a topic.
    ///
    /// # Errors
    /// It is there already, a setting that is not taken, no answer.
    pub fn create(&self, topic: &NewTopic) -> Result<()> {
        let doing = format!("make topic `{}`", topic.name);
        let name = c_string(&topic.name)?;
        let mut said = [0; 256];
        // SAFETY: name and buffer live for the call.
        let mut new = unsafe {
            let replication = topic.replication.unwrap_or(-1);
            rd::rd_kafka_NewTopic_new(
                name.as_ptr(),
                topic.partitions,
                replication,
                said.as_mut_ptr(),
                said.len(),
            )
        };
        if new.is_null() {
            // SAFETY: librdkafka wrote a text that ends in NUL.
            let reason = unsafe { text(said.as_ptr()) };
            return Err(Error::Property(format!("cannot {doing}: {reason}")));
        }
        for (setting, value) in &topic.settings {
            let (setting, value) = (c_string(setting)?, c_string(value)?);
            // SAFETY: the topic and both texts are alive.
            unsafe { rd::rd_kafka_NewTopic_set_config(new, setting.as_ptr(), value.as_ptr()) };
        }
        let event = self.ask(
            &doing,
            rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS,
            |rk, options, queue| {
                // SAFETY: the topic is owned here and copied by the call.
                unsafe {
                    rd::rd_kafka_CreateTopics(rk, &mut new, 1, options, queue);
                    rd::rd_kafka_NewTopic_destroy(new);
                }
            },
        )?;
        // SAFETY: the event is of this request and owns the results.
        unsafe {
            let mut count = 0;
            let result = rd::rd_kafka_event_CreateTopics_result(event.ptr());
            topic_outcomes(
                &doing,
                rd::rd_kafka_CreateTopics_result_topics(result, &mut count),
                count,
            )
        }
    }

    /// Deletes a topic and all its rows.
    ///
    /// # Errors
    /// It is not there, no answer.
    pub fn delete(&self, topic: &str) -> Result<()> {
        let doing = format!("delete topic `{topic}`");
        let name = c_string(topic)?;
        let event = self.ask(
            &doing,
            rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETETOPICS,
            |rk, options, queue| {
                // SAFETY: the name lives for the call; the request copies it.
                unsafe {
                    let mut delete = rd::rd_kafka_DeleteTopic_new(name.as_ptr());
                    rd::rd_kafka_DeleteTopics(rk, &mut delete, 1, options, queue);
                    rd::rd_kafka_DeleteTopic_destroy(delete);
                }
            },
        )?;
        // SAFETY: the event is of this request and owns the results.
        unsafe {
            let mut count = 0;
            let result = rd::rd_kafka_event_DeleteTopics_result(event.ptr());
            topic_outcomes(
                &doing,
                rd::rd_kafka_DeleteTopics_result_topics(result, &mut count),
                count,
            )
        }
    }

    /// Gives a topic more partitions: `partitions` altogether.
    ///
    /// # Errors
    /// It has as many or more, it is not there, no answer.
    pub fn grow(&self, topic: &str, partitions: usize) -> Result<()> {
        let doing = format!("give topic `{topic}` {partitions} partitions");
        let name = c_string(topic)?;
        let mut said = [0; 256];
        let event = self.ask(
            &doing,
            rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS,
            |rk, options, queue| {
                // SAFETY: name and buffer live for the call; the request copies what it needs.
                unsafe {
                    let mut more =
                        rd::rd_kafka_NewPartitions_new(name.as_ptr(), partitions, said.as_mut_ptr(), said.len());
                    rd::rd_kafka_CreatePartitions(rk, &mut more, 1, options, queue);
                    rd::rd_kafka_NewPartitions_destroy(more);
                }
            },
        )?;
        // SAFETY: the event is of this request and owns the results.
        unsafe {
            let mut count = 0;
            let result = rd::rd_kafka_event_CreatePartitions_result(event.ptr());
            topic_outcomes(
                &doing,
                rd::rd_kafka_CreatePartitions_result_topics(result, &mut count),
                count,
            )
        }
    }

    /// A topic's settings, defaults included.
    ///
    /// # Errors
    /// The topic is not there, no answer.
    pub fn settings(&self, topic: &str) -> Result<BTreeMap<String, String>> {
        self.resource_settings(rd::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC, topic)
    }

    /// A broker's settings, defaults included, sensitive ones without value.
    ///
    /// # Errors
    /// No such broker, no answer.
    pub fn broker_settings(&self, broker: i32) -> Result<BTreeMap<String, String>> {
        self.resource_settings(
            rd::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_BROKER,
            &broker.to_string(),
        )
    }

    fn resource_settings(&self, kind: rd::rd_kafka_ResourceType_t, name: &str) -> Result<BTreeMap<String, String>> {
        let doing = format!("read the settings of `{name}`");
        let resource = c_string(name)?;
        let event = self.ask(
            &doing,
            rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS,
            |rk, options, queue| {
                // SAFETY: the name lives for the call; the request copies it.
                unsafe {
                    let mut wanted = rd::rd_kafka_ConfigResource_new(kind, resource.as_ptr());
                    rd::rd_kafka_DescribeConfigs(rk, &mut wanted, 1, options, queue);
                    rd::rd_kafka_ConfigResource_destroy(wanted);
                }
            },
        )?;
        let mut settings = BTreeMap::new();
        // SAFETY: the event is of this request and owns everything read here.
        unsafe {
            let mut count = 0;
            let result = rd::rd_kafka_event_DescribeConfigs_result(event.ptr());
            let resources = rd::rd_kafka_DescribeConfigs_result_resources(result, &mut count);
            for resource in slice(resources, count) {
                let code = rd::rd_kafka_ConfigResource_error(*resource);
                if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                    let reason = text(rd::rd_kafka_ConfigResource_error_string(*resource));
                    return Err(Error::new(doing, code.into(), reason));
                }
                let mut entries = 0;
                let found = rd::rd_kafka_ConfigResource_configs(*resource, &mut entries);
                for entry in slice(found, entries) {
                    let name = text(rd::rd_kafka_ConfigEntry_name(*entry));
                    settings.insert(name, text(rd::rd_kafka_ConfigEntry_value(*entry)));
                }
            }
        }
        Ok(settings)
    }

    /// Where places are: an offset for each, in the order asked. A time after the last row has none.
    ///
    /// # Errors
    /// A partition that is not there, no answer.
    pub fn offsets(&self, places: &[(&str, i32, Position)], isolation: Isolation) -> Result<Vec<Option<i64>>> {
        let mut found = BTreeMap::new();
        // A request takes each partition once; places of one partition go to requests of their own.
        let mut left: Vec<&(&str, i32, Position)> = places.iter().collect();
        while !left.is_empty() {
            let mut seen = BTreeSet::new();
            let (now, later): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|(topic, id, _)| seen.insert((*topic, *id)));
            for (topic, id, offset) in self.settled(|| self.list_offsets(&now, isolation))? {
                let asked = now.iter().find(|(t, p, _)| *t == topic && *p == id);
                let (topic, id, position) = asked.expect("only what was asked for is answered");
                found.insert((*topic, *id, key_of(*position)), offset);
            }
            left = later;
        }
        let offset = |(topic, id, position): &(&str, i32, Position)| {
            let offset = found.get(&(*topic, *id, key_of(*position))).copied();
            offset.filter(|offset| *offset >= 0)
        };
        Ok(places.iter().map(offset).collect())
    }

    /// What `request` answers once the partitions have the leaders the client takes for theirs: after an election or a
    /// broker's restart that takes a moment.
    fn settled<T>(&self, request: impl Fn() -> Result<T>) -> Result<T> {
        let deadline = Deadline::after(REQUEST_WAIT);
        loop {
            match request() {
                Err(error) if awaits_leader(&error) && !deadline.has_passed() => {
                    self.brokers()?; // asks for the cluster's metadata, and so learns of new leaders
                    self.handle.serve(SLICE, |_| ());
                }
                answer => return answer,
            }
        }
    }

    fn list_offsets(&self, places: &[&(&str, i32, Position)], isolation: Isolation) -> Result<Vec<(String, i32, i64)>> {
        let mut list = TopicPartitionList::new();
        for (topic, id, _) in places {
            list.add_partition(topic, *id);
        }
        for (index, (_, _, position)) in places.iter().enumerate() {
            // SAFETY: the list has an element for each place, in order.
            unsafe { (*(*list.ptr()).elems.add(index)).offset = key_of(*position) };
        }
        let api = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
        let event = self.ask("look up offsets", api, |rk, options, queue| {
            // SAFETY: list and options live for the call, which copies them.
            unsafe {
                let error = rd::rd_kafka_AdminOptions_set_isolation_level(options, isolation.native());
                debug_assert!(error.is_null(), "offsets have an isolation level");
                rd::rd_kafka_ListOffsets(rk, list.ptr(), options, queue);
            }
        })?;
        let mut offsets = Vec::with_capacity(places.len());
        // SAFETY: the event is of this request and owns everything read here.
        unsafe {
            let mut count = 0;
            let result = rd::rd_kafka_event_ListOffsets_result(event.ptr());
            let infos = rd::rd_kafka_ListOffsets_result_infos(result, &mut count);
            for info in slice(infos, count) {
                let place = &*rd::rd_kafka_ListOffsetsResultInfo_topic_partition(*info);
                let topic = text(place.topic);
                checked(
                    &format!("look up offsets of `{topic}`, partition {}", place.partition),
                    place.err,
                )?;
                offsets.push((topic, place.partition, place.offset));
            }
        }
        Ok(offsets)
    }

    /// Deletes the rows of a partition before an offset.
    ///
    /// # Errors
    /// An offset beyond the end, no answer.
    pub fn truncate(&self, topic: &str, partition: i32, before: i64) -> Result<()> {
        let doing = format!("truncate `{topic}`, partition {partition}, before {before}");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, rdkafka::Offset::Offset(before))
            .map_err(|error| Error::Property(format!("cannot {doing}: {error}")))?;
        let event = self.ask(
            &doing,
            rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETERECORDS,
            |rk, options, queue| {
                // SAFETY: the list lives for the call; the request copies it.
                unsafe {
                    let mut delete = rd::rd_kafka_DeleteRecords_new(list.ptr());
                    rd::rd_kafka_DeleteRecords(rk, &mut delete, 1, options, queue);
                    rd::rd_kafka_DeleteRecords_destroy(delete);
                }
            },
        )?;
        // SAFETY: the event is of this request and owns the list.
        unsafe {
            let result = rd::rd_kafka_event_DeleteRecords_result(event.ptr());
            let list = &*rd::rd_kafka_DeleteRecords_result_offsets(result);
            let parts = slice(list.elems, list.cnt as usize);
            parts.iter().try_for_each(|part| checked(&doing, part.err))
        }
    }

    /// Gives a partition back to its preferred leader.
    ///
    /// # Errors
    /// The preferred leader is away, no answer. That it leads already is none.
    pub fn elect_preferred_leader(&self, topic: &str, partition: i32) -> Result<()> {
        let doing = format!("elect a leader of `{topic}`, partition {partition}");
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let event = self.ask(
            &doing,
            rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_ELECTLEADERS,
            |rk, options, queue| {
                let preferred = rd::rd_kafka_ElectionType_t::RD_KAFKA_ELECTION_TYPE_PREFERRED;
                // SAFETY: the list lives for the call; the request copies it.
                unsafe {
                    let elect = rd::rd_kafka_ElectLeaders_new(preferred, list.ptr());
                    rd::rd_kafka_ElectLeaders(rk, elect, options, queue);
                    rd::rd_kafka_ElectLeaders_destroy(elect);
                }
            },
        )?;
        // SAFETY: the event is of this request and owns the results.
        unsafe {
            let mut count = 0;
            let result = rd::rd_kafka_event_ElectLeaders_result(event.ptr());
            for part in slice(rd::rd_kafka_ElectLeaders_result_partitions(result, &mut count), count) {
                let error = rd::rd_kafka_topic_partition_result_error(*part);
                let code = rd::rd_kafka_error_code(error);
                if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_ELECTION_NOT_NEEDED {
                    checked(&doing, code)?;
                }
            }
        }
        Ok(())
    }

    /// The offset a group has committed for a partition, and the note kept with it; transactions that are under way are
    /// waited for.
    ///
    /// # Errors
    /// No answer.
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Result<Option<(i64, String)>> {
        let asking = self.of_group(group)?;
        let deadline = Deadline::after(REQUEST_WAIT);
        loop {
            let found = asking.ask_committed(group, topic, partition);
            let code = found.as_ref().err().and_then(Error::code);
            // Groups that were not asked for lately take the cluster a moment to find.
            let is_looking = code.is_some_and(|code| {
                use RDKafkaErrorCode::*;
                matches!(
                    code,
                    CoordinatorLoadInProgress | CoordinatorNotAvailable | NotCoordinator
                )
            });
            if !is_looking || deadline.has_passed() {
                return found;
            }
            asking.handle.serve(SLICE, |_| ());
        }
    }

    fn ask_committed(&self, group: &str, topic: &str, partition: i32) -> Result<Option<(i64, String)>> {
        let doing = format!("read the offset of group `{group}`");
        let group = c_string(group)?;
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let api = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS;
        let event = self.ask(&doing, api, |rk, options, queue| {
            // SAFETY: group, list and options live for the call; the request copies them.
            unsafe {
                let error = rd::rd_kafka_AdminOptions_set_require_stable_offsets(options, 1);
                debug_assert!(error.is_null(), "group offsets may be asked to be stable");
                let mut wanted = rd::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), list.ptr());
                rd::rd_kafka_ListConsumerGroupOffsets(rk, &mut wanted, 1, options, queue);
                rd::rd_kafka_ListConsumerGroupOffsets_destroy(wanted);
            }
        })?;
        // SAFETY: the event is of this request and owns everything read here.
        unsafe {
            let mut count = 0;
            let result = rd::rd_kafka_event_ListConsumerGroupOffsets_result(event.ptr());
            let groups = rd::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &mut count);
            let Some(group) = slice(groups, count).first() else {
                return Ok(None);
            };
            let error = rd::rd_kafka_group_result_error(*group);
            if !error.is_null() {
                let code = rd::rd_kafka_error_code(error);
                return Err(Error::new(doing, code.into(), text(rd::rd_kafka_error_string(error))));
            }
            let parts = &*rd::rd_kafka_group_result_partitions(*group);
            let Some(part) = slice(parts.elems, parts.cnt as usize).first() else {
                return Ok(None);
            };
            checked(&doing, part.err)?;
            let note = match part.metadata.is_null() {
                true => String::new(),
                false => String::from_utf8_lossy(slice(part.metadata.cast::<u8>(), part.metadata_size)).into_owned(),
            };
            Ok((part.offset >= 0).then_some((part.offset, note)))
        }
    }

    /// Learns anew which broker takes requests for the controller: librdkafka would go on asking the one it knew, and if
    /// that is down, wait for it in vain until it refreshes its metadata in some minutes.
    fn find_controller(&self) {
        let mut metadata = std::ptr::null();
        // SAFETY: the client is alive; what it gives is destroyed here. A failure shows in the request that follows.
        unsafe {
            rd::rd_kafka_metadata(
                self.handle.ptr(),
                0,
                std::ptr::null_mut(),
                &mut metadata,
                CONTROLLER_WAIT_MS,
            );
            if !metadata.is_null() {
                rd::rd_kafka_metadata_destroy(metadata);
            }
        }
    }

    /// Sends a request and waits for its answer.
    fn ask(
        &self,
        doing: &str,
        api: rd::rd_kafka_admin_op_t,
        send: impl FnOnce(*mut rd::rd_kafka_t, *mut rd::rd_kafka_AdminOptions_t, *mut rd::rd_kafka_queue_t),
    ) -> Result<Event> {
        use rd::rd_kafka_admin_op_t::*;
        let goes_to_a_leader = matches!(
            api,
            RD_KAFKA_ADMIN_OP_LISTOFFSETS
                | RD_KAFKA_ADMIN_OP_DELETERECORDS
                | RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS
        );
        if !goes_to_a_leader {
            self.find_controller();
        }
        let queue = Queue::new(&self.handle);
        // SAFETY: the client is alive; the options are copied by the request and destroyed here.
        unsafe {
            let options = rd::rd_kafka_AdminOptions_new(self.handle.ptr(), api);
            let wait_ms = i32::try_from(REQUEST_WAIT.as_millis()).unwrap_or(i32::MAX);
            rd::rd_kafka_AdminOptions_set_request_timeout(options, wait_ms, std::ptr::null_mut(), 0);
            send(self.handle.ptr(), options, queue.ptr());
            rd::rd_kafka_AdminOptions_destroy(options);
        }
        // librdkafka answers by its own timeout; the margin is for the answer to get here.
        let deadline = Deadline::after(REQUEST_WAIT + Duration::from_secs(2));
        loop {
            if let Some(event) = queue.poll(deadline.slice_ms(SLICE)) {
                let code = event.error();
                if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return Err(Error::new(doing, code.into(), event.reason()));
                }
                return Ok(event);
            }
            self.handle.serve(Duration::ZERO, |_| ());
            self.handle.refused()?;
            if deadline.has_passed() {
                let code = RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT;
                return Err(Error::new(doing, code.into(), name_of(code)));
            }
        }
    }
}

/// Whether a request went to a broker that does not lead a partition yet, or any more.
fn awaits_leader(error: &Error) -> bool {
    use RDKafkaErrorCode::*;
    matches!(
        error.code(),
        Some(FencedLeaderEpoch | UnknownLeaderEpoch | NotLeaderForPartition | LeaderNotAvailable | OffsetNotAvailable)
    )
}

/// The number Kafka knows a position by: its own for the ends, a timestamp otherwise.
fn key_of(position: Position) -> i64 {
    match position {
        Position::Earliest => rd::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_EARLIEST as i64,
        Position::Latest => rd::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST as i64,
        Position::AtTime(ms) => ms.max(0), // negative times would be read as one of the ends
    }
}

/// A topic as a description has it; `None` if it is not there.
///
/// # Safety
/// `topic` belongs to an event that is alive.
unsafe fn topic_of(name: &str, topic: *const rd::rd_kafka_TopicDescription_t) -> Result<Option<Topic>> {
    // SAFETY: the caller's promise; all that is read belongs to the description.
    unsafe {
        let error = rd::rd_kafka_TopicDescription_error(topic);
        match rd::rd_kafka_error_code(error) {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {}
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART => return Ok(None),
            code => {
                let reason = text(rd::rd_kafka_error_string(error));
                return Err(Error::new(format!("describe topic `{name}`"), code.into(), reason));
            }
        }
        let id = text(rd::rd_kafka_Uuid_base64str(rd::rd_kafka_TopicDescription_topic_id(
            topic,
        )));
        let mut count = 0;
        let found = rd::rd_kafka_TopicDescription_partitions(topic, &mut count);
        let mut partitions: Vec<Partition> = slice(found, count).iter().map(|part| partition_of(*part)).collect();
        partitions.sort_by_key(|partition| partition.id);
        Ok(Some(Topic {
            id: TopicId(id),
            partitions,
        }))
    }
}

/// # Safety
/// `part` belongs to a description that is alive.
unsafe fn partition_of(part: *const rd::rd_kafka_TopicPartitionInfo_t) -> Partition {
    // SAFETY: the caller's promise.
    unsafe {
        let leader = rd::rd_kafka_TopicPartitionInfo_leader(part);
        let mut count = 0;
        let replicas = rd::rd_kafka_TopicPartitionInfo_replicas(part, &mut count);
        Partition {
            id: rd::rd_kafka_TopicPartitionInfo_partition(part),
            leader: (!leader.is_null())
                .then(|| rd::rd_kafka_Node_id(leader))
                .filter(|id| *id >= 0),
            replicas: slice(replicas, count)
                .iter()
                .map(|node| rd::rd_kafka_Node_id(*node))
                .collect(),
        }
    }
}

/// # Safety
/// `results` belong to an event that is alive, `count` of them.
unsafe fn topic_outcomes(doing: &str, results: *mut *const rd::rd_kafka_topic_result_t, count: usize) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe {
        for result in slice(results, count) {
            let code = rd::rd_kafka_topic_result_error(*result);
            if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                let said = text(rd::rd_kafka_topic_result_error_string(*result));
                let reason = if said.is_empty() { name_of(code) } else { said };
                return Err(Error::new(doing, code.into(), reason));
            }
        }
    }
    Ok(())
}

/// A C array as a slice; empty for null.
///
/// # Safety
/// `array` is null or holds `count` values that live as long as the slice is used.
pub(crate) unsafe fn slice<'a, T>(array: *const T, count: usize) -> &'a [T] {
    if array.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(array, count) }
}
