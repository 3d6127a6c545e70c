//! Grouping, which aggregations begin with.

use streams_core::Data;

use super::KStream;
use crate::graph::{Call, Grouping, Keeps, Kind, Naming, NewNode, NodeName};
use crate::grouped::KGroupedStream;
use crate::options::Grouped;

impl<K: Data, V: Data> KStream<K, V> {
    /// Groups by the key as it is.
    ///
    /// If the key was changed above, the records have to go through a repartition topic, and that
    /// wants a name: `build()` asks for [`group_by_key_with`](Self::group_by_key_with).
    #[track_caller]
    pub fn group_by_key(&self) -> KGroupedStream<K, V> {
        let grouping = NewNode::new(
            Call::new("group_by_key"),
            NodeName::default(),
            &[self.node],
            Kind::Grouping(Grouping { naming: Naming::Absent, repartition: None }),
        );
        KGroupedStream::new(self.graph.clone(), self.graph.add(grouping.keeps(Keeps::Both)))
    }

    /// Groups by the key as it is; if it was changed above, through a repartition topic of this
    /// name.
    #[track_caller]
    pub fn group_by_key_with(
        &self,
        repartition_topic: impl Into<Grouped<K, V>>,
    ) -> KGroupedStream<K, V> {
        self.group_in(Call::new("group_by_key_with"), &repartition_topic.into())
    }

    /// Groups by a new key, through a repartition topic of this name.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let counts = builder
    ///     .stream_values::<String>("words")
    ///     .group_by(|_, word| word.clone(), "words-by-word")
    ///     .count("counts");
    /// # counts.to("counts");
    /// ```
    #[track_caller]
    pub fn group_by<K2: Data>(
        &self,
        f: impl Fn(&K, &V) -> K2 + Send + Sync + 'static,
        repartition_topic: impl Into<Grouped<K2, V>>,
    ) -> KGroupedStream<K2, V> {
        let call = Call::new("group_by");
        let options = repartition_topic.into();
        let mut selected = self.select_key_in(call, f);
        if let Some(name) = &options.name {
            // The JVM gives the name of the grouping to the operator that selects the key.
            selected = selected.named(name);
        }
        selected.group_in(call, &options)
    }

    #[track_caller]
    fn group_in(&self, call: Call, options: &Grouped<K, V>) -> KGroupedStream<K, V> {
        let kind = Kind::Grouping(Grouping { naming: options.naming(), repartition: None });
        let key = options.key.resolve(self.key_serde().as_ref());
        let value = options.value.resolve(self.value_serde().as_ref());
        let grouping =
            NewNode::new(call, NodeName::default(), &[self.node], kind).serdes(key, value);
        KGroupedStream::new(self.graph.clone(), self.graph.add(grouping))
    }
}
