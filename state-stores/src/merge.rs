//! Scans over layers and an engine as if they were one ordered map.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use crate::engine::Instance;
use crate::layer::{Layer, LayerRow, LayerScan};
use crate::{Direction, KeyRange, Row, ScanEnd, StateError};

/// A batch ends early when its rows hold more than this, so that large values do not pile up.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// Appends up to `rows_max` visible rows of `range` to `out`: `layers` (newest first) hide each
/// other and the engine, deletes hide rows.
pub(crate) fn scan_merged<'a>(
    layers: impl Iterator<Item = &'a Layer>,
    instance: &dyn Instance,
    range: &KeyRange,
    direction: Direction,
    rows_max: usize,
    out: &mut Vec<Row>,
) -> Result<ScanEnd, StateError> {
    if range.is_empty() {
        return Ok(ScanEnd::Done);
    }
    let mut upper = MergedLayers::new(layers, range, direction);
    let mut batch = Batch { out, rows_left: rows_max.max(1), bytes_left: BATCH_BYTES_MAX };
    instance.scan(range, direction, &mut |key, value| {
        while let Some((layer_key, layer_value)) = upper.peek() {
            match in_direction(layer_key.cmp(key), direction) {
                Ordering::Greater => break,
                order => {
                    upper.advance();
                    batch.push(layer_key, layer_value);
                    if order == Ordering::Equal || batch.is_full() {
                        return batch.flow();
                    }
                }
            }
        }
        batch.push(key, Some(value));
        batch.flow()
    })?;
    while !batch.is_full() {
        let Some((key, value)) = upper.peek() else { return Ok(ScanEnd::Done) };
        upper.advance();
        batch.push(key, value);
    }
    let last = batch.out.last().expect("a full batch has rows");
    let rest = range.after(&last.0, direction);
    Ok(if rest.is_empty() { ScanEnd::Done } else { ScanEnd::More(rest) })
}

/// Several layers as one: the newest write per key.
struct MergedLayers<'a> {
    /// Newest first; a layer that has no further row is gone.
    heads: Vec<(LayerRow<'a>, LayerScan<'a>)>,
    direction: Direction,
}

impl<'a> MergedLayers<'a> {
    fn new(
        layers: impl Iterator<Item = &'a Layer>,
        range: &KeyRange,
        direction: Direction,
    ) -> Self {
        let heads = layers
            .filter_map(|layer| {
                let mut rows = layer.scan(range, direction);
                rows.next().map(|head| (head, rows))
            })
            .collect();
        Self { heads, direction }
    }

    /// The next key with its newest write.
    fn peek(&self) -> Option<LayerRow<'a>> {
        let mut first: Option<LayerRow<'a>> = None;
        for (head, _) in &self.heads {
            // Of equal keys the first seen, which is the newest, stays.
            let before = first.is_none_or(|first| {
                in_direction(head.0.cmp(first.0), self.direction) == Ordering::Less
            });
            if before {
                first = Some(*head);
            }
        }
        first
    }

    /// Moves all layers over the next key.
    fn advance(&mut self) {
        let Some((key, _)) = self.peek() else { return };
        self.heads.retain_mut(|(head, rows)| {
            if head.0 != key {
                return true;
            }
            match rows.next() {
                Some(next) => {
                    *head = next;
                    true
                }
                None => false,
            }
        });
    }
}

struct Batch<'a> {
    out: &'a mut Vec<Row>,
    rows_left: usize,
    bytes_left: usize,
}

impl Batch<'_> {
    fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        let Some(value) = value else { return };
        self.out.push((key.into(), value.into()));
        self.rows_left -= 1;
        self.bytes_left = self.bytes_left.saturating_sub(key.len() + value.len());
    }

    fn is_full(&self) -> bool {
        self.rows_left == 0 || self.bytes_left == 0
    }

    fn flow(&self) -> ControlFlow<()> {
        if self.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn in_direction(order: Ordering, direction: Direction) -> Ordering {
    match direction {
        Direction::Forward => order,
        Direction::Backward => order.reverse(),
    }
}
