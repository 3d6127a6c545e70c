//! Readers beside a writer.

use std::sync::atomic::{AtomicBool, Ordering};

use super::Violation;
use super::model::{Rows, Writes, bytes_text};
use super::rows::Case;
use super::subject::Subject;
use crate::{Bytes, Direction, KeyRange};

pub(super) const CASES: &[Case] = &[("scans are of one moment", scans_are_of_one_moment)];

const ROWS: u8 = 40;
const VERSIONS: u32 = 400;

/// Two writers with rows of their own, and scans in both directions over both.
fn scans_are_of_one_moment(subject: &mut Subject) -> Result<(), Violation> {
    let subject = &*subject;
    for owner in 0..2 {
        subject.write(&version(owner, 0))?;
    }
    let running = [const { AtomicBool::new(true) }; 2];
    std::thread::scope(|scope| {
        let writers = [0, 1].map(|owner| {
            let running = &running[usize::from(owner)];
            scope.spawn(move || -> Result<(), Violation> {
                let written: Result<(), Violation> = (1..=VERSIONS).try_for_each(|n| {
                    check_last_write(subject, owner, n - 1)?;
                    subject.write(&version(owner, n))?;
                    if n % 100 == 0 { Ok(subject.engine().flush()?) } else { Ok(()) }
                });
                running.store(false, Ordering::Relaxed);
                written
            })
        });
        let mut read = Ok(());
        let mut seen = 0_u32;
        while read.is_ok()
            && (seen < 20 || running.iter().any(|writer| writer.load(Ordering::Relaxed)))
        {
            seen += 1;
            let owner = u8::from(seen % 4 < 2);
            let direction =
                if seen.is_multiple_of(2) { Direction::Forward } else { Direction::Backward };
            read = check_moment(subject, owner, direction);
        }
        for writer in writers {
            writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        read
    })?;
    let mut wanted = Rows::new();
    for owner in 0..2 {
        super::model::apply(&mut wanted, &version(owner, VERSIONS));
    }
    subject.check_all(&wanted)
}

fn version(owner: u8, version: u32) -> Writes {
    let value = || Some(Bytes::from(version.to_be_bytes()));
    (0..ROWS).map(|n| (Bytes::from([owner, n]), value())).collect()
}

/// Nobody else writes the owner's rows.
fn check_last_write(subject: &Subject, owner: u8, version: u32) -> Result<(), Violation> {
    let found = subject.engine().get(&[owner, 0])?;
    if found.as_deref() == Some(&version.to_be_bytes()) {
        return Ok(());
    }
    let found = found.map_or_else(|| "nothing".to_owned(), |found| bytes_text(&found));
    let found =
        format!("it has {found} where version {version} was written, beside another thread");
    Err(Violation::new("writes of two threads are both there", found))
}

fn check_moment(subject: &Subject, owner: u8, direction: Direction) -> Result<(), Violation> {
    let rows = subject.scan(&KeyRange::prefix(&[owner]), direction, usize::MAX)?;
    let rule = "a scan sees all of a batch or nothing of it";
    if rows.len() != usize::from(ROWS) {
        let found = format!("it saw {} of {ROWS} rows", rows.len());
        return Err(Violation::new(rule, found));
    }
    match rows.iter().find(|(_, value)| *value != rows[0].1) {
        Some((key, value)) => {
            let (key, value, other) = (bytes_text(key), bytes_text(value), bytes_text(&rows[0].1));
            Err(Violation::new(rule, format!("{key} = {value} beside rows of version {other}")))
        }
        None => Ok(()),
    }
}
