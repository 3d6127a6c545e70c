//! Joins of a table with the rows of another that its values name: `KTable::join_on`.
//!
//! A row's change is sent as a *subscription* to the partition of its foreign key
//! (`subscribe.rs`), kept there and answered, also when the other row changes (`respond.rs`); the
//! *response* comes back to the row's partition and becomes a result if the row is still the one
//! that asked (`resolve.rs`). Formats and names are the JVM's: `messages.rs`, `murmur3.rs`.

mod bytes;
mod messages;
mod murmur3;
mod resolve;
mod respond;
mod subscribe;

use std::marker::PhantomData;
use std::sync::Arc;

use streams_core::serdes::{Bytes, Nullable, Raw};
use streams_core::stores::{Change, KeyValueStore, Stores};
use streams_core::topology::{Consumed, Partitions, Produced};
use streams_core::{Data, SerdeRef};

use self::bytes::ByteSerde;
use self::messages::{Response, ResponseSerde, Subscription, SubscriptionSerde};
use self::resolve::{Joiner, Resolve};
use self::respond::{AnswerAll, AnswerSubscription, KeepSubscription};
use self::subscribe::{Extract, Subscribe};
use super::{KTable, NewTable, TableSource};
use crate::graph::{Ask, Call, Keeps, Kind, Lowering, NewNode, NodeId, Origin, Repartition};
use crate::options::{KeyPartitioner, TableJoined};

impl<K: Data, V: Data> KTable<K, V> {
    /// Joins each row with the row of `other` that `foreign_key` names; a row without one has no
    /// result. Kafka Streams' foreign-key join.
    ///
    /// The tables need not have equally many partitions: the join has topics of its own.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.table::<String, String>("orders", "orders");
    /// # let customers = builder.table::<String, String>("customers", "customers");
    /// let named = orders.join_on(
    ///     &customers,
    ///     |_, order| order.split_once(' ').map(|(customer, _)| customer.to_owned()),
    ///     |_, order, customer| format!("{customer} ordered {order}"),
    ///     "orders-of-customers",
    /// );
    /// # named.to("named");
    /// ```
    #[track_caller]
    pub fn join_on<FK: Data, V2: Data, W: Data>(
        &self,
        other: &KTable<FK, V2>,
        foreign_key: impl Fn(&K, &V) -> Option<FK> + Send + Sync + 'static,
        f: impl Fn(&K, &V, &V2) -> W + Send + Sync + 'static,
        options: impl Into<TableJoined<K, FK, V, V2>>,
    ) -> KTable<K, W> {
        let joiner = move |key: &K, value: &V, foreign: Option<&V2>| Some(f(key, value, foreign?));
        let join = ForeignKeyJoin {
            call: Call::new("join_on"),
            left_join: false,
            foreign_key: Arc::new(foreign_key),
            joiner: Arc::new(joiner),
        };
        join.add(self, other, options.into())
    }

    /// As [`join_on`](Self::join_on); a row without a foreign key, or without a row of that key,
    /// has a result too.
    #[track_caller]
    pub fn left_join_on<FK: Data, V2: Data, W: Data>(
        &self,
        other: &KTable<FK, V2>,
        foreign_key: impl Fn(&K, &V) -> Option<FK> + Send + Sync + 'static,
        f: impl Fn(&K, &V, Option<&V2>) -> W + Send + Sync + 'static,
        options: impl Into<TableJoined<K, FK, V, V2>>,
    ) -> KTable<K, W> {
        let joiner = move |key: &K, value: &V, foreign: Option<&V2>| Some(f(key, value, foreign));
        let join = ForeignKeyJoin {
            call: Call::new("left_join_on"),
            left_join: true,
            foreign_key: Arc::new(foreign_key),
            joiner: Arc::new(joiner),
        };
        join.add(self, other, options.into())
    }
}

/// What the user says with functions.
struct ForeignKeyJoin<K, V, FK, V2, W> {
    call: Call,
    left_join: bool,
    foreign_key: Arc<Extract<K, V, FK>>,
    joiner: Arc<Joiner<K, V, V2, W>>,
}

