//! How the arena is made from factories. The one file that erases types: factories are untyped,
//! entries lie here as `Any` until the edges to them are made, and a mismatch cannot be, because
//! [`Node`](crate::topology::Node) handles have the types of what they forward.

use std::any::Any;
use std::sync::Arc;

use super::node::{Edge, Enter, Node, Wired, enter};
use super::task_state::TaskState;
use super::timers::Timers;
use crate::processor::{Processor, ProcessorInit};
use crate::stores::{HandleMaker, WiredStores};

/// Makes a node of the arena for one task.
pub(crate) type NodeFactory = Arc<dyn Fn(&mut Wiring<'_>) -> Box<dyn Node> + Send + Sync>;

/// An arena in the making: nodes are made from the last to the first, children before parents.
pub(crate) struct Wiring<'a> {
    /// The node in hand.
    at: usize,
    /// By node, once made: its `Enter<KIn, VIn>`.
    entries: Vec<Option<Box<dyn Any + Send>>>,
    /// By node.
    children: &'a [Vec<usize>],
    /// A topic's name as the broker knows it.
    decorate: &'a dyn Fn(&Arc<str>) -> Arc<str>,
    state: &'a mut TaskState,
    timers: &'a mut Timers,
}

/// Makes all nodes of an arena. `children` is by place in the arena.
pub(super) fn wire<'a>(
    factories: &[NodeFactory],
    children: &'a [Vec<usize>],
    decorate: &'a dyn Fn(&Arc<str>) -> Arc<str>,
    state: &'a mut TaskState,
    timers: &'a mut Timers,
) -> (Vec<Box<dyn Node>>, Entries) {
    let entries = factories.iter().map(|_| None).collect();
    let mut wiring = Wiring { at: 0, entries, children, decorate, state, timers };
    let mut nodes: Vec<Box<dyn Node>> = Vec::with_capacity(factories.len());
    for (at, factory) in factories.iter().enumerate().rev() {
        wiring.at = at;
        wiring.state.enter_node(at);
        nodes.push(factory(&mut wiring));
    }
    nodes.reverse();
    (nodes, Entries(wiring.entries))
}

/// How each node is entered.
pub(crate) struct Entries(Vec<Option<Box<dyn Any + Send>>>);

impl Entries {
    /// How the node at that place is entered. It takes `K` and `V`.
    pub(crate) fn of<K: 'static, V: 'static>(&self, node: usize) -> Enter<K, V> {
        entry(&self.0, node)
    }
}

impl Wiring<'_> {
    /// The node in hand, from its processor.
    pub(crate) fn node<P: Processor>(
        &mut self,
        make: impl FnOnce(&mut ProcessorInit<'_, P>) -> P,
    ) -> Box<dyn Node> {
        let children = &self.children[self.at];
        let names: Vec<Arc<str>> =
            children.iter().map(|&child| self.state.node_names[child].clone()).collect();
        let mut init = ProcessorInit {
            node: self.at,
            state: self.state,
            timers: self.timers,
            punctuators: Vec::new(),
            children: &names,
        };
        let processor = make(&mut init);
        let punctuators = init.punctuators;
        let edge = |&child: &usize| Edge {
            offset: child - self.at - 1,
            enter: entry::<P::KOut, P::VOut>(&self.entries, child),
        };
        let children = children.iter().map(edge).collect();
        self.entries[self.at] = Some(Box::new(enter::<P> as Enter<P::KIn, P::VIn>));
        Box::new(Wired { index: self.at, processor, children, punctuators })
    }

    /// A topic's name as the broker knows it.
    pub(crate) fn decorated(&self, topic: &Arc<str>) -> Arc<str> {
        (self.decorate)(topic)
    }

    /// The slots of the stores that the node in hand uses, by name.
    pub(crate) fn store_slots(&mut self, stores: &[Arc<str>]) -> Vec<u32> {
        let slots: Vec<_> = stores.iter().map(|store| self.state.store_slot(store)).collect();
        slots.iter().for_each(|&slot| self.state.use_store(slot));
        slots
    }
}

fn entry<K: 'static, V: 'static>(
    entries: &[Option<Box<dyn Any + Send>>],
    node: usize,
) -> Enter<K, V> {
    let entry = entries[node].as_ref().expect("children are made before their parents");
    *entry.downcast_ref().expect("a node forwards what its children take: their handles say so")
}

/// Makes a processor and connects it to its stores.
pub(crate) fn processor_factory<H: 'static, P: Processor>(
    (stores, handles): (Vec<Arc<str>>, HandleMaker<H>),
    supplier: impl Fn(H, &mut ProcessorInit<'_, P>) -> P + Send + Sync + 'static,
) -> NodeFactory {
    Arc::new(move |wiring| {
        let slots = wiring.store_slots(&stores);
        let handles = handles(&WiredStores { slots: &slots });
        wiring.node(|init| supplier(handles, init))
    })
}
