//! How records leave a task.

use std::sync::Arc;

use hashbrown::HashMap;

use super::collector::RecordCollector;
use super::dropped::DropReason;
use super::task_state::TaskState;
use super::wiring::NodeFactory;
use crate::client::{ANY_PARTITION, ClientError, ClientErrorKind, ProducerRecord, Tag, TopicSlot};
use crate::error::BoxError;
use crate::partitioning::partition_for_key;
use crate::processor::{Data, Processor, ProcessorContext};
use crate::record::{Headers, RecordContext, RecordRef};
use crate::serdes::{Serde, SerdeContext, SerdeRef};
use crate::topology::{Partitioner, Partitions, Produced, Target};

/// How a sink writes.
pub(crate) struct SinkSpec<K, V> {
    target: Target<K, V>,
    key: SerdeRef<K>,
    value: SerdeRef<V>,
    partitioner: Option<Partitioner<K, V>>,
    /// At the end of a key: they do not count when the partition is chosen.
    window_bytes: usize,
}

impl<K: Data, V: Data> SinkSpec<K, V> {
    /// `None` if a serde is to be inherited and was not.
    pub(crate) fn of(produced: Produced<K, V>) -> Option<Self> {
        let key = produced.key.resolve(None)?;
        let window_bytes = if produced.windows_count { 0 } else { key.window_bytes() };
        Some(Self {
            key,
            window_bytes,
            value: produced.value.resolve(None)?,
            target: produced.target,
            partitioner: produced.partitioner,
        })
    }
}

/// The node of a sink. Without a specification there is no topology that would ask for it.
pub(crate) fn sink_factory<K: Data, V: Data>(spec: Option<SinkSpec<K, V>>) -> NodeFactory {
    let spec = spec.map(Arc::new);
    Arc::new(move |wiring| {
        let spec = spec.clone().expect("a sink without serdes is an error of `build`");
        let topic = match &spec.target {
            Target::Topic(topic) => Some(wiring.decorated(topic)),
            Target::Dynamic(_) => None,
        };
        wiring.node(|_| Sink {
            spec,
            topic: topic.map(|name| CachedTopic { name, slot: None }),
            chosen: HashMap::default(),
            key: Vec::new(),
            value: Vec::new(),
        })
    })
}

struct Sink<K, V> {
    spec: Arc<SinkSpec<K, V>>,
    /// Unless it is chosen per record.
    topic: Option<CachedTopic>,
    /// Topics that were chosen.
    chosen: HashMap<Arc<str>, CachedTopic, foldhash::fast::FixedState>,
    key: Vec<u8>,
    value: Vec<u8>,
}

struct CachedTopic {
    name: Arc<str>,
    /// With the collector's generation.
    slot: Option<(u64, TopicSlot)>,
}

impl CachedTopic {
    #[inline]
    fn slot(&mut self, collector: &mut dyn RecordCollector) -> Result<TopicSlot, ClientError> {
        let generation = collector.generation();
        match self.slot {
            Some((of, slot)) if of == generation => Ok(slot),
            _ => {
                let slot = collector.topic(&self.name)?;
                self.slot = Some((generation, slot));
                Ok(slot)
            }
        }
    }
}

impl<K: Data, V: Data> Processor for Sink<K, V> {
    type KIn = K;
    type VIn = V;
    type KOut = ();
    type VOut = ();

    fn process(
        &mut self,
        key: K,
        value: V,
        ctx: &mut ProcessorContext<'_, (), ()>,
    ) -> Result<(), BoxError> {
        let record = RecordRef { key: &key, value: &value, context: ctx.record };
        let topic = match (&mut self.topic, &self.spec.target) {
            (Some(topic), _) => topic,
            (None, Target::Dynamic(choose)) => {
                let name = choose(record);
                if !self.chosen.contains_key(&*name) {
                    let name: Arc<str> = name.as_ref().into();
                    self.chosen.insert(name.clone(), CachedTopic { name, slot: None });
                }
                self.chosen.get_mut(&*name).expect("inserted when missing")
            }
            (None, Target::Topic(_)) => unreachable!("a static sink has its topic"),
        };
        let mut headers = ctx.record.headers().clone();
        let (key_bytes, value_bytes) = (&mut self.key, &mut self.value);
        let nulls =
            serialize(&self.spec, record, &topic.name, &mut headers, key_bytes, value_bytes);
        let (has_key, has_value) = match nulls {
            Ok(nulls) => nulls,
            Err(error) => {
                return ctx.state.production_failed(&topic.name, error, ctx.record);
            }
        };
        let out = Outgoing {
            slot: topic
                .slot(&mut *ctx.state.collector)
                .map_err(|error| ctx.state.escalate(error))?,
            key: has_key.then_some(key_bytes),
            value: has_value.then_some(value_bytes),
            headers: &headers,
            context: ctx.record,
            window_bytes: self.spec.window_bytes,
        };
        match &self.spec.partitioner {
            None => out.send_by_key(&topic.name, ctx.state),
            Some(choose) => {
                let partitions = ctx
                    .state
                    .collector
                    .partitions(out.slot)
                    .map_err(|error| ctx.state.escalate(error))?;
                let chosen = choose(record, partitions);
                out.send_to_chosen(chosen, partitions, &topic.name, ctx.state)
            }
        }
    }
}

