//! Operators that look at one record at a time and cannot fail.

use streams_core::Data;
use streams_core::processor::process_fn;

use super::emitter::{emit_records, emit_values};
use super::{Emitter, KStream, Operator};
use crate::graph::{Call, Keeps, Kind, NewNode};

impl<K: Data, V: Data> KStream<K, V> {
    /// Lets those records through for which `f` holds.
    #[track_caller]
    pub fn filter(&self, f: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> KStream<K, V> {
        self.filter_if(Call::new("filter"), f)
    }

    /// Lets those records through for which `f` does not hold.
    #[track_caller]
    pub fn filter_not(&self, f: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> KStream<K, V> {
        self.filter_if(Call::new("filter_not"), move |key, value| !f(key, value))
    }

    #[track_caller]
    fn filter_if(
        &self,
        call: Call,
        f: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
    ) -> KStream<K, V> {
        let operator = Operator::looks(call, "KSTREAM-FILTER-");
        self.stateless(
            operator,
            move |(), key, value, ctx| {
                if f(&key, &value) { ctx.forward(key, value) } else { Ok(()) }
            },
        )
    }

    /// Makes a new value of each value.
    #[track_caller]
    pub fn map_values<W: Data>(&self, f: impl Fn(V) -> W + Send + Sync + 'static) -> KStream<K, W> {
        let operator = Operator::maps_value(Call::new("map_values"), "KSTREAM-MAPVALUES-");
        self.stateless(operator, move |(), key, value, ctx| ctx.forward(key, f(value)))
    }

    /// As [`map_values`](Self::map_values), with the key to look at.
    #[track_caller]
    pub fn map_values_with_key<W: Data>(
        &self,
        f: impl Fn(&K, V) -> W + Send + Sync + 'static,
    ) -> KStream<K, W> {
        let operator = Operator::maps_value(Call::new("map_values_with_key"), "KSTREAM-MAPVALUES-");
        self.stateless(operator, move |(), key, value, ctx| {
            let value = f(&key, value);
            ctx.forward(key, value)
        })
    }

    /// Makes a new key and value of each record. What is grouped or joined below is repartitioned
    /// first.
    #[track_caller]
    pub fn map<K2: Data, W: Data>(
        &self,
        f: impl Fn(K, V) -> (K2, W) + Send + Sync + 'static,
    ) -> KStream<K2, W> {
        let operator = Operator::maps_record(Call::new("map"), "KSTREAM-MAP-");
        self.stateless(operator, move |(), key, value, ctx| {
            let (key, value) = f(key, value);
            ctx.forward(key, value)
        })
    }

    /// Gives each record a new key. What is grouped or joined below is repartitioned first.
    #[track_caller]
    pub fn select_key<K2: Data>(
        &self,
        f: impl Fn(&K, &V) -> K2 + Send + Sync + 'static,
    ) -> KStream<K2, V> {
        self.select_key_in(Call::new("select_key"), f)
    }

    #[track_caller]
    pub(super) fn select_key_in<K2: Data>(
        &self,
        call: Call,
        f: impl Fn(&K, &V) -> K2 + Send + Sync + 'static,
    ) -> KStream<K2, V> {
        let operator =
            Operator { keeps: Keeps::Value, ..Operator::maps_record(call, "KSTREAM-KEY-SELECT-") };
        self.stateless(operator, move |(), key, value, ctx| {
            let key = f(&key, &value);
            ctx.forward(key, value)
        })
    }

    /// Looks at each record as it passes.
    #[track_caller]
    pub fn peek(&self, f: impl Fn(&K, &V) + Send + Sync + 'static) -> KStream<K, V> {
        let operator = Operator::looks(Call::new("peek"), "KSTREAM-PEEK-");
        self.stateless(operator, move |(), key, value, ctx| {
            f(&key, &value);
            ctx.forward(key, value)
        })
    }

    /// Makes any number of records of each. What is grouped or joined below is repartitioned first.
    #[track_caller]
    pub fn flat_map<K2: Data, W: Data>(
        &self,
        f: impl Fn(K, V, &mut Emitter<'_, (K2, W)>) + Send + Sync + 'static,
    ) -> KStream<K2, W> {
        let operator = Operator::maps_record(Call::new("flat_map"), "KSTREAM-FLATMAP-");
        self.stateless(operator, move |(), key, value, ctx| {
            emit_records(ctx, |out| {
                f(key, value, out);
                Ok(())
            })
        })
    }

    /// Makes any number of values of each, under the same key.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let words = builder
    ///     .stream_values::<String>("lines")
    ///     .flat_map_values(|line, out| out.extend(line.split_whitespace().map(str::to_owned)));
    /// # words.to("words");
    /// ```
    #[track_caller]
    pub fn flat_map_values<W: Data>(
        &self,
        f: impl Fn(V, &mut Emitter<'_, W>) + Send + Sync + 'static,
    ) -> KStream<K, W> {
        let operator = Operator::maps_value(Call::new("flat_map_values"), "KSTREAM-FLATMAPVALUES-");
        self.stateless(operator, move |(), key, value, ctx| {
            emit_values(&key, ctx, |out| {
                f(value, out);
                Ok(())
            })
        })
    }

    /// As [`flat_map_values`](Self::flat_map_values), with the key to look at.
    #[track_caller]
    pub fn flat_map_values_with_key<W: Data>(
        &self,
        f: impl Fn(&K, V, &mut Emitter<'_, W>) + Send + Sync + 'static,
    ) -> KStream<K, W> {
        let call = Call::new("flat_map_values_with_key");
        let operator = Operator::maps_value(call, "KSTREAM-FLATMAPVALUES-");
        self.stateless(operator, move |(), key, value, ctx| {
            emit_values(&key, ctx, |out| {
                f(&key, value, out);
                Ok(())
            })
        })
    }

    /// The records of both streams, in no particular order.
    ///
    /// Serdes are not inherited below it.
    #[track_caller]
    pub fn merge(&self, other: &KStream<K, V>) -> KStream<K, V> {
        let call = Call::new("merge");
        let name = self.graph.name(None, &[("KSTREAM-MERGE-", "")]);
        let other = self.graph.own(call, &other.graph, other.node, self.node);
        let node = NewNode::new(call, name, &[self.node, other], Kind::Merge).lower(|lowering| {
            lowering.processor::<K, V, _, _>((), |(), _| {
                process_fn((), std::sync::Arc::new(pass_through::<K, V>))
            });
        });
        KStream::new(self.graph.clone(), self.graph.add(node))
    }
}

/// Forwards what comes.
pub(super) fn pass_through<K: Data, V: Data>(
    (): &(),
    key: K,
    value: V,
    ctx: &mut streams_core::processor::ProcessorContext<'_, K, V>,
) -> Result<(), streams_core::BoxError> {
    ctx.forward(key, value)
}
