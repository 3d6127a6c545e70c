//! Null, where the type has it: `KStream<K, Option<V>>` and `KStream<Option<K>, V>`.

use streams_core::Data;

use super::{KStream, Operator};
use crate::graph::{Call, Keeps};

impl<K: Data, V: Data> KStream<K, Option<V>> {
    /// Drops records without a value.
    #[track_caller]
    pub fn drop_null_values(&self) -> KStream<K, V> {
        let call = Call::new("drop_null_values");
        let operator = Operator { keeps: Keeps::Key, ..Operator::looks(call, "KSTREAM-FILTER-") };
        self.stateless(operator, |(), key, value, ctx| match value {
            Some(value) => ctx.forward(key, value),
            None => Ok(()),
        })
    }

    /// Makes a new value of each value; null stays null.
    #[track_caller]
    pub fn map_some<W: Data>(
        &self,
        f: impl Fn(V) -> W + Send + Sync + 'static,
    ) -> KStream<K, Option<W>> {
        let operator = Operator::maps_value(Call::new("map_some"), "KSTREAM-MAPVALUES-");
        self.stateless(operator, move |(), key, value, ctx| ctx.forward(key, value.map(&f)))
    }
}

impl<K: Data, V: Data> KStream<Option<K>, V> {
    /// Drops records without a key. A record stays in the partition of its key.
    #[track_caller]
    pub fn drop_null_keys(&self) -> KStream<K, V> {
        let call = Call::new("drop_null_keys");
        let operator = Operator { keeps: Keeps::Value, ..Operator::looks(call, "KSTREAM-FILTER-") };
        self.stateless(operator, |(), key, value, ctx| match key {
            Some(key) => ctx.forward(key, value),
            None => Ok(()),
        })
    }
}
