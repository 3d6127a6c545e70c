//! `Emitter`.

use streams_core::processor::ProcessorContext;
use streams_core::{BoxError, Data};

/// Where `flat_map` puts its results: each is forwarded at once.
pub struct Emitter<'a, T> {
    forward: &'a mut dyn FnMut(T) -> Result<(), BoxError>,
    failed: Option<BoxError>,
}

impl<'a, T> Emitter<'a, T> {
    pub(crate) fn new(forward: &'a mut dyn FnMut(T) -> Result<(), BoxError>) -> Self {
        Self { forward, failed: None }
    }

    /// Forwards one result.
    ///
    /// Once an operator below has given up the record, what is emitted afterwards goes nowhere.
    pub fn emit(&mut self, item: T) {
        if self.failed.is_none() {
            self.failed = (self.forward)(item).err();
        }
    }

    /// Forwards all results in order.
    pub fn extend(&mut self, items: impl IntoIterator<Item = T>) {
        for item in items {
            if self.failed.is_some() {
                return;
            }
            self.emit(item);
        }
    }

    fn finish(self) -> Result<(), BoxError> {
        self.failed.map_or(Ok(()), Err)
    }
}

/// Runs `f` with an emitter that forwards pairs.
pub(super) fn emit_records<K: Data, V: Data>(
    ctx: &mut ProcessorContext<'_, K, V>,
    f: impl FnOnce(&mut Emitter<'_, (K, V)>) -> Result<(), BoxError>,
) -> Result<(), BoxError> {
    let mut forward = |(key, value)| ctx.forward(key, value);
    let mut emitter = Emitter::new(&mut forward);
    let result = f(&mut emitter);
    // What went wrong below went wrong first.
    emitter.finish().and(result)
}

/// Runs `f` with an emitter that forwards values under one key.
pub(super) fn emit_values<K: Data, V: Data>(
    key: &K,
    ctx: &mut ProcessorContext<'_, K, V>,
    f: impl FnOnce(&mut Emitter<'_, V>) -> Result<(), BoxError>,
) -> Result<(), BoxError> {
    let mut forward = |value| ctx.forward(key.clone(), value);
    let mut emitter = Emitter::new(&mut forward);
    let result = f(&mut emitter);
    emitter.finish().and(result)
}