/// The serdes of both tables, and how their topics are partitioned.
struct Sides<K, V, FK, V2> {
    keys: SerdeRef<K>,
    values: SerdeRef<V>,
    foreign_keys: SerdeRef<FK>,
    foreign_values: SerdeRef<V2>,
    partitioner: Option<KeyPartitioner<K>>,
    foreign_partitioner: Option<KeyPartitioner<FK>>,
}

const REGISTRATION: &str = "KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION-";
const PROCESSOR: &str = "KTABLE-FK-JOIN-SUBSCRIPTION-PROCESSOR-";
const RESPONSE: &str = "KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-";
const RESOLVER: &str = "KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-RESOLVER-PROCESSOR-";
const OUTPUT: &str = "KTABLE-FK-JOIN-OUTPUT-";

impl<K: Data, V: Data, FK: Data, V2: Data, W: Data> ForeignKeyJoin<K, V, FK, V2, W> {
    /// Three nodes, each in the JVM's order of names: one per sub-topology, and the result.
    #[track_caller]
    fn add(
        self,
        left: &KTable<K, V>,
        right: &KTable<FK, V2>,
        options: TableJoined<K, FK, V, V2>,
    ) -> KTable<K, W> {
        let (graph, call) = (&left.graph, self.call);
        let other = graph.own(call, &right.graph, right.node, left.node);
        let name = options.name.clone();
        let sides = Sides::resolve(options, left, right);
        if sides.is_none() {
            let message = format!(
                "{call} writes keys and values of both tables, and there are not serdes of all of \
                 them above to inherit: use TableJoined::with"
            );
            graph.mistake(call, message);
        }
        let sides = sides.map(Arc::new);
        let subscribe = self.add_subscribe(left, sides.clone(), name.as_deref());
        let respond = self.add_respond(left, (subscribe, other), sides.clone(), name.as_deref());
        let result = self.add_result(left, respond, sides, name.as_deref());
        graph.name_together(result.node, respond);
        graph.name_together(respond, subscribe);
        result
    }

    #[track_caller]
    fn add_subscribe(
        &self,
        left: &KTable<K, V>,
        sides: Option<Arc<Sides<K, V, FK, V2>>>,
        name: Option<&str>,
    ) -> NodeId {
        let parts = [
            (REGISTRATION, "-subscription-registration"),
            (REGISTRATION, "-subscription-registration-processor"),
            ("KTABLE-SINK-", "-subscription-registration-sink"),
            ("KTABLE-SOURCE-", "-subscription-registration-source"),
        ];
        let name = left.graph.name(name, &parts);
        let (foreign_key, left_join) = (self.foreign_key.clone(), self.left_join);
        let kind = Kind::Repartition(Repartition::of_foreign_key(0));
        let node = NewNode::new(self.call, name, &[left.node], kind)
            .asks(Ask { of: left.node, old: true, read: false })
            .lower(move |lowering| {
                let Some(sides) = sides else { return without_serdes(lowering) };
                let topic = lowering.declare_repartition_topic(None);
                let (base, choose) = (topic.clone(), sides.foreign_partitioner());
                let registry = move |app: &str, suffix: &str| format!("{app}-{base}-{suffix}");
                let versioned = lowering.is_versioned(0);
                let changes = lowering.side::<K, Change<V>, _, _>(1, 0, (), move |(), init| {
                    let topic = |suffix| registry(init.application_id(), suffix);
                    Subscribe {
                        foreign_key: foreign_key.clone(),
                        keys: ByteSerde::key(sides.keys.clone(), topic("pk")),
                        values: ByteSerde::value(sides.values.clone(), topic("vh")),
                        foreign_keys: ByteSerde::key(sides.foreign_keys.clone(), topic("fk")),
                        left_join,
                        versioned,
                    }
                });
                let mut produced = Produced::with(&topic, Nullable(Raw), SubscriptionSerde);
                if let Some(choose) = choose {
                    produced = produced.partitioner(move |record, n| choose(record.key, n));
                }
                lowering.sink_below(2, &[changes], produced);
                let consumed = Consumed::with(topic, Nullable(Raw), SubscriptionSerde);
                let source = lowering.source::<Option<Bytes>, Subscription>(3, consumed);
                lowering.output(source);
            });
        left.graph.add(node)
    }

