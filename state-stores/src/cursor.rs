//! A place in a scan that is kept between batches.

use crate::{Direction, KeyRange, LayeredStore, Row, ScanEnd, StateError};

/// Walks a range in owned batches. It holds no iterator and borrows nothing, so the store may be
/// written and committed between two batches; each batch sees the store as it is then.
#[derive(Clone, Debug)]
pub struct Cursor {
    rest: ScanEnd,
    direction: Direction,
    rows_max: usize,
}

impl Cursor {
    /// Rows a batch by default: beyond it the cost of a batch is the copy, not the seek.
    pub const ROWS_MAX: usize = 512;

    /// A cursor over `range`.
    pub fn new(range: KeyRange, direction: Direction) -> Self {
        Self { rest: ScanEnd::More(range), direction, rows_max: Self::ROWS_MAX }
    }

    /// The same cursor with up to `rows_max` rows a batch; 64 suits short prefix scans.
    pub fn with_rows_max(self, rows_max: usize) -> Self {
        Self { rows_max, ..self }
    }

    /// Replaces `batch` by the next rows; `false` if there were none left.
    ///
    /// # Errors
    /// What the engine reports; the cursor stays where it was.
    pub fn next(&mut self, store: &LayeredStore, batch: &mut Vec<Row>) -> Result<bool, StateError> {
        batch.clear();
        while let ScanEnd::More(range) = &self.rest {
            self.rest = store.scan(range, self.direction, self.rows_max, batch)?;
            if !batch.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
