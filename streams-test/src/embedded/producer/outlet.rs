//! A topic as a producer sees it: which partition takes a record, and what the topic refuses.

use std::sync::Arc;

use streams_core::client::{
    ANY_PARTITION, ClientError, ClientErrorKind, ProducerRecord, TopicPartition,
};

use super::Refused;
use crate::embedded::cluster::{Cluster, unknown_topic};
use crate::embedded::partition::unknown;
use crate::embedded::topic::{Topic, invalid};

/// After that many bytes the partition of records without one changes, as with the JVM's batches.
const STICKY_BYTES: usize = 16 * 1024;

/// What a producer knows of a topic that it writes.
pub(super) struct Outlet {
    pub(super) name: Arc<str>,
    topic: Option<Arc<Topic>>,
    /// Per partition the number of the last transaction that it was added to.
    added: Vec<u64>,
    sticky_partition: usize,
    sticky_bytes: usize,
}

impl Outlet {
    pub(super) fn new(name: Arc<str>, cluster: &Cluster) -> Self {
        let mut outlet =
            Self { name, topic: None, added: Vec::new(), sticky_partition: 0, sticky_bytes: 0 };
        outlet.look_up(cluster);
        outlet
    }

    pub(super) fn partition_count(&self) -> Result<i32, ClientError> {
        let topic = self.topic.as_ref().ok_or_else(|| unknown_topic(&self.name))?;
        Ok(topic.partition_count())
    }

    /// Forgets what is known of a topic that went, and learns of its partitions.
    pub(super) fn look_up(&mut self, cluster: &Cluster) {
        let found = cluster.topic(&self.name);
        let same = matches!((&self.topic, &found), (Some(old), Some(new)) if old.id == new.id);
        if !same {
            self.added.clear();
        }
        self.added.resize(found.as_ref().map_or(0, |topic| topic.partitions.len()), 0);
        self.topic = found;
    }

    /// The topic, the index of the partition that takes the record, and the number of the last
    /// transaction that this partition was added to.
    pub(super) fn choose(
        &mut self,
        record: &ProducerRecord<'_>,
    ) -> Result<(&Topic, usize, &mut u64), Refused> {
        let Some(topic) = self.topic.as_deref() else {
            return Err(Refused::Transaction(unknown_topic(&self.name)));
        };
        let bytes = size_of(record);
        check(&self.name, topic, record, bytes).map_err(Refused::Record)?;
        let index = if record.partition == ANY_PARTITION {
            if self.sticky_bytes >= STICKY_BYTES {
                self.sticky_bytes = 0;
                self.sticky_partition += 1;
            }
            self.sticky_bytes += bytes;
            self.sticky_partition %= topic.partitions.len();
            self.sticky_partition
        } else {
            usize::try_from(record.partition).unwrap_or(usize::MAX)
        };
        match self.added.get_mut(index) {
            Some(added) => Ok((topic, index, added)),
            None => {
                let partition = TopicPartition::new(self.name.clone(), record.partition);
                Err(Refused::Transaction(unknown(&partition)))
            }
        }
    }
}

fn check(
    name: &str,
    topic: &Topic,
    record: &ProducerRecord<'_>,
    bytes: usize,
) -> Result<(), ClientError> {
    let max = topic.settings.record_bytes_max;
    if bytes > max {
        return Err(ClientError::new(
            ClientErrorKind::RecordTooLarge,
            format!(
                "a record of {bytes} bytes is too large for topic {name}, which takes {max}; \
                 raise its max.message.bytes"
            ),
        ));
    }
    if topic.settings.compacted && record.key.is_none() {
        return Err(invalid(format!("topic {name} is compacted: give the record a key")));
    }
    Ok(())
}

fn size_of(record: &ProducerRecord<'_>) -> usize {
    let headers: usize =
        record.headers.iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len)).sum();
    record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + headers
}
