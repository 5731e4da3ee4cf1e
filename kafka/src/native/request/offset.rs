//! Places in partitions: looked up, committed, the rows before them deleted; and who leads a partition.

use rdkafka::TopicPartitionList;
use rdkafka::bindings as rd;
use rdkafka::types::RDKafkaRespErr;

use crate::admin::{Admin, Position};
use crate::error::{Error, Result};
use crate::native::{c_string, checked, slice, text};
use crate::reader::Isolation;

impl Admin {
    pub(crate) fn list_offsets(
        &self,
        places: &[&(&str, i32, Position)],
        isolation: Isolation,
    ) -> Result<Vec<(String, i32, i64)>> {
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

    pub(crate) fn ask_committed(&self, group: &str, topic: &str, partition: i32) -> Result<Option<(i64, String)>> {
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
}

/// The number Kafka knows a position by: its own for the ends, a timestamp otherwise.
pub(crate) fn key_of(position: Position) -> i64 {
    match position {
        Position::Earliest => rd::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_EARLIEST as i64,
        Position::Latest => rd::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST as i64,
        Position::AtTime(ms) => ms.max(0), // negative times would be read as one of the ends
    }
}
