//! How large the values of a store are, roughly.

use super::key_value_instance::TIMESTAMP_BYTES;
use super::typed_cache::TypedCache;
use crate::serdes::{Serde, SerdeContext, SerdeRef};

/// One write in so many is serialised to know how large values are.
const WRITES_PER_MEASURE: u32 = 32;
/// The buffer for it is kept up to this size.
const MEASURED_BYTES_KEPT: usize = 64 << 10;

/// Keeps the count of dirty bytes honest without a serialisation per write: one write in a few is
/// measured, for the others the last size known or the average has to do.
#[derive(Default)]
pub(super) struct ValueSizes {
    /// Writes since the size of a value was measured.
    writes: u32,
    measured: Vec<u8>,
    average: usize,
}

impl ValueSizes {
    /// The row was written.
    #[inline]
    pub(super) fn account<V: 'static>(
        &mut self,
        cache: &mut TypedCache<V>,
        at: u32,
        serde: &SerdeRef<V>,
        cx: &mut SerdeContext<'_>,
    ) {
        if self.writes == 0 {
            self.measure(cache, at, serde, cx);
        } else if cache.row(at).value_bytes == 0 && self.average > 0 {
            cache.set_value_bytes(at, self.average);
        }
        self.writes = (self.writes + 1) % WRITES_PER_MEASURE;
    }

    #[cold]
    fn measure<V: 'static>(
        &mut self,
        cache: &mut TypedCache<V>,
        at: u32,
        serde: &SerdeRef<V>,
        cx: &mut SerdeContext<'_>,
    ) {
        let Some(value) = &cache.row(at).value else { return };
        self.measured.clear();
        // What cannot be serialised is told when it has to be.
        if serde.serialize(value, &mut self.measured, cx).is_ok() {
            let bytes = TIMESTAMP_BYTES + self.measured.len();
            cache.set_value_bytes(at, bytes);
            let average = self.average;
            self.average = if average == 0 { bytes } else { average - average / 8 + bytes / 8 };
        }
        self.measured.shrink_to(MEASURED_BYTES_KEPT);
    }
}
