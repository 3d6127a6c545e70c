//! The active layer of a store and its cache: one slab of rows with typed values, found by the
//! bytes of their keys.
//!
//! A row is *clean* (as the layers below have it, absence included) or *dirty* (written since the
//! last seal). Clean rows stay until the byte budget needs their room (CLOCK: a row that was used
//! since the hand passed is spared once); dirty rows stay until they are sealed. Nothing here
//! forwards.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, Hasher};
use std::ops::Bound;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Place;

use super::held::Held;
use crate::record::RecordContext;
use crate::serdes::Bytes;

/// What a row costs beyond key and value: its place in the slab, in the index, and allocations.
const ROW_OVERHEAD_BYTES: usize = 48;

/// Rows of one store, typed values by key bytes.
pub(super) struct TypedCache<V> {
    rows: Vec<Row<V>>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: FixedState,
    /// In the order in which they became dirty.
    dirty: Vec<u32>,
    /// The dirty rows by key: built when a cursor first asks, kept from then on.
    ordered: Option<BTreeMap<Bytes, u32>>,
    /// Rows with a change put aside, in the order of their last writes, as in the JVM's caches.
    /// Those whose turn is not their last have no meaning any more.
    emissions: VecDeque<(u32, u64)>,
    /// How many rows have a change put aside.
    aside_count: usize,
    next_turn: u64,
    hand: usize,
    bytes: usize,
    dirty_bytes: usize,
}

/// One row. `value` is what the store has now.
pub(super) struct Row<V> {
    hash: u64,
    // Short keys lie in the row: a look at another place in memory costs more than all the rest.
    pub(super) key: Bytes,
    pub(super) value: Option<Held<V>>,
    /// Of the last write, deletes included.
    pub(super) timestamp: i64,
    /// Bytes of the value when it was last serialised or read, or a guess; for accounting.
    pub(super) value_bytes: u32,
    /// What the layers below have.
    pub(super) base: Base,
    dirty: bool,
    /// Used since the hand passed.
    referenced: bool,
    occupied: bool,
    /// A change that was not forwarded yet.
    pub(super) aside: Option<Box<Aside<V>>>,
}

/// What the layers below have for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// Nobody looked.
    Unread,
    Absent,
    Present,
}

/// A change that waits for the commit: what was forwarded last, and by which record the row was
/// written last.
pub(super) struct Aside<V> {
    pub(super) emitted: Option<Held<V>>,
    pub(super) record: RecordContext,
    turn: u64,
}

impl<V> TypedCache<V> {
    pub(super) fn new() -> Self {
        Self {
            rows: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher: FixedState::default(),
            dirty: Vec::new(),
            ordered: None,
            emissions: VecDeque::new(),
            aside_count: 0,
            next_turn: 0,
            hand: 0,
            bytes: 0,
            dirty_bytes: 0,
        }
    }

