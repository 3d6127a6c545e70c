//! `split`: one stream into several, the first match wins.

use std::sync::{Arc, Mutex, PoisonError};

use streams_core::processor::{ChildHandle, Processor, ProcessorContext, process_fn};
use streams_core::{BoxError, Data};

use super::KStream;
use super::stateless::pass_through;
use crate::graph::{Call, Graph, Keeps, Kind, NewNode, NodeId, NodeName};

/// Branches collected so far, as a tuple: the number of results is known to the compiler.
#[must_use = "end a split with `default_branch()` or `no_default_branch()`"]
pub struct Split<K, V, B> {
    graph: Graph,
    node: NodeId,
    routes: Arc<Mutex<Vec<Route<K, V>>>>,
    branches: B,
}

/// A branch, and what a record must fulfil to go there.
struct Route<K, V> {
    child: NodeId,
    predicate: Option<Predicate<K, V>>,
}

type Predicate<K, V> = Arc<dyn Fn(&K, &V) -> bool + Send + Sync>;

impl<K: Data, V: Data> KStream<K, V> {
    /// Begins a split: `let (big, small, rest) = s.split().branch(..).branch(..).default_branch();`
    ///
    /// A record goes to the first branch whose condition holds; without a default branch it is
    /// dropped if there is none. Up to eight branches.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let (big, rest) = builder
    ///     .stream::<String, i64>("amounts")
    ///     .split()
    ///     .branch(|_, amount| *amount > 1000)
    ///     .default_branch();
    /// big.to("big");
    /// rest.to("rest");
    /// ```
    #[track_caller]
    pub fn split(&self) -> Split<K, V, ()> {
        self.split_in(Call::new("split"), None)
    }

    /// As [`split`](Self::split); branches are named `prefix` and their number, or the name given
    /// to [`branch_named`](Split::branch_named).
    #[track_caller]
    pub fn split_named(&self, prefix: &str) -> Split<K, V, ()> {
        self.split_in(Call::new("split_named"), Some(prefix))
    }

    #[track_caller]
    fn split_in(&self, call: Call, prefix: Option<&str>) -> Split<K, V, ()> {
        let name = self.graph.name(prefix, &[("KSTREAM-BRANCH-", "")]);
        let routes = Arc::new(Mutex::new(Vec::new()));
        let taken = routes.clone();
        let node = NewNode::new(call, name, &[self.node], Kind::Stream).keeps(Keeps::Both).lower(
            move |lowering| {
                let routes: Vec<Route<K, V>> =
                    std::mem::take(&mut *taken.lock().unwrap_or_else(PoisonError::into_inner));
                let routes: Arc<[_]> = routes
                    .into_iter()
                    .map(|route| (lowering.name_of(route.child), route.predicate))
                    .collect();
                lowering.processor::<K, V, _, _>((), move |(), init| Splitter {
                    routes: routes
                        .iter()
                        .map(|(child, predicate)| (init.child(child), predicate.clone()))
                        .collect(),
                });
            },
        );
        let node = self.graph.add(node);
        Split { graph: self.graph.clone(), node, routes, branches: () }
    }
}

/// Sends each record to one of its children.
struct Splitter<K, V> {
    routes: Vec<(ChildHandle<K, V>, Option<Predicate<K, V>>)>,
}

impl<K: Data, V: Data> Processor for Splitter<K, V> {
    type KIn = K;
    type VIn = V;
    type KOut = K;
    type VOut = V;

    fn process(
        &mut self,
        key: K,
        value: V,
        ctx: &mut ProcessorContext<'_, K, V>,
    ) -> Result<(), BoxError> {
        let fits = |predicate: &Option<Predicate<K, V>>| {
            predicate.as_ref().is_none_or(|predicate| predicate(&key, &value))
        };
        match self.routes.iter().find(|(_, predicate)| fits(predicate)) {
            Some((child, _)) => ctx.forward_to(*child, key, value),
            None => Ok(()),
        }
    }
}

impl<K: Data, V: Data, B> Split<K, V, B> {
    /// Adds the child of one branch. Its name is the splitter's and `name`, or its number.
    #[track_caller]
    fn child(
        &self,
        call: Call,
        name: Option<&str>,
        predicate: Option<Predicate<K, V>>,
    ) -> KStream<K, V> {
        self.graph.burn("KSTREAM-BRANCH-");
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let number = if predicate.is_some() { routes.len() + 1 } else { 0 };
        let splitter = self.graph.name_of(self.node);
        let child = match name {
            Some(name) => format!("{splitter}{name}"),
            None => format!("{splitter}{number}"),
        };
        let node = NewNode::new(call, NodeName::fixed(child), &[self.node], Kind::Stream)
            .keeps(Keeps::Both)
            .lower(|lowering| {
                lowering.processor::<K, V, _, _>((), |(), _| {
                    process_fn((), Arc::new(pass_through::<K, V>))
                });
            });
        let child = self.graph.add(node);
        routes.push(Route { child, predicate });
        KStream::new(self.graph.clone(), child)
    }
}

/// One more branch for each number of branches.
macro_rules! split {
    ($($branch:ident)*) => {
        impl<K: Data, V: Data> Split<K, V, ($(split!(@ $branch K V),)*)> {
            /// Records for which `f` holds and none before it.
            #[track_caller]
            pub fn branch(
                self,
                f: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
            ) -> Split<K, V, ($(split!(@ $branch K V),)* KStream<K, V>,)> {
                let next = self.child(Call::new("branch"), None, Some(Arc::new(f)));
                let ($($branch,)*) = self.branches;
                let branches = ($($branch,)* next,);
                Split { graph: self.graph, node: self.node, routes: self.routes, branches }
            }

            /// As `branch`; the branch is named `<name of the split><name>`.
            #[track_caller]
            pub fn branch_named(
                self,
                name: &str,
                f: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
            ) -> Split<K, V, ($(split!(@ $branch K V),)* KStream<K, V>,)> {
                let next = self.child(Call::new("branch_named"), Some(name), Some(Arc::new(f)));
                let ($($branch,)*) = self.branches;
                let branches = ($($branch,)* next,);
                Split { graph: self.graph, node: self.node, routes: self.routes, branches }
            }

            /// Ends the split; records that fit no branch form the last stream.
            #[track_caller]
            pub fn default_branch(self) -> ($(split!(@ $branch K V),)* KStream<K, V>,) {
                let next = self.child(Call::new("default_branch"), None, None);
                let ($($branch,)*) = self.branches;
                ($($branch,)* next,)
            }

            /// As `default_branch`; the last stream is named `<name of the split><name>`.
            #[track_caller]
            pub fn default_branch_named(
                self,
                name: &str,
            ) -> ($(split!(@ $branch K V),)* KStream<K, V>,) {
                let next = self.child(Call::new("default_branch_named"), Some(name), None);
                let ($($branch,)*) = self.branches;
                ($($branch,)* next,)
            }

            /// Ends the split; records that fit no branch are dropped.
            pub fn no_default_branch(self) -> ($(split!(@ $branch K V),)*) {
                self.branches
            }
        }
    };
    (@ $branch:ident $key:ident $value:ident) => { KStream<$key, $value> };
}
split!();
split!(a);
split!(a b);
split!(a b c);
split!(a b c d);
split!(a b c d e);
split!(a b c d e f);
split!(a b c d e f g);
