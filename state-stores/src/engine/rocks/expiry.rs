//! Rows of expired segments on their way out of a segmented family: whole files at once, the rest
//! when it is compacted. Readers hide them already.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::sync::{Arc, Mutex};

use rocksdb::compaction_filter::CompactionFilter;
use rocksdb::compaction_filter_factory::{CompactionFilterContext, CompactionFilterFactory};
use rocksdb::{CompactionDecision, Options};

use crate::engine::InstanceId;
use crate::engine::key::{is_metadata_segment, split_segmented};
use crate::sync::lock;

/// Files that are smaller than a segment can be deleted with it.
const FILE_BYTES: u64 = 8 << 20;
const NAME: &CStr = c"expired segments";

/// The oldest live segment by instance. Only what was committed moves it (I9).
#[derive(Default)]
pub(super) struct Watermarks {
    by_instance: Mutex<Arc<BTreeMap<InstanceId, u64>>>,
    /// Files are deleted up to here.
    floor: Mutex<u64>,
}

impl Watermarks {
    pub(super) fn set(&self, watermarks: &BTreeMap<InstanceId, u64>) {
        *lock(&self.by_instance) = Arc::new(watermarks.clone());
    }

    /// The first segment that some instance needs, if it is a later one than at the last call.
    pub(super) fn take_risen_floor(&self) -> Option<u64> {
        let floor = lock(&self.by_instance).values().copied().min()?;
        let mut before = lock(&self.floor);
        (floor > std::mem::replace(&mut *before, floor)).then_some(floor)
    }
}

/// The options of a segmented family.
pub(super) fn segmented_options(database: &Options, watermarks: &Arc<Watermarks>) -> Options {
    let mut options = database.clone();
    options.set_target_file_size_base(FILE_BYTES);
    options.set_compaction_filter_factory(ExpiredFactory(Arc::clone(watermarks)));
    options
}

struct ExpiredFactory(Arc<Watermarks>);

impl CompactionFilterFactory for ExpiredFactory {
    type Filter = Expired;

    fn create(&mut self, _: CompactionFilterContext) -> Expired {
        let live_from = Arc::clone(&lock(&self.0.by_instance));
        Expired { live_from, last: None }
    }

    fn name(&self) -> &CStr {
        NAME
    }
}

/// Drops rows of expired segments.
struct Expired {
    live_from: Arc<BTreeMap<InstanceId, u64>>,
    /// The last instance seen: its rows come in a row.
    last: Option<(InstanceId, u64)>,
}

impl CompactionFilter for Expired {
    fn filter(&mut self, _: u32, key: &[u8], _: &[u8]) -> CompactionDecision {
        let Some((segment, id, _)) = split_segmented(key) else { return CompactionDecision::Keep };
        if is_metadata_segment(segment) {
            return CompactionDecision::Keep;
        }
        let live_from = match self.last {
            Some((last, live_from)) if last == id => live_from,
            _ => self.live_from.get(&id).copied().unwrap_or(0),
        };
        self.last = Some((id, live_from));
        if segment < live_from { CompactionDecision::Remove } else { CompactionDecision::Keep }
    }

    fn name(&self) -> &CStr {
        NAME
    }
}