    /// The hash of a key, for [`find`](Self::find) and [`insert`](Self::insert).
    #[inline]
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        hasher.finish()
    }

    /// The row of a key. Marks it as used.
    #[inline]
    pub(super) fn find(&mut self, hash: u64, key: &[u8]) -> Option<u32> {
        let rows = &self.rows;
        let at = *self.index.find(hash, |&at| {
            let row = &rows[at as usize];
            row.hash == hash && *row.key == *key
        })?;
        self.rows[at as usize].referenced = true;
        Some(at)
    }

    /// A clean row for a key that has none.
    pub(super) fn insert(
        &mut self,
        hash: u64,
        key: &[u8],
        value: Option<Held<V>>,
        timestamp: i64,
        value_bytes: usize,
        base: Base,
    ) -> u32 {
        let row = Row {
            hash,
            key: key.into(),
            value,
            timestamp,
            value_bytes: u32::try_from(value_bytes).unwrap_or(u32::MAX),
            base,
            dirty: false,
            referenced: true,
            occupied: true,
            aside: None,
        };
        self.bytes += row.bytes();
        let at = match self.free.pop() {
            Some(at) => {
                self.rows[at as usize] = row;
                at
            }
            None => {
                self.rows.push(row);
                u32::try_from(self.rows.len() - 1).expect("a cache of 2^32 rows fits no memory")
            }
        };
        let rows = &self.rows;
        match self.index.entry(hash, |_| false, |&other| rows[other as usize].hash) {
            Place::Vacant(place) => place.insert(at),
            Place::Occupied(_) => unreachable!("nothing is equal to a new row"),
        };
        at
    }

    #[inline]
    pub(super) fn row(&self, at: u32) -> &Row<V> {
        &self.rows[at as usize]
    }

    /// Whether the row was written since the last seal.
    #[inline]
    pub(super) fn is_row_dirty(&self, at: u32) -> bool {
        self.rows[at as usize].dirty
    }

    /// For writing: the row is dirty from now on.
    #[inline]
    pub(super) fn row_to_write(&mut self, at: u32) -> &mut Row<V> {
        let row = &mut self.rows[at as usize];
        if !row.dirty {
            row.dirty = true;
            self.dirty_bytes += row.bytes();
            self.dirty.push(at);
            if let Some(ordered) = &mut self.ordered {
                ordered.insert(row.key.clone(), at);
            }
        }
        row
    }

    /// Accounts a dirty row's value with `value_bytes`.
    pub(super) fn set_value_bytes(&mut self, at: u32, value_bytes: usize) {
        let row = &mut self.rows[at as usize];
        let before = row.bytes();
        row.value_bytes = u32::try_from(value_bytes).unwrap_or(u32::MAX);
        let after = row.bytes();
        self.bytes = self.bytes - before + after;
        if row.dirty {
            self.dirty_bytes = self.dirty_bytes - before + after;
        }
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    pub(super) fn dirty_bytes(&self) -> usize {
        self.dirty_bytes
    }

    pub(super) fn dirty_rows(&self) -> impl Iterator<Item = &Row<V>> {
        self.dirty.iter().map(|&at| &self.rows[at as usize])
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes all rows clean, in the order in which they became dirty. `write` gets each of them, with
    /// its place, and returns the size of its value as bytes.
    pub(super) fn seal<E>(
        &mut self,
        mut write: impl FnMut(u32, &Row<V>) -> Result<usize, E>,
    ) -> Result<(), E> {
        for at in std::mem::take(&mut self.dirty) {
            let row = &mut self.rows[at as usize];
            let before = row.bytes();
            let value_bytes = write(at, row)?;
            row.value_bytes = u32::try_from(value_bytes).unwrap_or(u32::MAX);
            row.base = if row.value.is_some() { Base::Present } else { Base::Absent };
            row.dirty = false;
            self.bytes = self.bytes - before + row.bytes();
        }
        self.dirty_bytes = 0;
        if let Some(ordered) = &mut self.ordered {
            ordered.clear();
        }
        Ok(())
    }

    /// The dirty rows of a range, by key.
    pub(super) fn dirty_range(
        &mut self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = (&[u8], &Row<V>)> {
        let (rows, dirty) = (&self.rows, &self.dirty);
        let ordered = self.ordered.get_or_insert_with(|| {
            dirty.iter().map(|&at| (rows[at as usize].key.clone(), at)).collect()
        });
        ordered.range::<[u8], _>((from, to)).map(|(key, &at)| (key.as_slice(), &rows[at as usize]))
    }

    /// Puts a row's change aside. `emitted` is what was forwarded last, if nothing was aside yet.
    pub(super) fn put_aside(&mut self, at: u32, emitted: Option<Held<V>>, record: &RecordContext) {
        let turn = match self.emissions.back() {
            Some(&(last, turn)) if last == at => turn,
            _ => {
                self.next_turn += 1;
                self.emissions.push_back((at, self.next_turn));
                self.next_turn
            }
        };
        match &mut self.rows[at as usize].aside {
            Some(aside) => (aside.record, aside.turn) = (record.clone(), turn),
            aside => {
                *aside = Some(Box::new(Aside { emitted, record: record.clone(), turn }));
                self.aside_count += 1;
            }
        }
        if self.emissions.len() > 2 * self.aside_count + 64 {
            let Self { emissions, rows, .. } = self;
            emissions.retain(|&(at, turn)| {
                rows[at as usize].aside.as_ref().is_some_and(|aside| aside.turn == turn)
            });
        }
    }

    /// The next row with a change put aside, and the change.
    pub(super) fn take_aside(&mut self) -> Option<(u32, Aside<V>)> {
        while let Some((at, turn)) = self.emissions.pop_front() {
            let row = &mut self.rows[at as usize];
            if let Some(aside) = row.aside.take_if(|aside| aside.turn == turn) {
                self.aside_count -= 1;
                return Some((at, *aside));
            }
        }
        None
    }

    pub(super) fn has_aside(&self) -> bool {
        !self.emissions.is_empty()
    }

    /// Drops clean rows until at most `bytes_max` are held or only dirty rows are left.
    pub(super) fn evict(&mut self, bytes_max: usize) {
        // Each row is passed twice at most: spared once, then dropped or found dirty.
        let mut steps = 2 * self.rows.len();
        while self.bytes > bytes_max && steps > 0 {
            steps -= 1;
            self.hand = if self.hand + 1 >= self.rows.len() { 0 } else { self.hand + 1 };
            let row = &mut self.rows[self.hand];
            if !row.occupied || row.dirty || row.aside.is_some() {
                continue;
            }
            if row.referenced {
                row.referenced = false;
                continue;
            }
            self.remove(self.hand);
        }
    }

    /// Drops the row of a key, if it is clean.
    pub(super) fn forget(&mut self, key: &[u8]) {
        let hash = self.hash(key);
        if let Some(at) = self.find(hash, key)
            && !self.rows[at as usize].dirty
            && self.rows[at as usize].aside.is_none()
        {
            self.remove(at as usize);
        }
    }

    fn remove(&mut self, at: usize) {
        let row = &mut self.rows[at];
        self.bytes -= row.bytes();
        let hash = row.hash;
        row.occupied = false;
        row.key = Bytes::new();
        row.value = None;
        if let Ok(place) = self.index.find_entry(hash, |&other| other as usize == at) {
            place.remove();
        }
        self.free.push(u32::try_from(at).expect("places are made from u32"));
    }
}

impl<V> Row<V> {
    /// Memory held, roughly: the encoded size stands for what the value owns.
    fn bytes(&self) -> usize {
        size_of::<Self>() + ROW_OVERHEAD_BYTES + self.key.len() + self.value_bytes as usize
    }
}
