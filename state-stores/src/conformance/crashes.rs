//! Directed cases: what is there after a close and after a crash.

use super::model::{Choices, Rows, Writes, apply, same};
use super::rows::{Case, write, writes};
use super::subject::Subject;
use super::{Survives, Violation};
use crate::{Bytes, KeyRange};

pub(super) const CASES: &[Case] = &[
    ("a flush before a close", a_flush_before_a_close),
    ("a flush before a crash", a_flush_before_a_crash),
    ("removed rows stay away", removed_rows_stay_away),
    ("batches are whole after a crash", batches_are_whole_after_a_crash),
    ("a close without a flush", a_close_without_a_flush),
    ("many starts", many_starts),
];

const DURABLE: &str = "what was flushed is there after a crash and after a close";
const A_PAST: &str = "after a crash or a close, the map is as it was after one of its writes, \
                      at or after the last flush";

/// Whether the engine is at one of `states`, oldest first; gives the index of that one.
pub(super) fn past(subject: &Subject, states: &[Rows]) -> Result<usize, Violation> {
    let found = subject.rows()?;
    if let Some(index) = states.iter().rposition(|state| *state == found) {
        subject.check_all(&found)?;
        return Ok(index);
    }
    let (newest, flushed) = (states.last(), states.first());
    let (newest, flushed) = newest.zip(flushed).expect("there is a state");
    if states.len() == 1 {
        same(DURABLE, &found, flushed)?;
    }
    same(A_PAST, &found, newest)?;
    Ok(states.len() - 1)
}

fn some_rows(value: &[u8]) -> Writes {
    (0..50_u8).map(|n| (Bytes::from([b'k', n]), Some(value.into()))).collect()
}

fn a_flush_before_a_close(subject: &mut Subject) -> Result<(), Violation> {
    if subject.survives < Survives::Closing {
        return Ok(());
    }
    let mut wanted = Rows::new();
    for value in [&b"first"[..], b"", b"third"] {
        write(subject, &mut wanted, &some_rows(value))?;
        subject.flush()?;
        subject.close_and_open()?;
        past(subject, std::slice::from_ref(&wanted))?;
    }
    // Nothing was written since.
    subject.close_and_open()?;
    past(subject, &[wanted]).map(|_| ())
}

fn a_flush_before_a_crash(subject: &mut Subject) -> Result<(), Violation> {
    if subject.survives < Survives::Crash {
        return Ok(());
    }
    let mut choices = Choices::of_seed(1);
    let mut wanted = Rows::new();
    for value in [&b"first"[..], b"", b"third"] {
        write(subject, &mut wanted, &some_rows(value))?;
        subject.flush()?;
        subject.crash(&mut choices)?;
        past(subject, std::slice::from_ref(&wanted))?;
    }
    subject.crash(&mut choices)?;
    past(subject, &[wanted]).map(|_| ())
}

fn removed_rows_stay_away(subject: &mut Subject) -> Result<(), Violation> {
    if subject.survives < Survives::Closing {
        return Ok(());
    }
    let mut wanted = Rows::new();
    write(subject, &mut wanted, &some_rows(b"to be removed"))?;
    subject.flush()?;
    let removal = writes([(&b"k\x01"[..], None), (&b"k\x02"[..], None), (&b"never"[..], None)]);
    write(subject, &mut wanted, &removal)?;
    subject.flush()?;
    subject.close_and_open()?;
    past(subject, std::slice::from_ref(&wanted))?;
    let range = KeyRange::new(*b"k\x10", *b"k\x20");
    subject.engine().remove(&range)?;
    wanted.retain(|key, _| !range.contains(key));
    subject.flush()?;
    subject.close_and_open()?;
    past(subject, std::slice::from_ref(&wanted))?;
    if subject.survives >= Survives::Crash {
        write(subject, &mut wanted, &writes([(&b"k\x03"[..], None)]))?;
        subject.flush()?;
        subject.crash(&mut Choices::of_seed(2))?;
        past(subject, &[wanted])?;
    }
    Ok(())
}

/// As the rows of a store and the row that says how far they go.
fn batches_are_whole_after_a_crash(subject: &mut Subject) -> Result<(), Violation> {
    if subject.survives < Survives::Crash {
        return Ok(());
    }
    let mut choices = Choices::of_seed(3);
    let mut states = vec![Rows::new()];
    for round in 0..12_u8 {
        for version in 0..4 {
            // Longer and shorter values, so that files end at any place.
            let value = vec![round * 4 + version; 1 + choices.below(200)];
            let mut batch: Writes =
                (0..20_u8).map(|n| (Bytes::from([n, 1]), Some(value.clone().into()))).collect();
            batch.insert([version % 3, 1].into(), None);
            batch.insert([0].into(), Some([round, version].into()));
            let mut next = states.last().cloned().unwrap_or_default();
            apply(&mut next, &batch);
            subject.write(&batch)?;
            states.push(next);
        }
        if round % 3 == 1 {
            subject.flush()?;
            states.drain(..states.len() - 1);
        }
        subject.crash(&mut choices)?;
        let survived = past(subject, &states)?;
        states = vec![states.swap_remove(survived)];
    }
    Ok(())
}

fn a_close_without_a_flush(subject: &mut Subject) -> Result<(), Violation> {
    if subject.survives < Survives::Closing {
        return Ok(());
    }
    let mut states = vec![Rows::new()];
    for value in [&b"1"[..], b"2", b"3"] {
        let mut next = states.last().cloned().unwrap_or_default();
        write(subject, &mut next, &some_rows(value))?;
        states.push(next);
    }
    subject.close_and_open()?;
    past(subject, &states).map(|_| ())
}

/// What is written after a start must not be mistaken for what lay there before it.
fn many_starts(subject: &mut Subject) -> Result<(), Violation> {
    if subject.survives < Survives::Crash {
        return Ok(());
    }
    let mut choices = Choices::of_seed(4);
    let mut current = Rows::new();
    for n in 0..20_u8 {
        let value = vec![n; choices.below(60)];
        let before = current.clone();
        write(subject, &mut current, &writes([(&[n % 5, n % 2][..], Some(&value[..]))]))?;
        let flush = n % 4 == 3;
        if flush {
            subject.flush()?;
        }
        subject.crash(&mut choices)?;
        let states = if flush { vec![current] } else { vec![before, current] };
        current = states[past(subject, &states)?].clone();
    }
    Ok(())
}
