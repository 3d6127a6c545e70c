//! Joins with global tables.

use std::sync::Arc;

use streams_core::Data;
use streams_core::processor::{ProcessorContext, process_fn};
use streams_core::stores::ReadOnlyHandle;

use super::KStream;
use crate::graph::{Call, Keeps, Kind, NewNode};
use crate::table::GlobalKTable;

impl<K: Data, V: Data> KStream<K, V> {
    /// Joins each record with a row of `table`, of the key that `key` makes of the record. The
    /// record is joined with what the table has when it is processed; without a row it is dropped.
    ///
    /// Neither has to be partitioned like the other, and the record keeps its own key.
    #[track_caller]
    pub fn join_global<GK: Data, GV: Data, W: Data>(
        &self,
        table: &GlobalKTable<GK, GV>,
        key: impl Fn(&K, &V) -> GK + Send + Sync + 'static,
        f: impl Fn(&K, V, &GV) -> W + Send + Sync + 'static,
    ) -> KStream<K, W> {
        let f = move |key: &K, value: V, row: Option<&GV>| row.map(|row| f(key, value, row));
        let key = move |k: &K, v: &V| Some(key(k, v));
        self.join_global_in(Call::new("join_global"), table, key, f)
    }

    /// As [`join_global`](Self::join_global); a record without a row is kept, and so is one of
    /// which `key` makes none.
    #[track_caller]
    pub fn left_join_global<GK: Data, GV: Data, W: Data>(
        &self,
        table: &GlobalKTable<GK, GV>,
        key: impl Fn(&K, &V) -> Option<GK> + Send + Sync + 'static,
        f: impl Fn(&K, V, Option<&GV>) -> W + Send + Sync + 'static,
    ) -> KStream<K, W> {
        let f = move |key: &K, value: V, row: Option<&GV>| Some(f(key, value, row));
        self.graph.keep_null_keys(&[self.node]);
        self.join_global_in(Call::new("left_join_global"), table, key, f)
    }

    #[track_caller]
    fn join_global_in<GK: Data, GV: Data, W: Data>(
        &self,
        call: Call,
        table: &GlobalKTable<GK, GV>,
        key_of: impl Fn(&K, &V) -> Option<GK> + Send + Sync + 'static,
        f: impl Fn(&K, V, Option<&GV>) -> Option<W> + Send + Sync + 'static,
    ) -> KStream<K, W> {
        self.graph.own(call, &table.graph, table.node, self.node);
        // In the JVM inner joins are named like left ones too.
        let name = self.graph.name(None, &[("KSTREAM-LEFTJOIN-", "")]);
        let (table, fs) = (table.clone(), Arc::new((key_of, f)));
        let node = NewNode::new(call, name, &[self.node], Kind::Stream).keeps(Keeps::Key).lower(
            move |lowering| {
                lowering.processor::<K, V, _, _>(table, move |table, _| {
                    let fs = fs.clone();
                    let join =
                        move |table: &ReadOnlyHandle<GK, GV>,
                              key: K,
                              value: V,
                              ctx: &mut ProcessorContext<'_, K, W>| {
                            let (key_of, f) = &*fs;
                            let joined = match key_of(&key, &value) {
                                None => f(&key, value, None),
                                Some(of) => {
                                    let mut rows = ctx.store(table);
                                    f(&key, value, rows.get(&of)?)
                                }
                            };
                            joined.map_or(Ok(()), |joined| ctx.forward(key, joined))
                        };
                    process_fn(table, Arc::new(join))
                });
            },
        );
        KStream::new(self.graph.clone(), self.graph.add(node))
    }
}
