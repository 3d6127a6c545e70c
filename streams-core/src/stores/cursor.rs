//! Iteration that may forward, write and delete between two rows.

use std::collections::VecDeque;

use super::store::{Store, StoreHandle};
use crate::error::BoxError;

/// A place in a store. It owns the rows that it has read ahead and borrows nothing, so its user
/// may write, delete and forward between two rows: `while let Some(row) = ctx.next(&mut cursor)?`.
///
/// A row written behind it is never yielded. Of what is written ahead of it, rows already read
/// ahead are yielded as they were; the others as they are when it comes to them.
pub struct Cursor<S: Store> {
    handle: StoreHandle<S>,
    walk: S::Walk,
    ahead: VecDeque<S::Row>,
}

/// Which rows a cursor yields, and where it is.
pub trait Walk: Send + 'static {
    /// The same rows from the other end. Only before the first row.
    fn reverse(&mut self);
}

impl<S: Store> Cursor<S> {
    /// A cursor over what `walk` describes.
    pub fn new(handle: StoreHandle<S>, walk: S::Walk) -> Self {
        Self { handle, walk, ahead: VecDeque::new() }
    }

    /// From the other end. To be called before the first row is taken.
    #[must_use]
    pub fn rev(mut self) -> Self {
        self.walk.reverse();
        self
    }

    pub(crate) fn handle(&self) -> StoreHandle<S> {
        self.handle
    }

    #[inline]
    pub(crate) fn next(&mut self, instance: &mut S::Instance) -> Result<Option<S::Row>, BoxError> {
        if self.ahead.is_empty() {
            S::read_ahead(instance, &mut self.walk, &mut self.ahead)?;
        }
        Ok(self.ahead.pop_front())
    }
}
