//! `KTable::suppress`: updates that are held back.

use std::sync::Arc;

use streams_core::processor::{CommittedTime, Processor, ProcessorContext, ProcessorInit};
use streams_core::stores::{
    BufferHandle, BufferStore, Buffered, Change, Held, StoreBuilder, Stores,
};
use streams_core::{BoxError, Data, Headers, Serde, SerdeContext, SerdeRef, Timestamp};

use super::suppress_queue::Queue;
use super::{KTable, Stored, stored};
use crate::graph::{Ask, Call, Keeps, Kind, NewNode, NodeName, Origin, StoreName};
use crate::options::{BufferLimits, StoreSettings, Suppressed, Until};
use crate::windows::millis;
use crate::windows::observe;

impl<K: Data, V: Data> KTable<K, V> {
    /// Holds updates back: those of a key that follow each other become one.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use streams_dsl::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// builder
    ///     .stream::<String, String>("clicks")
    ///     .group_by_key()
    ///     .windowed_by(TimeWindows::tumbling(Duration::from_secs(60)).grace(Duration::from_secs(5)))
    ///     .count("clicks-per-minute")
    ///     .suppress(Suppressed::until_window_closes(Buffer::unbounded()))
    ///     .to("final-clicks-per-minute");
    /// ```
    #[track_caller]
    pub fn suppress(&self, suppressed: Suppressed<K>) -> KTable<K, V> {
        self.suppress_in(Call::new("suppress"), suppressed)
    }

    #[track_caller]
    fn suppress_in(&self, call: Call, suppressed: Suppressed<K>) -> KTable<K, V> {
        let Suppressed { until, limits, shuts_down, name: given } = suppressed;
        let name = match &given {
            Some(name) => NodeName::fixed(name.clone()),
            None => self.graph.name(None, &[("KTABLE-SUPPRESS-", "")]),
        };
        let store_name = match given {
            Some(name) => StoreName::Given(format!("{name}-store")),
            None => self.graph.store_name(None, "KTABLE-SUPPRESS-"),
        };
        let wait = match until {
            Until::TimeLimit(limit) => millis(limit),
            Until::WindowCloses(_) => match self.graph.window_grace(self.node) {
                Some(Some(grace)) => grace,
                windows => {
                    let problem = match windows {
                        None => ", but no windowed aggregation is above it",
                        Some(_) => " that never end: UnlimitedWindows",
                    };
                    let message = format!("{call} waits for windows to close{problem}");
                    self.graph.mistake(call, message);
                    0
                }
            },
        };
        if shuts_down && (limits.records_max == Some(0) || limits.bytes_max == Some(0)) {
            let message = format!("{call}: a buffer without room is full with the first record");
            self.graph.mistake(call, message);
        }
        let end = match until {
            Until::TimeLimit(_) => None,
            Until::WindowCloses(end) => Some(end),
        };
        let settings = StoreSettings {
            logging_disabled: limits.logging_disabled,
            changelog: limits.changelog.clone(),
            ..StoreSettings::default()
        };
        let (key, value) = (self.key_serde(), self.value_serde());
        let stored = stored(&self.graph, call, key, value, settings);
        let how = How { end, wait, limits, shuts_down };
        let (buffer, store) = (stored.clone(), store_name.to_string());
        let node = NewNode::new(call, name, &[self.node], Kind::Table)
            .keeps(Keeps::Both)
            .asks(Ask { of: self.node, old: true, read: false })
            .lower(move |lowering| {
                let Some(stored) = buffer else {
                    return lowering.bug("a suppression without serdes was not refused");
                };
                let store = buffer_store(&store, &stored);
                let parent = lowering.parent_getter::<K, V>(0);
                lowering.set_getter(parent.map(|parent| parent.behind(store.clone())));
                let (name, how) = (lowering.name(0), Arc::new(how));
                lowering.processor::<K, Change<V>, _, _>(store, move |buffer, init| {
                    Suppress::new(init, buffer, &name, how.clone(), &stored)
                });
            });
        let node = self.graph.add(node);
        let stored = stored.map(|stored| Arc::new(stored) as crate::graph::ErasedStored);
        self.graph.add_table(node, Origin::Buffer, Some(store_name), stored, true);
        KTable::new(self.graph.clone(), node)
    }
}

