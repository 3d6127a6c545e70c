//! Time, headers and origin of records, read and written.

use streams_core::{Data, Headers, Record, RecordContext, Timestamp};

use super::{KStream, Operator};
use crate::graph::Call;

impl<K: Data, V: Data> KStream<K, V> {
    /// Puts timestamp, headers and origin into the value, so that every operator below can use
    /// them.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let fresh = builder
    ///     .stream::<String, String>("orders")
    ///     .with_context()
    ///     .filter(|_, (_, cx)| cx.headers().get("type") == Some(b"new"))
    ///     .map_values(|(order, _)| order);
    /// # fresh.to("fresh");
    /// ```
    #[track_caller]
    pub fn with_context(&self) -> KStream<K, (V, RecordContext)> {
        let call = Call::new("with_context");
        let operator = Operator::maps_value(call, "KSTREAM-PROCESSVALUES-");
        self.stateless(operator, |(), key, value, ctx| {
            let context = ctx.record_context().clone();
            ctx.forward(key, (value, context))
        })
    }

    /// Gives each record a new time; the third argument is the one it has.
    #[track_caller]
    pub fn set_timestamp(
        &self,
        f: impl Fn(&K, &V, Timestamp) -> Timestamp + Send + Sync + 'static,
    ) -> KStream<K, V> {
        let operator = Operator::looks(Call::new("set_timestamp"), "KSTREAM-PROCESSVALUES-");
        self.stateless(operator, move |(), key, value, ctx| {
            let timestamp = f(&key, &value, ctx.timestamp());
            ctx.forward_at(key, value, timestamp)
        })
    }

    /// Changes the headers of each record.
    #[track_caller]
    pub fn edit_headers(
        &self,
        f: impl Fn(&K, &V, &mut Headers) + Send + Sync + 'static,
    ) -> KStream<K, V> {
        let operator = Operator::looks(Call::new("edit_headers"), "KSTREAM-PROCESSVALUES-");
        self.stateless(operator, move |(), key, value, ctx| {
            let mut headers = ctx.headers().clone();
            f(&key, &value, &mut headers);
            let timestamp = ctx.timestamp();
            ctx.forward_record(Record { key, value, timestamp, headers })
        })
    }

    /// Everything at once; counts as a change of key.
    #[track_caller]
    pub fn map_record<K2: Data, W: Data>(
        &self,
        f: impl Fn(Record<K, V>) -> Record<K2, W> + Send + Sync + 'static,
    ) -> KStream<K2, W> {
        let operator = Operator::maps_record(Call::new("map_record"), "KSTREAM-PROCESSOR-");
        self.stateless(operator, move |(), key, value, ctx| {
            let (timestamp, headers) = (ctx.timestamp(), ctx.headers().clone());
            ctx.forward_record(f(Record { key, value, timestamp, headers }))
        })
    }
}