/// Whether key and value are there; their bytes are appended to emptied vectors.
fn serialize<K: 'static, V: 'static>(
    spec: &SinkSpec<K, V>,
    record: RecordRef<'_, K, V>,
    topic: &str,
    headers: &mut Headers,
    key: &mut Vec<u8>,
    value: &mut Vec<u8>,
) -> Result<(bool, bool), BoxError> {
    key.clear();
    value.clear();
    let mut cx = SerdeContext::key(topic, headers);
    let has_key = spec.key.serialize_or_null(record.key, key, &mut cx)?;
    let mut cx = SerdeContext::value(topic, headers);
    let has_value = spec.value.serialize_or_null(record.value, value, &mut cx)?;
    Ok((has_key, has_value))
}

/// A serialised record: not generic, so that each sink adds little code.
#[derive(Clone, Copy)]
struct Outgoing<'a> {
    slot: TopicSlot,
    key: Option<&'a Vec<u8>>,
    value: Option<&'a Vec<u8>>,
    headers: &'a Headers,
    context: &'a RecordContext,
    window_bytes: usize,
}

impl Outgoing<'_> {
    fn send_by_key(self, topic: &Arc<str>, state: &mut TaskState) -> Result<(), BoxError> {
        let key = self.key.map(|key| &key[..key.len().saturating_sub(self.window_bytes)]);
        match partition_of(&mut *state.collector, self.slot, key) {
            Ok(partition) => self.send(partition, topic, state),
            Err(error) => Err(state.escalate(error)),
        }
    }

    fn send_to_chosen(
        self,
        chosen: Partitions,
        partitions: i32,
        topic: &Arc<str>,
        state: &mut TaskState,
    ) -> Result<(), BoxError> {
        let chosen = match chosen {
            Partitions::ByKey => return self.send_by_key(topic, state),
            Partitions::Drop => {
                state.dropped(DropReason::Partitioner, self.context);
                return Ok(());
            }
            Partitions::One(partition) => vec![partition],
            Partitions::Many(all) => all,
        };
        for partition in chosen {
            if !(0..partitions).contains(&partition) {
                let error = NoSuchPartition { partition, partitions }.into();
                state.production_failed(topic, error, self.context)?;
                continue;
            }
            self.send(partition, topic, state)?;
        }
        Ok(())
    }

    /// A record that is too large is the application's matter; what else goes wrong, the thread's.
    fn send(self, partition: i32, topic: &Arc<str>, state: &mut TaskState) -> Result<(), BoxError> {
        let sent = state.collector.send(ProducerRecord {
            topic: self.slot,
            partition,
            timestamp: self.context.timestamp().as_millis(),
            key: self.key.map(Vec::as_slice),
            value: self.value.map(Vec::as_slice),
            headers: self.headers,
            tag: Tag::NONE,
        });
        match sent {
            Ok(()) => Ok(()),
            Err(error) if error.kind == ClientErrorKind::RecordTooLarge => {
                state.production_failed(topic, error.into(), self.context)
            }
            Err(error) => Err(state.escalate(error)),
        }
    }
}

/// The partition that Kafka's own producers choose for a key; any for none.
pub(super) fn partition_of(
    collector: &mut dyn RecordCollector,
    topic: TopicSlot,
    key: Option<&[u8]>,
) -> Result<i32, ClientError> {
    match key {
        Some(key) => Ok(partition_for_key(key, collector.partitions(topic)?)),
        None => Ok(ANY_PARTITION),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the partitioner chose partition {partition} of a topic with {partitions} partitions")]
struct NoSuchPartition {
    partition: i32,
    partitions: i32,
}
