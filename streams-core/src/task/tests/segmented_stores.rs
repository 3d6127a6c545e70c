//! Stores with a retention: each kind against a plain map, with writes, reads, cursors, seals, aborts
//! (I4, I9), changelogs and what is restored from them (I3); and what these do not show.
#![allow(clippy::unwrap_used)]

mod join;
mod session;
mod window;

use std::time::Duration;

use state_stores::{Attempt, StoreMetadata};

use self::join::joins;
use self::session::sessions;
use self::window::{window, windows};
use super::machine::{Machine, driver};
use super::{Driver, RawSent, at};
use crate::stores::{Held, JoinStore, SessionStore, WindowStore, Written};
use crate::windowed::{SessionWindow, Windowed};

type Windows = WindowStore<String, u32>;
type Sessions = SessionStore<String, u32>;
type Joins = JoinStore<String, u32>;

const RETENTION_MS: i64 = 100_000;
const RETENTION: Duration = Duration::from_millis(100_000);
const SIZE: Duration = Duration::from_millis(7);
/// A step of time: several in a segment of a minute, more than a retention in all.
const TICK_MS: i64 = 7_000;

fn visible(time: i64, observed: i64) -> bool {
    time > observed - RETENTION_MS
}

fn segment(time: i64) -> i64 {
    time / 60_000
}

fn live(time: i64, observed: i64) -> bool {
    segment(time) >= segment((observed - RETENTION_MS).max(0))
}

fn changelog(machine: &Machine<()>) -> Vec<RawSent> {
    machine.driver.output.changelog.lock().unwrap().drain(..).collect()
}

#[test]
fn changelogs_have_the_jvms_bytes() {
    let key = "k".to_owned();
    let mut machine = Machine::<()>::new(driver(windows()));
    machine.with::<Windows, _>(300, |mut s| s.put(&key, at(258), 7)).unwrap().stored().unwrap();
    machine.driver.commit();
    let row = (b"k\0\0\0\0\0\0\x01\x02\0\0\0\0".to_vec(), Some(vec![0, 0, 0, 7]), 300);
    assert_eq!(changelog(&machine), [row]);
    machine.with::<Windows, _>(301, |mut s| s.delete(&key, at(258))).unwrap().stored().unwrap();
    machine.driver.commit();
    assert_eq!(changelog(&machine), [(b"k\0\0\0\0\0\0\x01\x02\0\0\0\0".to_vec(), None, 301)]);

    let mut machine = Machine::<()>::new(driver(sessions()));
    let session = SessionWindow::from_millis(1, 258);
    let put = machine.with::<Sessions, _>(9, |mut s| s.put(&key, session, Some(Held::new(7))));
    assert_eq!(put.unwrap(), Written::Stored(()));
    machine.driver.commit();
    let bytes = b"k\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\0\x01".to_vec();
    assert_eq!(changelog(&machine), [(bytes, Some(vec![0, 0, 0, 7]), 9)]);

    let mut machine = Machine::<()>::new(driver(joins()));
    for value in [7, 8] {
        let put = machine.with::<Joins, _>(258, |mut s| s.put(&key, value, at(258)));
        assert_eq!(put.unwrap(), Written::Stored(()));
    }
    machine.driver.commit();
    let row = |sequence, value| {
        let mut bytes = b"k\0\0\0\0\0\0\x01\x02\0\0\0".to_vec();
        bytes.push(sequence);
        (bytes, Some(vec![0, 0, 0, value]), 258)
    };
    assert_eq!(changelog(&machine), [row(1, 7), row(2, 8)]);
}

#[test]
fn changelog_topics_keep_what_is_visible_and_a_day() {
    let configs = |driver: Driver| {
        let group = driver.topology.group_topology("app", &Default::default());
        let topic = &group.subtopologies[0].changelogs["app-store-changelog"];
        (topic.configs["cleanup.policy"].clone(), topic.configs["retention.ms"].clone())
    };
    let kept = (24 * 60 * 60 * 1_000 + RETENTION_MS).to_string();
    let compact_and_delete = ("compact,delete".to_owned(), kept.clone());
    assert_eq!(configs(driver(windows())), compact_and_delete);
    assert_eq!(configs(driver(sessions())), compact_and_delete);
    assert_eq!(configs(driver(joins())), ("delete".to_owned(), kept));
    let own = windows().changelog_config("retention.ms", "7");
    assert_eq!(configs(driver(own)).1, "7");
}

