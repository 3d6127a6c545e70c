//! What lies on the disk of an instance that has ended, compared with the changelogs.

use std::collections::BTreeMap;
use std::sync::Arc;

use state_stores::{Cursor, Direction, KeyRange, StateDirectory, TaskKey};
use streams_core::client::Isolation;
use streams_core::stores::{ChangelogKind, StoreDeclaration};

use super::seeded::APPLICATION;
use super::simulation::{InstanceId, Simulation};

/// The stores that lie on disk as in their changelogs, with the time before the value.
const ROWS: &str = "timestamped-key-value";

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// I1, I2: what the engine of an instance that does not run has of a store is its changelog up to the offset that is written beside
/// it; and of the changelog nothing that was not committed.
///
/// # Panics
/// If it is not.
pub(super) fn check_disk(simulation: &Simulation, instance: InstanceId) {
    let topology = simulation.topology();
    let directory = simulation.directory(instance);
    for task in directory.tasks() {
        for store in topology.stores(task.subtopology) {
            let is_rows = store.spec().store_type == ROWS;
            if is_rows && *store.changelog() == ChangelogKind::Own {
                check_store(simulation, instance, directory, task, &store);
            }
        }
    }
}

fn check_store(
    simulation: &Simulation,
    instance: InstanceId,
    directory: &Arc<StateDirectory>,
    task: TaskKey,
    store: &StoreDeclaration,
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
        match &record.value {
            Some(value) => {
                let mut row = record.timestamp.to_be_bytes().to_vec();
                row.extend_from_slice(value);
                expected.insert(key.into_vec(), row);
            }
            None => drop(expected.remove(&*key)),
        }
    }
    let rows = rows(directory, task, store).unwrap_or_else(|error| panic!("{what}: {error}"));
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
