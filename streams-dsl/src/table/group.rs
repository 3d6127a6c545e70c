//! `KTable::group_by`.

use std::sync::Arc;

use streams_core::processor::{Processor, ProcessorContext};
use streams_core::stores::{Change, Held};
use streams_core::{BoxError, Data, Headers, Serde, SerdeContext, SerdeRef};

use super::KTable;
use crate::graph::{Ask, Call, Changes, Grouping, Kind, NewNode, NodeName};
use crate::grouped::KGroupedTable;
use crate::options::Grouped;

impl<K: Data, V: Data> KTable<K, V> {
    /// Groups the rows by a new key, through a repartition topic of this name. An update of a row
    /// subtracts its old value from its old group, and adds the new one to its new group.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let users_per_region = builder
    ///     .table::<String, String>("region-of-user", "regions")
    ///     .group_by(|user, region| (region.clone(), user.clone()), "users-by-region")
    ///     .count("users-per-region");
    /// # users_per_region.to("users-per-region");
    /// ```
    #[track_caller]
    pub fn group_by<K2: Data, V2: Data>(
        &self,
        f: impl Fn(&K, &V) -> (K2, V2) + Send + Sync + 'static,
        repartition_topic: impl Into<Grouped<K2, V2>>,
    ) -> KGroupedTable<K2, V2> {
        self.group_in(Call::new("group_by"), Arc::new(f), repartition_topic.into())
    }

    #[track_caller]
    fn group_in<K2: Data, V2: Data>(
        &self,
        call: Call,
        f: Arc<Selector<K, V, K2, V2>>,
        options: Grouped<K2, V2>,
    ) -> KGroupedTable<K2, V2> {
        let name = self.graph.name(options.name.as_deref(), &[("KTABLE-SELECT-", "")]);
        let (key, value) = (options.key.resolve(None), options.value.resolve(None));
        if key.is_none() || value.is_none() {
            let message = format!(
                "{call} needs serdes for its repartition topic, and there are none above to \
                 inherit: use Grouped::with"
            );
            self.graph.mistake(call, message);
        }
        let serdes = key.clone().zip(value.clone());
        let select = NewNode::new(call, name, &[self.node], Kind::Stream)
            .changes(Changes::Key)
            .asks(Ask { of: self.node, old: true, read: false })
            .lower(move |lowering| {
                let Some((key, value)) = serdes else {
                    return lowering.bug("a grouping without serdes was not refused");
                };
                let versioned = lowering.is_versioned(0);
                lowering.processor::<K, Change<V>, _, _>((), move |(), _| SelectRows {
                    f: f.clone(),
                    versioned,
                    key: key.clone(),
                    value: value.clone(),
                    bytes: (Vec::new(), Vec::new()),
                });
            });
        let select = self.graph.add(select);
        let kind = Kind::Grouping(Grouping { naming: options.naming(), repartition: None });
        let grouping = NewNode::new(call, NodeName::default(), &[select], kind).serdes(key, value);
        KGroupedTable::new(self.graph.clone(), self.graph.add(grouping))
    }
}

type Selector<K, V, K2, V2> = dyn Fn(&K, &V) -> (K2, V2) + Send + Sync;

/// Makes one change of each group of the changes of the rows.
struct SelectRows<K, V, K2, V2> {
    f: Arc<Selector<K, V, K2, V2>>,
    /// What changes the past of a versioned table changes no aggregate.
    versioned: bool,
    key: SerdeRef<K2>,
    value: SerdeRef<V2>,
    /// Two keys as bytes, while they are compared.
    bytes: (Vec<u8>, Vec<u8>),
}

impl<K, V, K2: Data, V2: Data> SelectRows<K, V, K2, V2> {
    /// The row as its group sees it; none without a key or a value.
    fn select(&self, key: &K, value: Option<Held<V>>) -> Option<(K2, Held<V2>)> {
        let (key, value) = (self.f)(key, &*value?);
        let null = self.key.is_null(&key) || self.value.is_null(&value);
        (!null).then(|| (key, Held::new(value)))
    }

    /// Whether both keys are one group: keys are what their bytes are.
    fn is_one_group(&mut self, one: &K2, other: &K2) -> Result<bool, BoxError> {
        let (left, right) = &mut self.bytes;
        left.clear();
        right.clear();
        let mut headers = Headers::new();
        self.key.serialize(one, left, &mut SerdeContext::key("", &mut headers))?;
        self.key.serialize(other, right, &mut SerdeContext::key("", &mut headers))?;
        Ok(left == right)
    }
}

impl<K: Data, V: Data, K2: Data, V2: Data> Processor for SelectRows<K, V, K2, V2> {
    type KIn = K;
    type VIn = Change<V>;
    type KOut = K2;
    type VOut = Change<V2>;

    fn process(
        &mut self,
        key: K,
        change: Change<V>,
        ctx: &mut ProcessorContext<'_, K2, Change<V2>>,
    ) -> Result<(), BoxError> {
        if self.versioned && !change.is_latest {
            return Ok(());
        }
        let old = self.select(&key, change.old);
        let new = self.select(&key, change.new);
        match (old, new) {
            (Some((old_key, old)), Some((new_key, new))) => {
                if self.is_one_group(&old_key, &new_key)? {
                    return ctx.forward(new_key, Change::new(Some(new), Some(old)));
                }
                // Another partition may see the second before the first; each alone is right.
                ctx.forward(old_key, Change::new(None, Some(old)))?;
                ctx.forward(new_key, Change::new(Some(new), None))
            }
            (Some((key, old)), None) => ctx.forward(key, Change::new(None, Some(old))),
            (None, Some((key, new))) => ctx.forward(key, Change::new(Some(new), None)),
            (None, None) => Ok(()),
        }
    }
}
