//! Keys of rows in a column family.

use crate::KeyRange;
use crate::engine::InstanceId;

const METADATA_MARK: u8 = 0;
const DATA_MARK: u8 = 1;
/// Instance id and mark.
pub(super) const PREFIX_LEN: usize = 5;
/// Keys up to this are put together on the stack.
const SHORT_LEN: usize = 123;

/// The start of all data keys of an instance.
pub(super) fn data_prefix(id: InstanceId) -> [u8; PREFIX_LEN] {
    let [a, b, c, d] = id.0.to_be_bytes();
    [a, b, c, d, DATA_MARK]
}

/// The key of an instance's metadata row.
pub(super) fn metadata_key(id: InstanceId) -> [u8; PREFIX_LEN] {
    let [a, b, c, d] = id.0.to_be_bytes();
    [a, b, c, d, METADATA_MARK]
}

/// The first key of an instance, and the first behind it: no key is that short, so nothing lies
/// on the bound itself.
pub(super) fn instance_bounds(id: InstanceId) -> (Vec<u8>, Vec<u8>) {
    let from = id.0.to_be_bytes().to_vec();
    let to = id.0.checked_add(1).map_or(vec![u8::MAX; 5], |next| next.to_be_bytes().to_vec());
    (from, to)
}

/// Whose row `key` is.
pub(super) fn instance_of(key: &[u8]) -> Option<InstanceId> {
    key.first_chunk().map(|id| InstanceId(u32::from_be_bytes(*id)))
}

/// `range` of an instance as bounds of the family.
pub(super) fn data_bounds(prefix: [u8; PREFIX_LEN], range: &KeyRange) -> (Vec<u8>, Vec<u8>) {
    let lower = [&prefix, &*range.lower].concat();
    let upper = match &range.upper {
        Some(upper) => [&prefix, &**upper].concat(),
        None => {
            let mut end = prefix;
            end[PREFIX_LEN - 1] = DATA_MARK + 1;
            end.to_vec()
        }
    };
    (lower, upper)
}

/// Calls `with` with `prefix | key`.
pub(super) fn with_data_key<R>(
    prefix: [u8; PREFIX_LEN],
    key: &[u8],
    with: impl FnOnce(&[u8]) -> R,
) -> R {
    if key.len() > SHORT_LEN {
        return with(&[&prefix, key].concat());
    }
    let mut buffer = [0; PREFIX_LEN + SHORT_LEN];
    let len = PREFIX_LEN + key.len();
    buffer[..PREFIX_LEN].copy_from_slice(&prefix);
    buffer[PREFIX_LEN..len].copy_from_slice(key);
    with(&buffer[..len])
}
