//! What a test sees of window, session and versioned stores.

use std::sync::Arc;
use std::time::Duration;

use streams_core::processor::{ProcessorContext, process_fn};
use streams_core::stores::{
    Held, SessionHandle, Stores, VersionedHandle, VersionedRecord, WindowHandle,
};
use streams_core::topology::{Node, Topology};
use streams_core::windowed::{SessionWindow, TimeWindow, Windowed};
use streams_core::{BoxError, Timestamp};
use streams_test::TopologyTestDriver;

type Handles =
    (WindowHandle<String, i64>, SessionHandle<String, i64>, VersionedHandle<String, i64>);

fn put_everywhere(
    (windows, sessions, versions): &Handles,
    key: String,
    value: i64,
    ctx: &mut ProcessorContext<'_, String, i64>,
) -> Result<(), BoxError> {
    let now = ctx.timestamp();
    let start = Timestamp::from_millis(now.as_millis() / 10 * 10);
    let written = ctx.store(windows).update_held(&key, start, |sum, time| {
        let old = sum.as_deref().copied().unwrap_or(0);
        *sum = Some(Held::new(old + value));
        *time = now;
    })?;
    assert!(!written.is_expired());
    let session = SessionWindow { start: now, end: now };
    let written = ctx.store(sessions).put(&key, session, Some(Held::new(value)))?;
    assert!(!written.is_expired());
    let written = ctx.store(versions).put(&key, Some(&value), now)?;
    assert!(!written.is_expired());
    Ok(())
}

fn driver() -> TopologyTestDriver {
    let hour = Duration::from_secs(3_600);
    let stores = (
        Stores::window::<String, i64>("windows", hour, Duration::from_millis(10)),
        Stores::session::<String, i64>("sessions", hour),
        Stores::versioned::<String, i64>("versions", hour),
    );
    let mut builder = Topology::builder();
    let source: Node<String, i64> = builder.add_source("source", "in");
    let _: Node<String, i64> =
        builder.add_processor("processor", &[&source], stores, |stores: Handles, _| {
            process_fn(stores, Arc::new(put_everywhere))
        });
    TopologyTestDriver::new(&builder.build().expect("the topology is complete"))
}

#[test]
fn tests_look_into_windowed_stores() {
    let driver = driver();
    let input = driver.input::<String, i64>("in");
    input.pipe_at("a", 1, 12);
    input.pipe_at("a", 2, 15);
    input.pipe_at("b", 5, 21);

    let windows = driver.window_store::<String, i64>("windows");
    let window = |start| TimeWindow::from_millis(start, start + 10);
    assert_eq!(windows.fetch("a", 10), Some(3));
    assert_eq!(windows.fetch_with_timestamp("a", 10), Some((3, Timestamp::from_millis(15))));
    assert_eq!(windows.fetch("a", 20), None);
    assert!(windows.put("a", 20, 7));
    assert_eq!(windows.fetch_range("a", ..).0, [(window(10), 3), (window(20), 7)]);
    let keyed = |key: &str, start| Windowed::new(key.to_owned(), window(start));
    assert_eq!(windows.all().0, [(keyed("a", 10), 3), (keyed("a", 20), 7), (keyed("b", 20), 5)]);

    let sessions = driver.session_store::<String, i64>("sessions");
    let session = SessionWindow::from_millis;
    assert_eq!(sessions.fetch("a").0, [(session(12, 12), 1), (session(15, 15), 2)]);
    assert_eq!(sessions.find_sessions("a", 13, 20).0, [(session(15, 15), 2)]);
    assert_eq!(sessions.fetch_session("b", 21, 21), Some(5));
    assert!(sessions.put("c", session(1, 9), 4));
    assert_eq!(sessions.all().len(), 4);

    let versions = driver.versioned_store::<String, i64>("versions");
    let from = |value, timestamp, valid_to: Option<i64>| {
        let valid_to = valid_to.map(Timestamp::from_millis);
        Some(VersionedRecord { value, timestamp: Timestamp::from_millis(timestamp), valid_to })
    };
    assert_eq!(versions.get("a"), from(2, 15, None));
    assert_eq!(versions.get_as_of("a", 14), from(1, 12, Some(15)));
    assert_eq!(versions.get_as_of("a", 11), None);
    assert!(versions.put("b", None, 22));
    assert_eq!(versions.all(), [("a", 2)]);
}

#[test]
#[should_panic(expected = "there is no store `windows` of that type")]
fn a_store_of_another_kind_is_named() {
    let _ = driver().session_store::<String, i64>("windows");
}
