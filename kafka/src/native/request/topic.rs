//! Topics: described, made, deleted, given more partitions, and their settings.

use std::collections::BTreeMap;
use std::ffi::CString;

use rdkafka::bindings as rd;
use rdkafka::types::RDKafkaRespErr;

use crate::admin::{Admin, NewTopic, Partition, Topic, TopicId};
use crate::error::{Error, Result};
use crate::native::{c_string, name_of, slice, text};

impl Admin {
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
