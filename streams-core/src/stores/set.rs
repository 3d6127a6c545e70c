//! What a processor is connected to.

use std::any::TypeId;
use std::sync::Arc;

use super::builder::{StoreBuilder, StoreDeclaration};
use super::store::{Store, StoreHandle};

/// The stores of a processor: `()`, a store, a table (read-only), or a tuple of these. The
/// supplier gets the handles in the same shape.
///
/// A set is opened twice: when the topology is built it names its stores
/// ([`connect`](StoreSet::connect)), and whenever a task is wired the function that it returned
/// then makes the handles from the slots of these stores.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a store, or a tuple of stores",
    label = "expected `()`, a `StoreBuilder`, `&KTable`, `&GlobalKTable`, or a tuple of these",
    note = "declare a store with `Stores::key_value::<K, V>(\"name\")`; a name alone has no types"
)]
pub trait StoreSet {
    /// What the supplier gets.
    type Handles: Clone + Send + 'static;

    /// Names the stores, and tells how handles are made.
    fn connect(self, connections: &mut StoreConnections) -> HandleMaker<Self::Handles>;
}

/// Makes handles when a task is wired.
pub type HandleMaker<H> = Arc<dyn Fn(&WiredStores<'_>) -> H + Send + Sync>;

/// The stores that a processor named so far.
#[derive(Clone, Default)]
pub struct StoreConnections {
    pub(crate) stores: Vec<Connection>,
}

#[derive(Clone)]
pub(crate) enum Connection {
    /// Declared here.
    Declared(Arc<StoreDeclaration>),
    /// Declared elsewhere: its name, asked for when the processor is added, and its type.
    Named { name: Arc<dyn Fn() -> Arc<str> + Send + Sync>, instance: TypeId },
}

impl StoreConnections {
    /// Connects a declared store; the answer is its place for [`WiredStores::handle`].
    pub fn declare<S>(&mut self, store: &StoreBuilder<S>) -> usize {
        self.push(Connection::Declared(store.declaration().clone()))
    }

    /// Connects a store that is declared elsewhere. Its name is asked for when the processor is
    /// added to the topology's builder; a name that nobody declares is an error of `build()`.
    pub fn named<S: Store>(
        &mut self,
        name: impl Fn() -> Arc<str> + Send + Sync + 'static,
    ) -> usize {
        let instance = TypeId::of::<S::Instance>();
        self.push(Connection::Named { name: Arc::new(name), instance })
    }

    fn push(&mut self, connection: Connection) -> usize {
        self.stores.push(connection);
        self.stores.len() - 1
    }
}

/// The slots of a processor's stores, in the order in which they were connected.
pub struct WiredStores<'a> {
    pub(crate) slots: &'a [u32],
}

impl WiredStores<'_> {
    /// The handle of the store at that place of the processor's connections.
    pub fn handle<S: Store>(&self, place: usize) -> StoreHandle<S> {
        StoreHandle::new(self.slots[place])
    }
}

/// A set that was opened already: for whoever adds the processor later than it got the set.
pub struct ConnectedStores<H> {
    connections: StoreConnections,
    handles: HandleMaker<H>,
}

impl<H> ConnectedStores<H> {
    /// Opens a set.
    pub fn new<S: StoreSet<Handles = H>>(stores: S) -> Self {
        let mut connections = StoreConnections::default();
        let handles = stores.connect(&mut connections);
        Self { connections, handles }
    }
}

impl<H> Clone for ConnectedStores<H> {
    fn clone(&self) -> Self {
        Self { connections: self.connections.clone(), handles: self.handles.clone() }
    }
}

impl<H: Clone + Send + 'static> StoreSet for ConnectedStores<H> {
    type Handles = H;

    fn connect(self, connections: &mut StoreConnections) -> HandleMaker<H> {
        let first = connections.stores.len();
        connections.stores.extend(self.connections.stores);
        let handles = self.handles;
        if first == 0 {
            return handles;
        }
        Arc::new(move |stores| handles(&WiredStores { slots: &stores.slots[first..] }))
    }
}

impl StoreSet for () {
    type Handles = ();

    fn connect(self, _: &mut StoreConnections) -> HandleMaker<()> {
        Arc::new(|_| ())
    }
}

impl<S: Store> StoreSet for &StoreBuilder<S> {
    type Handles = StoreHandle<S>;

    fn connect(self, connections: &mut StoreConnections) -> HandleMaker<StoreHandle<S>> {
        let place = connections.declare(self);
        Arc::new(move |stores| stores.handle(place))
    }
}

impl<S: Store> StoreSet for StoreBuilder<S> {
    type Handles = StoreHandle<S>;

    fn connect(self, connections: &mut StoreConnections) -> HandleMaker<StoreHandle<S>> {
        (&self).connect(connections)
    }
}

impl<T: StoreSet> StoreSet for Vec<T> {
    type Handles = Vec<T::Handles>;

    fn connect(self, connections: &mut StoreConnections) -> HandleMaker<Vec<T::Handles>>
    where
        T::Handles: 'static,
    {
        let makers: Vec<_> = self.into_iter().map(|stores| stores.connect(connections)).collect();
        Arc::new(move |stores| makers.iter().map(|make| make(stores)).collect())
    }
}

macro_rules! store_tuples {
    ($(($($set:ident),+)),+) => { $(
        impl<$($set: StoreSet),+> StoreSet for ($($set,)+) {
            type Handles = ($($set::Handles,)+);

            #[allow(non_snake_case, reason = "one name for the type and its value")]
            fn connect(self, connections: &mut StoreConnections) -> HandleMaker<Self::Handles> {
                let ($($set,)+) = self;
                $(let $set = $set.connect(connections);)+
                Arc::new(move |stores| ($($set(stores),)+))
            }
        }
    )+ };
}
store_tuples!((A), (A, B), (A, B, C), (A, B, C, D), (A, B, C, D, E), (A, B, C, D, E, F));