#[test]
fn a_commit_emits_one_change_per_window() {
    let key = "k".to_owned();
    let mut machine = Machine::<()>::new(driver(windows()));
    for value in [1, 2] {
        machine.with::<Windows, _>(value.into(), |mut s| {
            let old = s.put_held(&key, at(5), Some(Held::new(value)), at(value.into())).unwrap();
            s.emit_on_commit(&key, at(5), old.stored().unwrap().map(|(old, _)| old)).unwrap();
        });
    }
    let emission = machine.with::<Windows, _>(0, |mut s| {
        let emission = s.take_emission().unwrap().unwrap();
        assert!(s.take_emission().unwrap().is_none());
        emission
    });
    assert_eq!(emission.key, Windowed::new(key.clone(), window(5)));
    assert_eq!((emission.change.new, emission.change.old), (Some(Held::new(2)), None));
    assert_eq!((emission.timestamp, emission.record.timestamp()), (at(2), at(2)));

    let mut machine = Machine::<()>::new(driver(sessions()));
    let session = SessionWindow::from_millis(1, 2);
    machine.with::<Sessions, _>(9, |mut s| {
        let old = s.put_held(&key, session, Some(Held::new(1))).unwrap().stored().unwrap();
        s.emit_on_commit(&key, session, old).unwrap();
    });
    let emission = machine.with::<Sessions, _>(0, |mut s| s.take_emission().unwrap().unwrap());
    assert_eq!(emission.key, Windowed::new(key, session));
}

#[test]
fn sequence_numbers_go_on_after_a_restart_and_back_after_an_abort() {
    let key = "k".to_owned();
    let mut machine = Machine::<()>::new(driver(joins()));
    let put = |machine: &mut Machine<()>| {
        machine.with::<Joins, _>(0, |mut s| s.put(&key, 1, at(0))).unwrap().stored().unwrap();
        machine.driver.seal();
        let (bytes, ..) = changelog(machine).pop().unwrap();
        let metadata = StoreMetadata::new(uuid::Uuid::nil(), 0);
        (*bytes.last().unwrap(), Attempt(machine.driver.attempt), metadata)
    };
    let (first, attempt, metadata) = put(&mut machine);
    machine.driver.task.layers_mut().for_each(|l| l.commit(attempt, metadata.clone()));
    let (second, ..) = put(&mut machine);
    machine.driver = machine.driver.abort(true);
    let (again, ..) = put(&mut machine);
    assert_eq!((first, second, again), (1, 2, 2));
    machine.driver = machine.driver.abort(false);
    assert_eq!(put(&mut machine).0, 3);
}

#[test]
fn the_stream_time_of_an_aborted_attempt_expires_nothing() {
    let key = "k".to_owned();
    let mut machine = Machine::<()>::new(driver(windows()));
    let put = |machine: &mut Machine<()>, start: i64| {
        machine.with::<Windows, _>(0, |mut s| s.put(&key, at(start), 1)).unwrap().stored().unwrap();
    };
    let count = |machine: &mut Machine<()>| machine.rows::<Windows>(|s| s.all()).len();
    put(&mut machine, 0);
    machine.driver.commit();
    machine.driver.apply();
    put(&mut machine, 10 * RETENTION_MS);
    machine.driver.seal();
    assert_eq!(count(&mut machine), 1);
    machine.driver.apply();
    machine.driver = machine.driver.abort(true);
    assert_eq!(count(&mut machine), 1);
    let observed = machine.with::<Windows, _>(0, |s| s.observed());
    assert_eq!(observed, at(0));
    put(&mut machine, 1);
    assert_eq!(count(&mut machine), 2);
}
