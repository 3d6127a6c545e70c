//! Repartition topics: asked for by `repartition`, or put before an operator that needs equal keys
//! together.

use std::sync::Arc;

use streams_core::processor::process_fn;
use streams_core::topology::Choice;
use streams_core::{Data, SerdeRef};

use super::KStream;
use crate::graph::{
    Call, Kind, Naming, NewNode, NodeId, Repartition, RepartitionBase, RepartitionTopic,
};
use crate::options::Repartitioned;

/// What a repartition topic takes numbers for.
const REPARTITION_PARTS: [(&str, &str); 3] =
    [("KSTREAM-SINK-", "-sink"), ("KSTREAM-FILTER-", "-filter"), ("KSTREAM-SOURCE-", "")];

impl<K: Data, V: Data> KStream<K, V> {
    /// Sends the records through a topic of the library, so that equal keys are in one partition
    /// again.
    ///
    /// Records without a key are dropped. What is grouped or joined below is not repartitioned
    /// again.
    #[track_caller]
    pub fn repartition(&self, topic: impl Into<Repartitioned<K, V>>) -> KStream<K, V> {
        let call = Call::new("repartition");
        let options = topic.into();
        let base = match options.naming() {
            Naming::Given(name) => RepartitionBase::Given(name),
            Naming::Auto | Naming::Absent => {
                RepartitionBase::Generated(self.graph.burn("KSTREAM-REPARTITION-").to_string())
            }
        };
        let serdes = self.repartition_serdes(call, &options.key, &options.value);
        let node = self.add_repartition(
            call,
            Repartition { automatic: false, moved: false, base, partitions: options.partitions },
            serdes.map(|(key, value)| RepartitionTopic {
                key,
                value,
                partitions: options.partitions,
                partitioner: options.partitioner,
            }),
        );
        KStream::new(self.graph.clone(), node)
    }

    /// What an operator at `call` reads that needs equal keys together: this stream, or a
    /// repartition topic in between. `naming` is `None` if the operator was called without options;
    /// `advice` says what to call instead.
    #[track_caller]
    pub(crate) fn keyed(
        &self,
        call: Call,
        naming: &Naming,
        auto: RepartitionBase,
        serdes: (&Choice<K>, &Choice<V>),
        advice: &str,
    ) -> NodeId {
        let Some(changed) = self.graph.key_changed(self.node) else {
            return self.node;
        };
        let of_join = matches!(auto, RepartitionBase::Operator(_));
        let base = match naming {
            Naming::Given(name) => RepartitionBase::Given(name.clone()),
            Naming::Auto => {
                if let (true, Some(topic)) = (of_join, self.graph.join_repartition(self.node)) {
                    // As in the JVM, which takes the numbers of a topic of its own all the same.
                    self.graph.name(None, &REPARTITION_PARTS);
                    return topic;
                }
                auto
            }
            Naming::Absent => {
                self.graph.mistake(call, needs_a_name(call, changed, advice));
                return self.node;
            }
        };
        let topic = self.repartition_serdes(call, serdes.0, serdes.1).map(|(key, value)| {
            RepartitionTopic { key, value, partitions: None, partitioner: None }
        });
        let repartition = Repartition { automatic: true, moved: false, base, partitions: None };
        let topic = self.add_repartition(call, repartition, topic);
        if of_join {
            self.graph.set_join_repartition(self.node, topic);
        }
        topic
    }

    fn repartition_serdes(
        &self,
        call: Call,
        key: &Choice<K>,
        value: &Choice<V>,
    ) -> Option<(SerdeRef<K>, SerdeRef<V>)> {
        let key = key.resolve(self.key_serde().as_ref());
        let value = value.resolve(self.value_serde().as_ref());
        let missing = match (&key, &value) {
            (None, _) => "keys",
            (_, None) => "values",
            _ => return key.zip(value),
        };
        let message = format!(
            "{call} needs a serde of the {missing} for its repartition topic, and there is none \
             above to inherit: name both with `with`"
        );
        self.graph.mistake(call, message);
        None
    }

    /// Adds the node of a repartition topic. Three numbers are burned whether they are used or not.
    #[track_caller]
    fn add_repartition(
        &self,
        call: Call,
        repartition: Repartition,
        topic: Option<RepartitionTopic<K, V>>,
    ) -> NodeId {
        let name = self.graph.name(None, &REPARTITION_PARTS);
        let (key, value) = topic.as_ref().map(|t| (t.key.clone(), t.value.clone())).unzip();
        let node = NewNode::new(call, name, &[self.node], Kind::Repartition(repartition))
            .serdes(key, value)
            .lower(move |lowering| {
                let Some(topic) = topic else {
                    return lowering.bug("a repartition topic without serdes was not refused");
                };
                let key_serde = topic.key.clone();
                let keeps_null = lowering.keeps_null_keys();
                // Without a key a record has no partition that other operators could rely on.
                let keep = Arc::new(
                    move |(): &(),
                          key: K,
                          value: V,
                          ctx: &mut streams_core::processor::ProcessorContext<'_, K, V>| {
                        use streams_core::Serde;
                        if !keeps_null && key_serde.is_null(&key) { Ok(()) } else { ctx.forward(key, value) }
                    },
                );
                lowering.repartition(topic, move |(), _| process_fn((), keep.clone()));
            });
        self.graph.add(node)
    }
}

/// The message for an operator that needs a repartition topic and was given no name for it.
pub(crate) fn needs_a_name(call: Call, changed: Call, advice: &str) -> String {
    let method = call.method;
    format!(
        "{method}() after {changed} needs a repartition topic, which needs a name: {advice}, or \
         put .repartition(\"name\") before it"
    )
}
