//! What stores with segments cost: run with `CARGO_PROFILE_DEV_OPT_LEVEL=3`.
//! Arguments: rows a segment (100,000), segments (24), segments that are kept (8).
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "a measurement")]

use std::path::Path;
use std::time::Instant;

use state_stores::{
    Attempt, Direction, KeyRange, LayeredStore, Segments, StateDirectory, StateDirectoryOptions,
    StoreMetadata, StoreNotes, StoreSpec, TaskKey,
};
use uuid::Uuid;

const SEGMENT_MS: u64 = 60_000;
const COMMIT_ROWS: u64 = 10_000;
/// One row in so many is of an earlier segment.
const LATE: u64 = 50;
const GETS: u64 = 100_000;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse().unwrap());
    let rows: u64 = arguments.next().unwrap_or(100_000);
    let segments: u64 = arguments.next().unwrap_or(24);
    let kept: u64 = arguments.next().unwrap_or(8);
    let disk = tempfile::tempdir().unwrap();
    let path = disk.path();
    let directory = StateDirectory::open(StateDirectoryOptions::new(path)).unwrap();
    let storage = directory.lease(TaskKey::new(0, 0)).unwrap();
    let retention = i64::try_from((kept - 1) * SEGMENT_MS).unwrap();
    let spec = StoreSpec::segmented("w", Segments::new(retention, SEGMENT_MS.cast_signed()));
    let mut store = storage.open_store(&spec).unwrap();

    let (mut apply, mut expiry, mut worst, mut expiries) = (0.0, 0.0, 0.0_f64, 0);
    let cpu = cpu_seconds();
    for n in (0..rows * segments).step_by(usize::try_from(COMMIT_ROWS).unwrap()) {
        write(&mut store, n, rows);
        let start = thread_seconds();
        apply_all(&mut store);
        apply += thread_seconds() - start;
        if n / rows != (n + COMMIT_ROWS) / rows {
            directory.flush_store(&spec).unwrap();
            // A layer without rows but with the next segment's time: what is left is the expiry.
            note(&mut store, n + COMMIT_ROWS, time((n / rows + 1) * rows, rows));
            let (wall, start) = (Instant::now(), thread_seconds());
            apply_all(&mut store);
            expiry += thread_seconds() - start;
            worst = worst.max(wall.elapsed().as_secs_f64());
            expiries += 1;
        }
    }
    let all = rows * segments;
    print("apply", all, apply);
    print("all of it, CPU of the process", all, cpu_seconds() - cpu);
    print("expiry of a segment", expiries, expiry);
    println!("the worst of them, wall: {:.2} ms", worst * 1e3);
    // Not one of those that were written late, under another number.
    let live = |n: u64| (all - 1 - mix(n) % (rows * (kept - 1))) / LATE * LATE + 1;
    timed("get", GETS, || {
        for n in 0..GETS {
            assert!(store.get_with(&key(live(n), rows), |value| value.is_some()).unwrap());
        }
    });
    timed("get, absent", GETS, || {
        for n in 0..GETS {
            let mut key = key(live(n), rows);
            key[9] ^= 1;
            assert!(!store.get_with(&key, |value| value.is_some()).unwrap());
        }
    });
    let mut out = Vec::new();
    timed("fetch of a key in a segment", GETS / 10, || {
        for n in 0..GETS / 10 {
            out.clear();
            let key = key(live(n), rows);
            let range = KeyRange::prefix(&key[..24]);
            store.scan(&range, Direction::Forward, 16, &mut out).unwrap();
            assert!(!out.is_empty());
        }
    });
    directory.flush_all().unwrap();
    let live_bytes = rows * kept * (32 + 4 + 32);
    println!("{} MB on disk, {} MB live", bytes_in(path) >> 20, live_bytes >> 20);
}

fn write(store: &mut LayeredStore, first: u64, rows: u64) {
    let row = |n: u64| if n.is_multiple_of(LATE) { n.saturating_sub(rows) } else { n };
    let keys = (first..first + COMMIT_ROWS).map(|n| (key(row(n), rows), Some([8; 32])));
    store.seal(Attempt(first + COMMIT_ROWS), keys);
    note(store, first + COMMIT_ROWS, time(first, rows));
}

fn note(store: &mut LayeredStore, attempt: u64, stream_time: u64) {
    let notes = StoreNotes { stream_time_ms: stream_time.cast_signed(), extra: Vec::new() };
    store.note(Attempt(attempt), notes);
    let metadata = StoreMetadata::new(Uuid::nil(), attempt.cast_signed());
    store.commit(Attempt(attempt), metadata);
}

fn apply_all(store: &mut LayeredStore) {
    let applied = store.apply().unwrap().run();
    store.finish_apply(applied).unwrap();
}

fn time(n: u64, rows: u64) -> u64 {
    n * SEGMENT_MS / rows
}

/// Segment, key of 16 bytes behind a mark, time.
fn key(n: u64, rows: u64) -> Vec<u8> {
    let time = time(n, rows);
    let mut key = (time / SEGMENT_MS).to_be_bytes().to_vec();
    key.push(0);
    key.extend_from_slice(&mix(n).to_be_bytes());
    key.extend_from_slice(&n.to_be_bytes());
    key.extend_from_slice(&time.to_be_bytes());
    key
}

fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

fn bytes_in(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => bytes_in(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Of all threads, from Linux's clock ticks.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.split(' ').collect();
    let ticks: f64 = [13, 14].iter().filter_map(|&at| fields.get(at)?.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// By the time that this thread had a processor, which a busy machine does not change.
fn timed(what: &str, rows: u64, run: impl FnOnce()) {
    let start = thread_seconds();
    run();
    print(what, rows, thread_seconds() - start);
}

#[allow(clippy::cast_precision_loss, reason = "a number to look at")]
fn thread_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns: u64 = stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or_default();
    ns as f64 / 1e9
}

fn print(what: &str, rows: u64, seconds: f64) {
    #[allow(clippy::cast_precision_loss, reason = "a number to look at")]
    let ns = seconds * 1e9 / rows as f64;
    println!("{what:30} {ns:8.0} ns/row {:10.1} ms, {rows} rows", seconds * 1e3);
}
