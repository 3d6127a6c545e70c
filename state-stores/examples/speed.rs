//! What stores cost, in nanoseconds a row: run with `CARGO_PROFILE_DEV_OPT_LEVEL=3`.
//! Arguments: keys in the store (1,000,000), rows a commit (10,000), commits a layer (100).
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "a measurement")]

use std::time::Instant;

use state_stores::{
    Attempt, Cursor, Direction, KeyRange, StateDirectory, StateDirectoryOptions, StoreMetadata,
    StoreSpec, TaskKey, Write,
};
use uuid::Uuid;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse().unwrap());
    let keys: u64 = arguments.next().unwrap_or(1_000_000);
    let commit_rows: u64 = arguments.next().unwrap_or(10_000);
    let commits: u64 = arguments.next().unwrap_or(100);
    let disk = tempfile::tempdir().unwrap();
    for persistent in [true, false] {
        println!("-- {}", if persistent { "rocksdb" } else { "memory" });
        run(disk.path(), persistent, keys, commit_rows, commits);
    }
}

fn run(path: &std::path::Path, persistent: bool, keys: u64, commit_rows: u64, commits: u64) {
    let directory = StateDirectory::open(StateDirectoryOptions::new(path)).unwrap();
    let storage = directory.lease(TaskKey::new(0, 0)).unwrap();
    let spec = StoreSpec { persistent, ..StoreSpec::key_value("s") };
    let mut store = storage.open_store(&spec).unwrap();

    let mut load = store.bulk_load().unwrap();
    timed("load", keys, || {
        for n in 0..keys {
            load.push(&key(n), Some(&[7; 32]));
            if n % 1000 == 0 {
                load.checkpoint(&metadata(n)).unwrap();
            }
        }
        store.finish_load(load.finish(metadata(keys)).unwrap());
    });
    let gets = 200_000;
    timed("get, loaded", gets, || {
        for n in 0..gets {
            assert!(store.get_with(&key(mix(n) % keys), |value| value.is_some()).unwrap());
        }
    });
    timed("get, absent", gets, || {
        for n in 0..gets {
            assert!(!store.get_with(&key(keys + n), |value| value.is_some()).unwrap());
        }
    });
    let (mut seal, mut commit) = (0.0, 0.0);
    for attempt in 0..commits {
        let first = attempt * commit_rows;
        let writes: Vec<Write> = (first..first + commit_rows)
            .map(|n| (key(mix(n) % keys).into(), Some([8; 32].into())))
            .collect();
        let start = Instant::now();
        store.seal(Attempt(attempt), writes);
        seal += start.elapsed().as_secs_f64();
        let start = Instant::now();
        store.commit(Attempt(attempt), metadata(keys + first));
        commit += start.elapsed().as_secs_f64();
    }
    let rows = commits * commit_rows;
    print("seal", rows, seal);
    print("commit", rows, commit);
    timed("get, in the committed layer", gets, || {
        for n in 0..gets {
            assert!(store.get_with(&key(mix(n) % keys), |value| value.is_some()).unwrap());
        }
    });
    let job = store.apply().unwrap();
    let distinct = job.rows() as u64;
    let mut applied = None;
    timed("apply (distinct)", distinct, || applied = Some(job.run()));
    timed("finish_apply (distinct)", distinct, || {
        store.finish_apply(applied.take().unwrap()).unwrap();
    });
    timed("get, applied", gets, || {
        for n in 0..gets {
            assert!(store.get_with(&key(mix(n) % keys), |value| value.is_some()).unwrap());
        }
    });
    timed("scan", keys, || {
        let mut cursor = Cursor::new(KeyRange::all(), Direction::Forward);
        let mut batch = Vec::new();
        while cursor.next(&store, &mut batch).unwrap() {}
    });
    timed("flush", distinct, || directory.flush_all().unwrap());
}

fn key(n: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mix(n).to_be_bytes());
    key[8..].copy_from_slice(&n.to_be_bytes());
    key
}

fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

fn metadata(next_offset: u64) -> StoreMetadata {
    StoreMetadata::new(Uuid::nil(), i64::try_from(next_offset).unwrap())
}

fn timed(what: &str, rows: u64, run: impl FnOnce()) {
    let start = Instant::now();
    run();
    print(what, rows, start.elapsed().as_secs_f64());
}

fn print(what: &str, rows: u64, seconds: f64) {
    #[allow(clippy::cast_precision_loss, reason = "a number to look at")]
    let ns = seconds * 1e9 / rows as f64;
    println!("{what:30} {ns:8.0} ns/row {:10.1} ms, {rows} rows", seconds * 1e3);
}