    #[track_caller]
    fn add_respond(
        &self,
        left: &KTable<K, V>,
        (subscribe, right): (NodeId, NodeId),
        sides: Option<Arc<Sides<K, V, FK, V2>>>,
        name: Option<&str>,
    ) -> NodeId {
        let parts = [
            ("KTABLE-FK-JOIN-SUBSCRIPTION-STATE-STORE-", "-subscription-store"),
            (PROCESSOR, "-subscription-receive"),
            (PROCESSOR, "-subscription-join-foreign"),
            (PROCESSOR, "-foreign-join-subscription"),
            (RESPONSE, "-subscription-response"),
            ("KTABLE-SINK-", "-subscription-response-sink"),
            ("KTABLE-SOURCE-", "-subscription-response-source"),
        ];
        let name = left.graph.name(name, &parts);
        left.graph.copartition(self.call, subscribe, right);
        let kind = Kind::Repartition(Repartition::of_foreign_key(4));
        let node = NewNode::new(self.call, name, &[subscribe, right], kind)
            .asks(Ask { of: right, old: true, read: true })
            .lower(move |lowering| {
                let Some(sides) = sides else { return without_serdes(lowering) };
                lower_respond(lowering, &sides);
            });
        left.graph.add(node)
    }

    #[track_caller]
    fn add_result(
        self,
        left: &KTable<K, V>,
        respond: NodeId,
        sides: Option<Arc<Sides<K, V, FK, V2>>>,
        name: Option<&str>,
    ) -> KTable<K, W> {
        let parts = [(RESOLVER, "-subscription-response-resolver"), (OUTPUT, "-result")];
        let name = left.graph.name(name, &parts);
        let store = left.graph.store_name(None, OUTPUT);
        left.graph.copartition(self.call, respond, left.node);
        let keys = sides.as_ref().map(|sides| sides.keys.clone());
        let node = NewNode::new(self.call, name, &[respond, left.node], Kind::Table)
            .keeps(Keeps::Nothing)
            .serdes::<K, W>(keys, None)
            .asks(Ask { of: left.node, old: true, read: true });
        let joiner = self.joiner;
        let table = NewTable { node, origin: Origin::Topic, store: None, store_asked: false };
        let table = table.lower(move |lowering| {
            let Some(sides) = sides else { return without_serdes(lowering) };
            let Some(rows) = lowering.parent_getter::<K, V>(1) else {
                return lowering.bug("a joined table cannot be read");
            };
            let (topic, subscriptions) = (lowering.topic_at(&[0]), lowering.topic_at(&[0, 0]));
            let results = lowering.side::<Bytes, Response, _, _>(0, 0, rows, move |rows, init| {
                let app = init.application_id();
                let registry = |suffix: &str| format!("{app}-{subscriptions}-{suffix}");
                Resolve {
                    rows,
                    keys: ByteSerde::key(sides.keys.clone(), registry("pk")),
                    values: ByteSerde::value(sides.values.clone(), registry("vh")),
                    foreign_values: ByteSerde::value(
                        sides.foreign_values.clone(),
                        format!("{app}-{topic}"),
                    ),
                    joiner: joiner.clone(),
                    result: PhantomData,
                }
            });
            let parts = lowering.table_parts::<K, W>();
            lowering.set_getter(parts.getter());
            let output = lowering.add_below(1, &[results], parts.stores(), move |stores, _| {
                TableSource::new(parts.output(&stores), Arc::new(|row: Option<W>| row))
            });
            lowering.output(output);
        });
        let table = table.add(&left.graph);
        left.graph.offer_store(table.node, store);
        table
    }
}