fn buffer_store<K: Data, V: Data>(
    name: &str,
    stored: &Stored<K, V>,
) -> StoreBuilder<BufferStore<K, V>> {
    let mut store = Stores::buffer_with(name, stored.key.clone(), stored.value.clone());
    if stored.settings.logging_disabled {
        store = store.logging_disabled();
    }
    for (key, value) in &stored.settings.changelog {
        store = store.changelog_config(key, value);
    }
    store
}

/// What is held back, and for how long.
struct How<K> {
    /// When windows end, if updates wait for that.
    end: Option<fn(&K) -> Timestamp>,
    /// After the time of an update, or the end of its window, in milliseconds.
    wait: i64,
    limits: BufferLimits,
    shuts_down: bool,
}

/// Keeps the latest change of each key until its time has come.
struct Suppress<K, V> {
    buffer: BufferHandle<K, V>,
    how: Arc<How<K>>,
    key: SerdeRef<K>,
    value: SerdeRef<V>,
    /// The largest record time that was seen.
    observed: CommittedTime,
    /// Who is next; read from the store when the first record comes.
    queue: Option<Queue<K>>,
}

type Context<'a, K, V> = ProcessorContext<'a, K, Change<V>>;

impl<K: Data, V: Data> Processor for Suppress<K, V> {
    type KIn = K;
    type VIn = Change<V>;
    type KOut = K;
    type VOut = Change<V>;

    fn process(
        &mut self,
        key: K,
        change: Change<V>,
        ctx: &mut Context<'_, K, V>,
    ) -> Result<(), BoxError> {
        let observed = observe(self.observed, ctx);
        let mut queue = match self.queue.take() {
            Some(queue) => queue,
            None => self.read_queue(ctx)?,
        };
        self.hold(key, change, &mut queue, ctx)?;
        let due = observed.as_millis().saturating_sub(self.how.wait);
        while queue.first_time().is_some_and(|time| time <= due) {
            self.emit_first(&mut queue, ctx)?;
        }
        let limits = &self.how.limits;
        if self.how.shuts_down && queue.is_over(limits) {
            return Err(Full { records: queue.records(), bytes: queue.bytes() }.into());
        }
        while queue.is_over(limits) {
            self.emit_first(&mut queue, ctx)?;
        }
        self.queue = Some(queue);
        Ok(())
    }
}

impl<K: Data, V: Data> Suppress<K, V> {
    fn new(
        init: &mut ProcessorInit<'_, Self>,
        buffer: BufferHandle<K, V>,
        name: &str,
        how: Arc<How<K>>,
        stored: &Stored<K, V>,
    ) -> Self {
        let (key, value) = (stored.key.clone(), stored.value.clone());
        Self { buffer, how, key, value, observed: init.observed_time(name), queue: None }
    }

    /// Puts the change into the store: in the place of an earlier one of its key, or at its own.
    fn hold(
        &self,
        key: K,
        change: Change<V>,
        queue: &mut Queue<K>,
        ctx: &mut Context<'_, K, V>,
    ) -> Result<(), BoxError> {
        let record = ctx.record_context().clone();
        let at = ctx.wall_clock();
        let before = ctx.store(&self.buffer).get_held(&key)?.map(|(before, _)| before);
        let (time, prior) = match &before {
            Some(before) => (before.time, before.prior.clone()),
            None => {
                let time = self.how.end.map_or(record.timestamp(), |end| end(&key));
                (time, change.old.clone())
            }
        };
        let row = Buffered { time, record, prior, old: change.old, new: change.new };
        let bytes = self.bytes_of(&key)?;
        let size = self.size_of(&bytes, &row)?;
        match before {
            Some(before) => queue.resize(self.size_of(&bytes, &before)?, size),
            None => queue.push(time.as_millis(), bytes, key.clone(), size),
        }
        ctx.store(&self.buffer).put_held(&key, Some(Held::new(row)), at)?;
        Ok(())
    }

