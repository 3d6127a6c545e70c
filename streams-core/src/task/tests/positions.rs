//! What is committed of an input: the next offset to process, over gaps and markers.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::{Driver, at};
use crate::client::{MemoryRecord, RawRecord};
use crate::topology::{Node, Topology};

fn driver() -> Driver {
    let mut builder = Topology::builder();
    let _: Node<String, String> = builder.add_source("source", ["a", "b"]);
    Driver::new(&builder.build().unwrap(), &["a", "b"])
}

fn raw(offset: i64, timestamp: i64) -> RawRecord {
    let (key, value) = (Some(b"k".as_slice().into()), Some(b"v".as_slice().into()));
    let record = MemoryRecord { timestamp, key, value, ..MemoryRecord::default() };
    RawRecord::from_memory(offset, Arc::new(record))
}

fn positions(driver: &Driver) -> Vec<(i64, i32, i64)> {
    let positions = driver.task.positions();
    positions.map(|p| (p.offset, p.leader_epoch, p.partition_time.as_millis())).collect()
}

#[test]
fn positions_move_over_gaps_and_markers() {
    let mut driver = driver();
    assert_eq!(positions(&driver), []);
    driver.task.push(0, &mut vec![raw(3, 10), raw(7, 20)], 9, 1);
    assert_eq!(positions(&driver), [(3, -1, -1)]);
    assert!(!driver.task.is_dirty());
    driver.task.process(0, &mut driver.collector).unwrap();
    assert_eq!(positions(&driver), [(7, 1, 10)]);
    driver.task.process(0, &mut driver.collector).unwrap();
    assert_eq!(positions(&driver), [(9, 1, 20)]);
    driver.seal();
    assert!(!driver.task.is_dirty());
    // A transaction's marker, and no record.
    driver.task.push(0, &mut Vec::new(), 10, 1);
    assert_eq!(positions(&driver), [(10, 1, 20)]);
    assert!(driver.task.is_dirty());
    assert!(!driver.task.process(0, &mut driver.collector).unwrap());
}

#[test]
fn the_leader_epoch_is_that_of_the_last_processed_record() {
    let mut driver = driver();
    driver.task.push(0, &mut vec![raw(0, 1), raw(1, 1)], 2, 4);
    driver.task.push(0, &mut vec![raw(2, 1)], 3, 5);
    let mut epochs = Vec::new();
    while driver.task.process(0, &mut driver.collector).unwrap() {
        epochs.extend(positions(&driver).iter().map(|&(offset, epoch, _)| (offset, epoch)));
    }
    assert_eq!(epochs, [(1, 4), (2, 4), (3, 5)]);
}

#[test]
fn the_oldest_head_goes_first_and_ties_go_to_the_first_input() {
    let mut driver = driver();
    driver.task.push(0, &mut vec![raw(0, 5), raw(1, 5), raw(2, 30)], 3, 1);
    driver.task.push(1, &mut vec![raw(0, 5), raw(1, 10)], 2, 1);
    let mut order = Vec::new();
    while let Some(input) = driver.task.oldest_input(&mut driver.collector).unwrap() {
        driver.task.process(input, &mut driver.collector).unwrap();
        order.push((input, driver.task.stream_time().as_millis()));
    }
    assert_eq!(order, [(0, 5), (0, 5), (1, 5), (1, 10), (0, 30)]);
}

#[test]
fn a_late_record_does_not_turn_time_back() {
    let mut driver = driver();
    driver.task.push(0, &mut vec![raw(0, 50), raw(1, 20)], 2, 1);
    driver.task.process(0, &mut driver.collector).unwrap();
    driver.task.process(0, &mut driver.collector).unwrap();
    assert_eq!(driver.task.stream_time(), at(50));
    assert_eq!(positions(&driver), [(2, 1, 50)]);
}
