//! Topics: their partitions and the settings that the embedded cluster obeys.

use std::collections::BTreeMap;
use std::sync::Arc;

use streams_core::client::{ClientError, ClientErrorKind, NewTopic, TopicPartition};
use uuid::Uuid;

use super::partition::Partition;

/// The broker's default of `max.message.bytes`.
const RECORD_BYTES_MAX: usize = 1_048_588;
const NAME_CHARS_MAX: usize = 249;

/// A topic as it was at some time: when it grows, another value takes its place, with the same id
/// and the same partitions in front.
pub(super) struct Topic {
    pub(super) id: Uuid,
    pub(super) partitions: Vec<Arc<Partition>>,
    pub(super) settings: TopicSettings,
    pub(super) configs: BTreeMap<String, String>,
}

/// The topic's configuration, as far as it means something here.
#[derive(Clone, Copy, Debug)]
pub(super) struct TopicSettings {
    /// `max.message.bytes`.
    pub(super) record_bytes_max: usize,
    /// `cleanup.policy` has `compact`: records need keys.
    pub(super) compacted: bool,
    /// `cleanup.policy` has `delete`: records may be deleted.
    pub(super) deletes: bool,
    /// `message.timestamp.type` is `LogAppendTime`.
    pub(super) append_time: bool,
}

impl Topic {
    /// Checks what a broker checks, but not whether the topic exists.
    pub(super) fn new(wanted: &NewTopic, id: Uuid) -> Result<Self, ClientError> {
        check_name(&wanted.name)?;
        if wanted.partitions < 1 {
            return Err(invalid(format!(
                "topic {} needs at least one partition, not {}",
                wanted.name, wanted.partitions
            )));
        }
        if wanted.replication_factor == 0 || wanted.replication_factor < -1 {
            return Err(invalid(format!(
                "topic {} needs a replication factor of at least 1, or -1 for the default",
                wanted.name
            )));
        }
        let settings = TopicSettings::parse(&wanted.name, &wanted.configs)?;
        let partitions = (0..wanted.partitions).map(|p| partition(&wanted.name, p)).collect();
        Ok(Self { id, partitions, settings, configs: wanted.configs.clone() })
    }

    /// The same topic with more partitions.
    pub(super) fn grown(&self, name: &Arc<str>, partitions: i32) -> Result<Self, ClientError> {
        let old = self.partition_count();
        if partitions <= old {
            return Err(invalid(format!(
                "topic {name} has {old} partitions already; their number can only grow"
            )));
        }
        let mut all = self.partitions.clone();
        all.extend((old..partitions).map(|p| partition(name, p)));
        Ok(Self {
            id: self.id,
            partitions: all,
            settings: self.settings,
            configs: self.configs.clone(),
        })
    }

    pub(super) fn partition_count(&self) -> i32 {
        i32::try_from(self.partitions.len()).unwrap_or(i32::MAX)
    }

    pub(super) fn partition(&self, partition: i32) -> Option<&Arc<Partition>> {
        self.partitions.get(usize::try_from(partition).ok()?)
    }
}

impl TopicSettings {
    fn parse(topic: &str, configs: &BTreeMap<String, String>) -> Result<Self, ClientError> {
        let text = |name: &str| configs.get(name).map(|value| value.trim());
        let record_bytes_max = match text("max.message.bytes") {
            None => RECORD_BYTES_MAX,
            Some(value) => value.parse().map_err(|_| {
                invalid(format!("max.message.bytes of topic {topic} is no number: {value}"))
            })?,
        };
        let policy = text("cleanup.policy").unwrap_or("delete");
        let mut settings =
            Self { record_bytes_max, compacted: false, deletes: false, append_time: false };
        for part in policy.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part {
                "compact" => settings.compacted = true,
                "delete" => settings.deletes = true,
                _ => {
                    return Err(invalid(format!(
                        "cleanup.policy of topic {topic} may have compact and delete, not {part}"
                    )));
                }
            }
        }
        settings.append_time = match text("message.timestamp.type") {
            None | Some("CreateTime") => false,
            Some("LogAppendTime") => true,
            Some(other) => {
                return Err(invalid(format!(
                    "message.timestamp.type of topic {topic} is CreateTime or LogAppendTime, \
                     not {other}"
                )));
            }
        };
        Ok(settings)
    }
}

fn partition(topic: &Arc<str>, index: i32) -> Arc<Partition> {
    Arc::new(Partition::new(TopicPartition::new(topic.clone(), index)))
}

fn check_name(name: &str) -> Result<(), ClientError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name == "." || name == ".." || name.len() > NAME_CHARS_MAX {
        return Err(invalid(format!(
            "a topic's name has 1 to {NAME_CHARS_MAX} characters and is not . or .., unlike {name:?}"
        )));
    }
    if !name.chars().all(legal) {
        return Err(invalid(format!(
            "a topic's name has only letters, digits, dots, dashes and underscores, unlike {name:?}"
        )));
    }
    Ok(())
}

/// The request or the configuration is wrong.
pub(super) fn invalid(message: impl Into<String>) -> ClientError {
    ClientError::new(ClientErrorKind::Invalid, message)
}
