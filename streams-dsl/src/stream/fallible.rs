//! Fallible twins: an error reaches the processing handler (fail, skip, dead letter), with the
//! operator's name.

use streams_core::{BoxError, Data};

use super::emitter::{emit_records, emit_values};
use super::{Emitter, KStream, Operator};
use crate::graph::{Call, Keeps};

impl<K: Data, V: Data> KStream<K, V> {
    /// As [`filter`](Self::filter), for conditions that can fail.
    #[track_caller]
    pub fn try_filter(
        &self,
        f: impl Fn(&K, &V) -> Result<bool, BoxError> + Send + Sync + 'static,
    ) -> KStream<K, V> {
        let operator = Operator::looks(Call::new("try_filter"), "KSTREAM-FILTER-");
        self.stateless(
            operator,
            move |(), key, value, ctx| {
                if f(&key, &value)? { ctx.forward(key, value) } else { Ok(()) }
            },
        )
    }

    /// As [`map_values`](Self::map_values), for closures that can fail.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let texts = builder.stream::<String, String>("texts");
    /// let numbers = texts.try_map_values(|text| Ok(text.parse::<i64>()?));
    /// # numbers.to("numbers");
    /// ```
    #[track_caller]
    pub fn try_map_values<W: Data>(
        &self,
        f: impl Fn(V) -> Result<W, BoxError> + Send + Sync + 'static,
    ) -> KStream<K, W> {
        let operator = Operator::maps_value(Call::new("try_map_values"), "KSTREAM-MAPVALUES-");
        self.stateless(operator, move |(), key, value, ctx| ctx.forward(key, f(value)?))
    }

    /// As [`map_values_with_key`](Self::map_values_with_key), for closures that can fail.
    #[track_caller]
    pub fn try_map_values_with_key<W: Data>(
        &self,
        f: impl Fn(&K, V) -> Result<W, BoxError> + Send + Sync + 'static,
    ) -> KStream<K, W> {
        let call = Call::new("try_map_values_with_key");
        let operator = Operator::maps_value(call, "KSTREAM-MAPVALUES-");
        self.stateless(operator, move |(), key, value, ctx| {
            let value = f(&key, value)?;
            ctx.forward(key, value)
        })
    }

    /// As [`map`](Self::map), for closures that can fail.
    #[track_caller]
    pub fn try_map<K2: Data, W: Data>(
        &self,
        f: impl Fn(K, V) -> Result<(K2, W), BoxError> + Send + Sync + 'static,
    ) -> KStream<K2, W> {
        let operator = Operator::maps_record(Call::new("try_map"), "KSTREAM-MAP-");
        self.stateless(operator, move |(), key, value, ctx| {
            let (key, value) = f(key, value)?;
            ctx.forward(key, value)
        })
    }

    /// As [`select_key`](Self::select_key), for closures that can fail.
    #[track_caller]
    pub fn try_select_key<K2: Data>(
        &self,
        f: impl Fn(&K, &V) -> Result<K2, BoxError> + Send + Sync + 'static,
    ) -> KStream<K2, V> {
        let call = Call::new("try_select_key");
        let operator =
            Operator { keeps: Keeps::Value, ..Operator::maps_record(call, "KSTREAM-KEY-SELECT-") };
        self.stateless(operator, move |(), key, value, ctx| {
            let key = f(&key, &value)?;
            ctx.forward(key, value)
        })
    }

    /// As [`flat_map`](Self::flat_map), for closures that can fail. What was emitted before the
    /// error stays emitted.
    #[track_caller]
    pub fn try_flat_map<K2: Data, W: Data>(
        &self,
        f: impl Fn(K, V, &mut Emitter<'_, (K2, W)>) -> Result<(), BoxError> + Send + Sync + 'static,
    ) -> KStream<K2, W> {
        let operator = Operator::maps_record(Call::new("try_flat_map"), "KSTREAM-FLATMAP-");
        self.stateless(operator, move |(), key, value, ctx| {
            emit_records(ctx, |out| f(key, value, out))
        })
    }

    /// As [`flat_map_values`](Self::flat_map_values), for closures that can fail. What was emitted
    /// before the error stays emitted.
    #[track_caller]
    pub fn try_flat_map_values<W: Data>(
        &self,
        f: impl Fn(V, &mut Emitter<'_, W>) -> Result<(), BoxError> + Send + Sync + 'static,
    ) -> KStream<K, W> {
        let call = Call::new("try_flat_map_values");
        let operator = Operator::maps_value(call, "KSTREAM-FLATMAPVALUES-");
        self.stateless(operator, move |(), key, value, ctx| {
            emit_values(&key, ctx, |out| f(value, out))
        })
    }

    /// As [`for_each`](Self::for_each), for closures that can fail.
    #[track_caller]
    pub fn try_for_each(&self, f: impl Fn(K, V) -> Result<(), BoxError> + Send + Sync + 'static) {
        let operator = Operator::maps_record(Call::new("try_for_each"), "KSTREAM-FOREACH-");
        self.end(operator, f);
    }
}
