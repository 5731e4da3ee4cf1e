//! Topics a run writes to: made by it, or there before and allowed by whoever started it.
//!
//! A run never adds rows to a topic that happens to have the name it was given, and never deletes one it has not made.

use std::time::Duration;

use crate::admin::{Admin, NewTopic, Topic};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::properties::Properties;
use rdkafka::types::RDKafkaErrorCode;

/// How long a new topic may take to have leaders.
const LEADERS_WAIT: Duration = Duration::from_secs(15);

/// Opens topics for writing and remembers which of them it made.
pub struct Topics {
    admin: Admin,
    made: Vec<String>,
}

/// What becomes of a name that a topic has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is refused.
    Refuse,
    /// Rows are added to it.
    Allow,
}

impl Topics {
    /// Connects to a cluster.
    ///
    /// # Errors
    /// As [`Admin::connect`].
    pub fn connect(properties: &Properties) -> Result<Self> {
        Ok(Topics {
            admin: Admin::connect(properties)?,
            made: Vec::new(),
        })
    }

    /// Makes a topic, or takes the one that is there; either way it has leaders afterwards. `partitions` says how many
    /// it must have: a topic that is made gets so many, or the number in `new`.
    ///
    /// # Errors
    /// It is there and [`Existing::Refuse`]d, or has another number of partitions than `partitions`; a setting that is
    /// not taken, no answer.
    pub fn open(&mut self, new: &NewTopic, partitions: Option<i32>, existing: Existing) -> Result<Topic> {
        let found = self.admin.describe(&[&new.name])?.remove(&new.name).flatten();
        let Some(topic) = found else {
            return self.make(new, partitions);
        };
        if existing == Existing::Refuse {
            return Err(self.exists(&new.name));
        }
        match partitions.and_then(|wanted| usize::try_from(wanted).ok()) {
            Some(wanted) if wanted != topic.partitions.len() => Err(Error::Property(format!(
                "topic `{}` is there and has {} partitions, not {wanted}; leave the number out, or take another topic",
                new.name,
                topic.partitions.len()
            ))),
            _ => Ok(topic),
        }
    }

    fn make(&mut self, new: &NewTopic, partitions: Option<i32>) -> Result<Topic> {
        let new = NewTopic {
            partitions: partitions.unwrap_or(new.partitions),
            ..new.clone()
        };
        match self.admin.create(&new) {
            Err(error) if error.code() == Some(RDKafkaErrorCode::TopicAlreadyExists) => {
                return Err(self.exists(&new.name));
            }
            made => made?,
        }
        self.made.push(new.name.clone());
        self.wait_for_leaders(&new)
    }

    fn exists(&self, topic: &str) -> Error {
        Error::TopicExists {
            topic: topic.to_string(),
            bootstrap: self.admin.bootstrap().to_string(),
        }
    }

    fn wait_for_leaders(&self, new: &NewTopic) -> Result<Topic> {
        let deadline = Deadline::after(LEADERS_WAIT);
        loop {
            let topic = self.admin.describe(&[&new.name])?.remove(&new.name).flatten();
            let led = topic.filter(|topic| {
                let wanted = usize::try_from(new.partitions).unwrap_or(1);
                topic.partitions.len() >= wanted && topic.partitions.iter().all(|part| part.leader.is_some())
            });
            match led {
                Some(topic) => return Ok(topic),
                None if deadline.has_passed() => {
                    return Err(Error::Property(format!(
                        "topic `{}` was made but has no leaders after {} s; are all brokers up?",
                        new.name,
                        LEADERS_WAIT.as_secs()
                    )));
                }
                None => {} // the next description takes its time
            }
        }
    }

    /// Checks that a topic keeps rows whose timestamps lie between `earliest_ms` and `latest_ms` (milliseconds since
    /// 1970, as `now_ms`): a broker rejects rows from the future and accepts old ones only to delete them.
    ///
    /// # Errors
    /// The setting that stands against it, with its value and what to do.
    pub fn check_timestamps(&self, topic: &str, earliest_ms: i64, latest_ms: i64, now_ms: i64) -> Result<()> {
        let settings = self.admin.settings(topic)?;
        let setting = |name: &str| settings.get(name).map_or("", String::as_str);
        let refuse = |name: &'static str, why: String| {
            Err(Error::Timestamps {
                topic: topic.to_string(),
                setting: name,
                value: setting(name).to_string(),
                why,
            })
        };
        if setting("message.timestamp.type") == "LogAppendTime" {
            let why = "the broker would put its own time in their place".to_string();
            return refuse("message.timestamp.type", why);
        }
        let (age_ms, lead_ms) = (now_ms.saturating_sub(earliest_ms), latest_ms.saturating_sub(now_ms));
        let limit = |name: &str| setting(name).parse().unwrap_or(-1);
        let deletes = setting("cleanup.policy").contains("delete");
        if deletes && (0..age_ms).contains(&limit("retention.ms")) {
            let why = format!(
                "rows that are {} old would be acknowledged and then deleted",
                span(age_ms)
            );
            return refuse("retention.ms", why);
        }
        if (0..age_ms).contains(&limit("message.timestamp.before.max.ms")) {
            let why = format!("rows that are {} old would be rejected", span(age_ms));
            return refuse("message.timestamp.before.max.ms", why);
        }
        if (0..lead_ms).contains(&limit("message.timestamp.after.max.ms")) {
            let why = format!("rows that are {} ahead of the clock would be rejected", span(lead_ms));
            return refuse("message.timestamp.after.max.ms", why);
        }
        Ok(())
    }

    /// The topics that were made.
    pub fn made(&self) -> &[String] {
        &self.made
    }

    /// Deletes the topics that were made, and no others.
    ///
    /// # Errors
    /// No answer; the topics before the one it concerns are gone.
    pub fn delete_made(&mut self) -> Result<()> {
        while let Some(topic) = self.made.last() {
            self.admin.delete(topic)?;
            self.made.pop();
        }
        Ok(())
    }

    /// The client it asks with.
    pub fn admin(&self) -> &Admin {
        &self.admin
    }
}

/// A length of time as one says it, in its largest unit.
fn span(ms: i64) -> String {
    const UNITS: [(i64, &str); 4] = [
        (86_400_000, "days"),
        (3_600_000, "hours"),
        (60_000, "minutes"),
        (1_000, "seconds"),
    ];
    let (size, unit) = UNITS.into_iter().find(|(size, _)| ms >= 2 * size).unwrap_or((1, "ms"));
    format!("{} {unit}", ms / size)
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn a_span_is_said_in_its_largest_unit() {
        for (ms, said) in [
            (5, "5 ms"),
            (7_199_999, "119 minutes"),
            (7_200_000, "2 hours"),
            (40 * 86_400_000, "40 days"),
        ] {
            assert_eq!(span(ms), said);
        }
    }
}
