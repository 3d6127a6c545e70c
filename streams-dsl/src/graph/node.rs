//! One call of the user as a node of the logical graph, and what the passes know of it.

use std::any::{Any, TypeId};
use std::panic::Location;
use std::sync::Arc;

use streams_core::topology::{OffsetReset, Reading};

use super::lower::Lowering;
use super::names::{NodeName, StoreName};

/// Index of a node. Parents have lower ids than their children, so ids are a topological order.
pub(crate) type NodeId = u32;

/// A serde whose type only the typed handles know.
pub(crate) type ErasedSerde = Arc<dyn Any + Send + Sync>;

/// How a table's store is made, whose types only the typed handles know.
pub(crate) type ErasedStored = Arc<dyn Any + Send + Sync>;

/// Turns a logical node into processors, sinks and stores of the core.
pub(crate) type Lower = Box<dyn FnOnce(&mut Lowering<'_>) + Send>;

/// A call of the user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// As the user wrote it: `group_by_key`.
    pub(crate) method: &'static str,
    pub(crate) at: &'static Location<'static>,
}

impl Call {
    #[track_caller]
    pub(crate) fn new(method: &'static str) -> Self {
        Self { method, at: Location::caller() }
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}() at {}:{}", self.method, self.at.file(), self.at.line())
    }
}

/// A node of the logical graph.
pub(crate) struct GraphNode {
    pub(crate) call: Call,
    pub(crate) name: NodeName,
    pub(crate) parents: Vec<NodeId>,
    pub(crate) kind: Kind,
    /// The call above which changed the key, if a record may lie outside the partition of its key.
    pub(crate) key_changed: Option<Call>,
    /// What this operator itself does to a record.
    pub(crate) changes: Changes,
    /// What this operator asks of the tables above it.
    pub(crate) asks: Vec<Ask>,
    /// The table sends old values although nobody below asked.
    pub(crate) sends_old: bool,
    pub(crate) key_serde: Option<ErasedSerde>,
    pub(crate) value_serde: Option<ErasedSerde>,
    pub(crate) lower: Option<Lower>,
}

/// What an operator may change of a record: the key counts before the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changes {
    Nothing,
    Key,
    Value,
    /// The type of the value, as joins do: the JVM does not count it as a change.
    Type,
}

/// What the passes have to tell apart.
pub(crate) enum Kind {
    /// Reads topics, as a stream or a table.
    Source(SourceTopics),
    /// One stream in (or several), one stream out.
    Stream,
    /// Several streams in, one stream out.
    Merge,
    /// Lowers to nothing: remembers how a stream was grouped.
    Grouping(Grouping),
    /// A topic of ours, between two sub-topologies.
    Repartition(Repartition),
    /// A table without a topic of its own.
    Table,
    /// Records leave.
    Sink,
}

impl Kind {
    /// Whether the records below come from a topic that is read here.
    pub(crate) fn begins_a_subtopology(&self) -> bool {
        matches!(self, Self::Source(_) | Self::Repartition(_))
    }
}

/// What a source reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceTopics {
    /// Sorted topic names, or one pattern.
    pub(crate) topics: Vec<String>,
    pub(crate) pattern: bool,
    /// Only streams may share a source.
    pub(crate) table: bool,
    /// What the records become: a type, and its name for people.
    pub(crate) records: (TypeId, &'static str),
    pub(crate) reset: Option<OffsetReset>,
    /// How they are read beside that.
    pub(crate) reading: Reading,
    /// Resolved: the earlier source that reads the same.
    pub(crate) same_as: Option<NodeId>,
}

/// Which serdes of its parent an operator hands on: those of types that it does not change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Keeps {
    #[default]
    Nothing,
    Key,
    Value,
    Both,
}

/// Whether a repartition topic may be made, and how it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// The user gave no options: a repartition topic is refused.
    Absent,
    /// `auto()`: the generated name.
    Auto,
    Given(String),
}

impl Naming {
    pub(crate) fn given(&self) -> Option<&str> {
        match self {
            Self::Given(name) => Some(name),
            _ => None,
        }
    }
}

/// A grouped stream.
pub(crate) struct Grouping {
    pub(crate) naming: Naming,
    /// The repartition topic that the aggregations of a named grouping share.
    pub(crate) repartition: Option<NodeId>,
}

/// A repartition topic.
pub(crate) struct Repartition {
    /// Made because an operator needed it; the user did not ask for it with `repartition`.
    pub(crate) automatic: bool,
    /// Stands right below the operator that changes the key, in place of several further down.
    pub(crate) moved: bool,
    pub(crate) base: RepartitionBase,
    /// As the user said.
    pub(crate) partitions: Option<i32>,
}

impl Repartition {
    /// A topic of a foreign-key join, named as this part of the node.
    pub(crate) fn of_foreign_key(part: usize) -> Self {
        let base = RepartitionBase::Exact { part };
        Self { automatic: false, moved: false, base, partitions: None }
    }
}

/// What a repartition topic is named after.
#[derive(Clone, Debug)]
pub(crate) enum RepartitionBase {
    Given(String),
    Store(StoreName),
    /// The operator that wrote the stream: it may be renamed later.
    Operator(NodeId),
    /// Generated for `repartition(auto())`.
    Generated(String),
    /// This name of the node's own, with `-topic` behind it: the topics of foreign-key joins.
    Exact {
        part: usize,
    },
}

/// The part of a node that is only there for tables.
pub(crate) struct TableFacts {
    pub(crate) origin: Origin,
    /// The store's name, once it has one. A source has one from the start, and may not use it.
    pub(crate) store: Option<StoreName>,
    /// Serdes and settings of the store.
    pub(crate) stored: Option<ErasedStored>,
    /// Named by the user, or needed in any case.
    pub(crate) store_asked: bool,
    /// For how long its store knows what values were, in milliseconds, if it does.
    pub(crate) history_ms: Option<i64>,
    /// Resolved: whether the table has a store.
    pub(crate) materialized: bool,
    /// Resolved: whether somebody below wants the old value beside the new one.
    pub(crate) send_old: bool,
}

/// Where the rows of a table come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A topic or a stream: the store exists if somebody needs it.
    Topic,
    /// An aggregation: there is always a store.
    Own,
    /// Other tables: values can be computed from theirs.
    Parents,
    /// The table above, whose changes are held back in a store.
    Buffer,
}

/// What an operator asks of a table above it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) of: NodeId,
    /// Changes must carry the old value.
    pub(crate) old: bool,
    /// The current value of a key is looked up.
    pub(crate) read: bool,
}