    /// Forwards the first in the queue, in the name of the record that it came from.
    fn emit_first(
        &self,
        queue: &mut Queue<K>,
        ctx: &mut Context<'_, K, V>,
    ) -> Result<(), BoxError> {
        let Some((bytes, key)) = queue.pop() else { return Ok(()) };
        let found = ctx.store(&self.buffer).get_held(&key)?;
        if let Some((row, _)) = found {
            queue.left(self.size_of(&bytes, &row)?);
            let row = row.into_inner();
            // What is final never was there for those below: that it was deleted is no news.
            if row.new.is_some() || self.how.end.is_none() {
                let change = Change::new(row.new, row.prior);
                ctx.forward_in(key.clone(), change, &row.record)?;
            }
            let at = ctx.wall_clock();
            ctx.store(&self.buffer).put_held(&key, None, at)?;
        }
        if queue.has_more_in_store() {
            self.refill(queue, ctx)?;
        }
        Ok(())
    }

    /// The queue as the store has it.
    fn read_queue(&self, ctx: &mut Context<'_, K, V>) -> Result<Queue<K>, BoxError> {
        let mut queue = Queue::new();
        let mut rows = self.buffer.all();
        while let Some((key, row)) = ctx.next(&mut rows)? {
            let bytes = self.bytes_of(&key)?;
            let size = self.size_of(&bytes, &row)?;
            queue.push(row.time.as_millis(), bytes, key, size);
        }
        Ok(queue)
    }

    /// Reads the next part of a queue that was too long for memory.
    fn refill(&self, queue: &mut Queue<K>, ctx: &mut Context<'_, K, V>) -> Result<(), BoxError> {
        queue.begin_refill();
        let mut rows = self.buffer.all();
        while let Some((key, row)) = ctx.next(&mut rows)? {
            queue.refill(row.time.as_millis(), self.bytes_of(&key)?, key);
        }
        Ok(())
    }

    fn bytes_of(&self, key: &K) -> Result<Box<[u8]>, BoxError> {
        let (mut bytes, mut headers) = (Vec::new(), Headers::new());
        self.key.serialize(key, &mut bytes, &mut SerdeContext::key("", &mut headers))?;
        Ok(bytes.into())
    }

    /// What the row counts for the limit of bytes, as the JVM counts; nothing if there is none.
    fn size_of(&self, key: &[u8], row: &Buffered<V>) -> Result<u64, BoxError> {
        if self.how.limits.bytes_max.is_none() {
            return Ok(0);
        }
        let mut headers = Headers::new();
        let mut bytes = |value: Option<&V>| -> Result<Option<Vec<u8>>, BoxError> {
            let Some(value) = value else { return Ok(None) };
            let mut out = Vec::new();
            let mut cx = SerdeContext::value("", &mut headers);
            self.value.serialize(value, &mut out, &mut cx)?;
            Ok(Some(out))
        };
        let (prior, old) = (bytes(row.prior.as_deref())?, bytes(row.old.as_deref())?);
        let new = bytes(row.new.as_deref())?;
        let length = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
        let values = length(&prior) + length(&new) + if old == prior { 0 } else { length(&old) };
        let topic = row.record.metadata().map_or(0, |from| from.topic.chars().count());
        let headers = row.record.headers().iter();
        let headers: usize =
            headers.map(|(name, value)| name.chars().count() + value.map_or(0, <[u8]>::len)).sum();
        // Besides: the place in the queue, the record's time, its offset, its partition.
        Ok((8 + key.len() + values + 8 + 8 + topic + 4 + headers) as u64)
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the buffer of suppress() is full, with {records} records of {bytes} bytes, and must not emit \
     early: give it more room, Buffer::unbounded(), or emit_early_when_full()"
)]
struct Full {
    records: u64,
    bytes: u64,
}
