//! The directory of a process: lock, ids, leases.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::{env, fs};

use common::{apply, commit, open, put, rows};
use state_stores::{StateDirectory, StateDirectoryOptions, StateError, StoreSpec, TaskKey};

const TASK: TaskKey = TaskKey::new(0, 3);
const CHILD_DIRECTORY: &str = "STATE_STORES_TEST_DIRECTORY";

/// Not a test by itself: the process that holds the lock.
#[test]
fn child_holds_the_directory() {
    let Some(path) = env::var_os(CHILD_DIRECTORY) else { return };
    let _directory = open(path.as_ref());
    println!("held");
    // Until the parent closes the pipe or kills.
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[test]
fn a_directory_that_another_process_holds_names_that_process() {
    let disk = tempfile::tempdir().unwrap();
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child_holds_the_directory", "--nocapture"])
        .env(CHILD_DIRECTORY, disk.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("held")));

    let error = StateDirectory::open(StateDirectoryOptions::new(disk.path())).err().unwrap();
    let StateError::Locked { path, pid } = &error else { panic!("{error}") };
    assert_eq!((path.as_path(), *pid), (disk.path(), Some(child.id())));
    assert!(error.to_string().contains(&format!("process {}", child.id())), "{error}");

    child.kill().unwrap();
    child.wait().unwrap();
    open(disk.path());
}

#[test]
fn two_openings_in_one_process_are_refused_too() {
    let disk = tempfile::tempdir().unwrap();
    let first = open(disk.path());
    let error = StateDirectory::open(StateDirectoryOptions::new(disk.path())).err().unwrap();
    assert!(
        matches!(error, StateError::Locked { pid: Some(pid), .. } if pid == std::process::id())
    );
    drop(first);
    open(disk.path());
}

#[test]
fn a_path_that_cannot_be_a_directory_is_named() {
    let disk = tempfile::tempdir().unwrap();
    let file = disk.path().join("file");
    fs::write(&file, "").unwrap();
    let path = file.join("state");
    let error = StateDirectory::open(StateDirectoryOptions::new(&path)).err().unwrap();
    assert!(matches!(error, StateError::Io { .. }));
    assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
}

#[test]
fn ids_are_those_of_the_directory() {
    let disk = tempfile::tempdir().unwrap();
    let directory = open(disk.path());
    let process_id = directory.process_id();
    assert_eq!(directory.member_id(1), None);
    directory.set_member_id(1, "member of one").unwrap();
    directory.set_member_id(0, "zero").unwrap();
    directory.set_member_id(0, "zero again").unwrap();
    drop(directory);

    let directory = open(disk.path());
    assert_eq!(directory.process_id(), process_id);
    assert_eq!(directory.member_id(0).as_deref(), Some("zero again"));
    assert_eq!(directory.member_id(1).as_deref(), Some("member of one"));
}

#[test]
fn a_copied_directory_is_another_process_with_the_same_state() {
    let disk = tempfile::tempdir().unwrap();
    let (original, copy) = (disk.path().join("original"), disk.path().join("copy"));
    let directory = open(&original);
    let process_id = directory.process_id();
    directory.set_member_id(0, "member").unwrap();
    let mut store = directory.lease(TASK).unwrap().open_store(&StoreSpec::key_value("s")).unwrap();
    commit(&mut store, 1, vec![put(b"k", b"v")]);
    apply(&mut store);
    drop((store, directory));
    let copied = Command::new("cp").arg("-a").arg(&original).arg(&copy).status().unwrap();
    assert!(copied.success());

    let directory = open(&copy);
    assert_ne!(directory.process_id(), process_id);
    assert_eq!(directory.member_id(0), None);
    assert_eq!(directory.tasks(), [TASK]);
    assert_eq!(open(&original).process_id(), process_id);
}

#[test]
fn files_of_interrupted_loads_are_removed() {
    let disk = tempfile::tempdir().unwrap();
    drop(open(disk.path()));
    let left = disk.path().join("ingest").join("7.sst");
    fs::write(&left, "left by a kill").unwrap();
    let _directory = open(disk.path());
    assert!(!left.exists());
}

#[test]
fn a_task_has_one_owner_until_nothing_of_it_is_left() {
    let directory = StateDirectory::in_memory();
    let leased = || {
        directory.lease(TASK).err().is_some_and(|error| {
            assert!(error.is_retriable());
            matches!(error, StateError::Leased { task: TASK })
        })
    };
    let spec = StoreSpec::key_value("s");
    let storage = directory.lease(TASK).unwrap();
    assert!(leased());
    let mut store = storage.open_store(&spec).unwrap();
    assert!(matches!(storage.open_store(&spec), Err(StateError::StoreOpen { .. })));
    storage.release();
    assert!(leased(), "the store is still open");
    commit(&mut store, 1, vec![put(b"k", b"v")]);
    let job = store.apply().unwrap();
    drop(store);
    assert!(leased(), "its last batch may still be written");
    drop(job.run());

    let store = directory.lease(TASK).unwrap().open_store(&spec).unwrap();
    assert_eq!(rows(&store).len(), 1);
    assert!(directory.lease(TaskKey::new(0, 4)).is_ok());
}

#[test]
fn tasks_and_metadata_are_known_without_a_lease() {
    let disk = tempfile::tempdir().unwrap();
    let directory = open(disk.path());
    let storage = directory.lease(TASK).unwrap();
    let mut stores =
        ["b", "a"].map(|name| storage.open_store(&StoreSpec::key_value(name)).unwrap());
    assert!(directory.tasks().is_empty(), "nothing was written yet");
    for store in &mut stores {
        commit(store, 7, vec![put(b"k", b"v")]);
        apply(store);
    }
    assert_eq!(storage.stores(), ["a", "b"]);
    drop((stores, storage, directory));

    let directory = open(disk.path());
    assert_eq!(directory.tasks(), [TASK]);
    let found = directory.store_metadata(TASK, "a").unwrap().unwrap();
    assert_eq!(found, common::metadata(7));
    assert_eq!(directory.store_metadata(TASK, "c").unwrap(), None);
    directory.remove_task(TASK).unwrap();
    assert!(directory.tasks().is_empty());
    drop(directory);
    assert!(open(disk.path()).tasks().is_empty());
}

#[test]
fn an_application_without_state_opens_no_database() {
    let disk = tempfile::tempdir().unwrap();
    let directory = open(disk.path());
    let storage = directory.lease(TASK).unwrap();
    let in_memory = StoreSpec::key_value("s").in_memory();
    commit(&mut storage.open_store(&in_memory).unwrap(), 1, vec![put(b"k", b"v")]);
    assert!(directory.tasks().is_empty() && directory.flush_due(0).is_empty());
    assert!(!disk.path().join("db").exists());
}
