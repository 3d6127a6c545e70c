//! What lies on the disk of an instance that has ended, compared with the changelogs.

use std::collections::BTreeMap;
use std::sync::Arc;

use state_stores::{Cursor, Direction, KeyRange, Segments, StateDirectory, StoreSpec, TaskKey};
use streams_core::client::Isolation;
use streams_core::stores::{ChangelogKind, StoreDeclaration};
use streams_core::task::global_positions;

use super::seeded::APPLICATION;
use super::simulation::{InstanceId, Simulation};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// How the records of a changelog lie on the disk, by the type of the store.
#[derive(Clone, Copy)]
enum Layout {
    /// By the record's key.
    Keys,
    /// By the segment of the time in the record's key; what has expired may be gone.
    Segments {
        segments: Segments,
        /// Bytes of the record's key behind the time.
        rest_len: usize,
        has_timestamp: bool,
    },
}

impl Layout {
    /// `None` if rows of that type are no records of the changelog.
    fn of(spec: &StoreSpec) -> Option<Self> {
        let segmented = |rest_len, has_timestamp| {
            spec.segments.map(|segments| Self::Segments { segments, rest_len, has_timestamp })
        };
        match spec.store_type.as_str() {
            "timestamped-key-value" => Some(Self::Keys),
            "timestamped-window" => segmented(4, true),
            "window-with-duplicates" => segmented(4, false),
            "session" => segmented(8, false),
            _ => None,
        }
    }

    fn row(self, key: &[u8], value: &[u8], timestamp: i64) -> (Vec<u8>, Vec<u8>) {
        let with_timestamp = || [&timestamp.to_be_bytes(), value].concat();
        match self {
            Self::Keys => (key.to_vec(), with_timestamp()),
            Self::Segments { segments, rest_len, has_timestamp } => {
                let (_, tail) = key.split_at(key.len() - rest_len - 8);
                let time = i64::from_be_bytes(*tail.first_chunk().expect("a time is 8 bytes"));
                let row = [&segments.segment(time).to_be_bytes(), &[0][..], key].concat();
                (row, if has_timestamp { with_timestamp() } else { value.to_vec() })
            }
        }
    }

    /// Leaves out what has expired, and the index by time.
    fn retain_visible(self, rows: &mut Rows, stream_time_ms: i64) {
        let Self::Segments { segments, .. } = self else { return };
        let oldest = segments.oldest_live(stream_time_ms).to_be_bytes();
        rows.retain(|row, _| row[..8] >= oldest[..] && row[8] == 0);
    }
}

/// I1, I2: what the engine of an instance that does not run has of a store is its changelog up to the offset that is written beside
/// it; and of the changelog nothing that was not committed.
///
/// # Panics
/// If it is not.
pub(super) fn check_disk(simulation: &Simulation, instance: InstanceId) {
    check_globals(simulation, instance);
    let topology = simulation.topology();
    let directory = simulation.directory(instance);
    for task in directory.tasks() {
        for store in topology.stores(task.subtopology) {
            if let Some(layout) = Layout::of(store.spec())
                && *store.changelog() == ChangelogKind::Own
            {
                check_store(simulation, instance, directory, task, &store, layout);
            }
        }
    }
}

/// I2: as [`check_disk`], of the global tables.
fn check_globals(simulation: &Simulation, instance: InstanceId) {
    simulation.release_globals(instance);
    let (topology, directory) = (simulation.topology(), simulation.directory(instance));
    let stores = topology.global_subtopologies().flat_map(|number| topology.stores(number));
    for store in stores {
        let ChangelogKind::SourceTopic(topic) = store.changelog() else { continue };
        let what = format!("global store {} on the disk of {instance:?}", store.name());
        let metadata = directory.store_metadata(TaskKey::GLOBAL, store.name());
        let metadata = metadata.unwrap_or_else(|error| panic!("{what}: {error}"));
        let Some(metadata) = metadata else { continue };
        let mut expected = Rows::new();
        for (position, partition) in global_positions(&metadata).into_iter().zip(0..) {
            let records = simulation.cluster().read(topic, partition, 0, Isolation::ReadCommitted);
            for (_, record) in records.into_iter().filter(|(offset, _)| *offset < position) {
                let Some(key) = record.key.clone() else { continue };
                let value = record.value.as_deref().unwrap_or(&[]);
                let (row, value) = Layout::Keys.row(&key, value, record.timestamp);
                match &record.value {
                    Some(_) => drop(expected.insert(row, value)),
                    None => drop(expected.remove(&row)),
                }
            }
        }
        let rows = rows(directory, TaskKey::GLOBAL, &store);
        let rows = rows.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(
            rows == expected,
            "{what} is not its topic:\n  {rows:?}\ninstead of\n  {expected:?}"
        );
    }
}

fn check_store(
    simulation: &Simulation,
    instance: InstanceId,
    directory: &Arc<StateDirectory>,
    task: TaskKey,
    store: &StoreDeclaration,
    layout: Layout,
) {
    let what = format!("store {} of task {task} on the disk of {instance:?}", store.name());
    let metadata = directory.store_metadata(task, store.name());
    let metadata = metadata.unwrap_or_else(|error| panic!("{what}: {error}"));
    let Some(metadata) = metadata else { return };
    let changelog = store.changelog_topic(APPLICATION).expect("it has a changelog of its own");
    let partition = task.partition;
    let cluster = simulation.cluster();
    let stable = cluster.end_offset(&changelog, partition, Isolation::ReadCommitted).unwrap_or(0);
    let end = cluster.end_offset(&changelog, partition, Isolation::ReadUncommitted).unwrap_or(0);
    assert!(metadata.next_offset <= end, "{what} is ahead of its changelog: {metadata:?}, {end}");
    if metadata.next_offset > stable {
        // A zombie has opened a transaction below what was committed since. What lies here is
        // looked at again when that has ended.
        return;
    }
    let mut expected = Rows::new();
    for (offset, record) in cluster.read(&changelog, partition, 0, Isolation::ReadCommitted) {
        let Some(key) = record.key.clone().filter(|_| offset < metadata.next_offset) else {
            continue;
        };
        let (row, value) =
            layout.row(&key, record.value.as_deref().unwrap_or(&[]), record.timestamp);
        match &record.value {
            Some(_) => drop(expected.insert(row, value)),
            None => drop(expected.remove(&row)),
        }
    }
    let rows = rows(directory, task, store);
    let mut rows = rows.unwrap_or_else(|error| panic!("{what}: {error}"));
    layout.retain_visible(&mut rows, metadata.stream_time_ms);
    layout.retain_visible(&mut expected, metadata.stream_time_ms);
    assert!(
        rows == expected,
        "{what} is not its changelog up to {}:\n  {rows:?}\ninstead of\n  {expected:?}",
        metadata.next_offset
    );
}

fn rows(
    directory: &Arc<StateDirectory>,
    task: TaskKey,
    store: &StoreDeclaration,
) -> Result<Rows, state_stores::StateError> {
    let store = directory.lease(task)?.open_store(store.spec())?;
    let mut cursor = Cursor::new(KeyRange::all(), Direction::Forward);
    let (mut rows, mut batch) = (Rows::new(), Vec::new());
    while cursor.next(&store, &mut batch)? {
        rows.extend(batch.drain(..).map(|row| (row.0.into_vec(), row.1.into_vec())));
    }
    Ok(rows)
}