/// The three processors at the rows of the right table, and the topic of the responses.
fn lower_respond<K: Data, V: Data, FK: Data, V2: Data>(
    lowering: &mut Lowering<'_>,
    sides: &Arc<Sides<K, V, FK, V2>>,
) {
    let Some(rows) = lowering.parent_getter::<FK, V2>(1) else {
        return lowering.bug("a joined table cannot be read");
    };
    let (topic, subscriptions) =
        (lowering.declare_repartition_topic(None), lowering.topic_at(&[0]));
    let store: streams_core::stores::StoreBuilder<KeyValueStore<Bytes, Subscription>> =
        Stores::key_value_with(&lowering.name(0), Raw, SubscriptionSerde);
    let kept =
        lowering.side::<Option<Bytes>, Subscription, _, _>(1, 0, store.clone(), |store, _| {
            KeepSubscription { store }
        });
    let serdes = {
        let (sides, topic) = (sides.clone(), topic.clone());
        move |app: &str| {
            let keys = format!("{app}-{subscriptions}-fk");
            let values = format!("{app}-{topic}");
            let keys = ByteSerde::key(sides.foreign_keys.clone(), keys);
            (keys, ByteSerde::value(sides.foreign_values.clone(), values))
        }
    };
    let of_subscriptions = serdes.clone();
    let one = lowering.add_below(2, &[kept], rows, move |rows, init| {
        let (foreign_keys, foreign_values) = of_subscriptions(init.application_id());
        AnswerSubscription { rows, foreign_keys, foreign_values }
    });
    let versioned = lowering.is_versioned(1);
    let all = lowering.side::<FK, Change<V2>, _, _>(3, 1, store, move |store, init| {
        let (foreign_keys, foreign_values) = serdes(init.application_id());
        AnswerAll { store, foreign_keys, foreign_values, versioned }
    });
    let choose = sides.primary_partitioner();
    let produced = Produced::with(&topic, Raw, ResponseSerde)
        .partitioner(move |record, n| choose(record.key, record.value, n));
    lowering.sink_below(5, &[one, all], produced);
    let source = lowering.source::<Bytes, Response>(6, Consumed::with(topic, Raw, ResponseSerde));
    lowering.output(source);
}

fn without_serdes(lowering: &mut Lowering<'_>) {
    lowering.bug("a join without serdes was not refused");
}

impl<K: Data, V: Data, FK: Data, V2: Data> Sides<K, V, FK, V2> {
    fn resolve(
        options: TableJoined<K, FK, V, V2>,
        left: &KTable<K, V>,
        right: &KTable<FK, V2>,
    ) -> Option<Self> {
        Some(Self {
            keys: options.key.resolve(left.key_serde().as_ref())?,
            values: options.value.resolve(left.value_serde().as_ref())?,
            foreign_keys: options.foreign_key.resolve(right.key_serde().as_ref())?,
            foreign_values: options.foreign_value.resolve(right.value_serde().as_ref())?,
            partitioner: options.partitioner,
            foreign_partitioner: options.foreign_partitioner,
        })
    }

    /// Where subscriptions go, if not by the hash of the foreign key.
    fn foreign_partitioner(
        &self,
    ) -> Option<impl Fn(&Option<Bytes>, i32) -> Partitions + Send + Sync + 'static> {
        let choose = self.foreign_partitioner.clone()?;
        let keys = ByteSerde::key(self.foreign_keys.clone(), String::new());
        Some(move |key: &Option<Bytes>, partitions| {
            let key = key.as_ref().and_then(|key| keys.read(key).ok());
            key.map_or(Partitions::ByKey, |key| Partitions::One(choose(&key, partitions)))
        })
    }

    /// Where responses go: to the partition that asked, unless the user says otherwise.
    fn primary_partitioner(
        &self,
    ) -> impl Fn(&Bytes, &Response, i32) -> Partitions + Send + Sync + 'static {
        let choose = self.partitioner.clone();
        let keys = ByteSerde::key(self.keys.clone(), String::new());
        move |key: &Bytes, response: &Response, partitions| match (&choose, response.partition) {
            (Some(choose), _) => match keys.read(key) {
                Ok(key) => Partitions::One(choose(&key, partitions)),
                Err(_) => Partitions::ByKey,
            },
            (None, Some(partition)) => Partitions::One(partition),
            (None, None) => Partitions::ByKey,
        }
    }
}
