//! Directed cases: what one map of rows has to do.

use super::Violation;
use super::model::{Rows, Writes, apply};
use super::subject::Subject;
use crate::{Bytes, Direction, KeyRange};

/// A case with its name.
pub(super) type Case = (&'static str, fn(&mut Subject) -> Result<(), Violation>);

pub(super) const CASES: &[Case] = &[
    ("nothing in an empty map", nothing_in_an_empty_map),
    ("keys of all kinds", keys_of_all_kinds),
    ("values of all sizes", values_of_all_sizes),
    ("overwrites and removals", overwrites_and_removals),
    ("ranges", ranges),
    ("scans that break", scans_that_break),
    ("neighbours", neighbours),
    ("a large batch", a_large_batch),
];

/// Writes of one value each; none is a removal.
pub(super) fn writes<'a>(rows: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Writes {
    rows.into_iter().map(|(key, value)| (key.into(), value.map(Bytes::from))).collect()
}

/// These keys, all with `value`.
fn puts<K: AsRef<[u8]>>(keys: impl IntoIterator<Item = K>, value: &[u8]) -> Writes {
    keys.into_iter().map(|key| (key.as_ref().into(), Some(value.into()))).collect()
}

/// Writes to the engine and to what it is compared with.
pub(super) fn write(
    subject: &Subject,
    wanted: &mut Rows,
    writes: &Writes,
) -> Result<(), Violation> {
    apply(wanted, writes);
    subject.write(writes)
}

fn nothing_in_an_empty_map(subject: &mut Subject) -> Result<(), Violation> {
    let nothing = Rows::new();
    subject.check_all(&nothing)?;
    subject.check_get(&nothing, b"a")?;
    subject.engine().remove(&KeyRange::all())?;
    subject.engine().approximate_len(&KeyRange::all())?;
    subject.flush()?;
    subject.flush()?;
    subject.check_all(&nothing)
}

fn keys_of_all_kinds(subject: &mut Subject) -> Result<(), Violation> {
    let mut wanted = Rows::new();
    write(subject, &mut wanted, &puts((0..=u8::MAX).map(|byte| [byte]), b"byte"))?;
    let prefixes: [&[u8]; 9] =
        [b"a\0", b"a\0\0", b"a\0\x01", b"a\xff", b"ab", b"abc", b"\0\0", b"\xff\xff", b"\xff\0"];
    write(subject, &mut wanted, &puts(prefixes, b"prefix"))?;
    let long = [vec![7; 4_000], vec![7; 4_001], vec![u8::MAX; 10_000]];
    write(subject, &mut wanted, &puts(long, b"long"))?;
    subject.check_all(&wanted)?;
    for absent in [&b"a\0\0\0"[..], b"abcd", b"\0\0\0", &[7; 3_999], b"\xff\xff\xff"] {
        subject.check_get(&wanted, absent)?;
    }
    Ok(())
}

fn values_of_all_sizes(subject: &mut Subject) -> Result<(), Violation> {
    let mut wanted = Rows::new();
    for (n, len) in [0, 1, 255, 256, 65_535, 65_536, 1 << 20].into_iter().enumerate() {
        let key = [b'v', u8::try_from(n).unwrap_or(0)];
        write(subject, &mut wanted, &puts([key], &vec![0xa5; len]))?;
    }
    subject.check_all(&wanted)?;
    // The same in one batch, the other way round.
    let batch: Writes =
        wanted.keys().cloned().zip(wanted.values().rev().cloned().map(Some)).collect();
    write(subject, &mut wanted, &batch)?;
    subject.check_all(&wanted)
}

fn overwrites_and_removals(subject: &mut Subject) -> Result<(), Violation> {
    let mut wanted = Rows::new();
    let steps: [&[(&[u8], Option<&[u8]>)]; 7] = [
        &[(b"a", Some(b"1")), (b"b", Some(b"1")), (b"c", Some(b"1"))],
        &[(b"a", Some(b"longer than before")), (b"b", Some(b"")), (b"d", None)],
        &[(b"a", Some(b"")), (b"b", None), (b"c", Some(b"2"))],
        &[(b"b", None), (b"b\0", Some(b"3"))],
        &[(b"a", None), (b"b", Some(b"back")), (b"b\0", None)],
        &[(b"a", None), (b"b", None), (b"c", None), (b"z", None)],
        &[(b"c", Some(b"last"))],
    ];
    for step in steps {
        write(subject, &mut wanted, &writes(step.iter().copied()))?;
        subject.check_all(&wanted)?;
        for key in [&b"a"[..], b"b", b"b\0", b"c", b"d", b"z"] {
            subject.check_get(&wanted, key)?;
        }
    }
    Ok(())
}

fn ranges(subject: &mut Subject) -> Result<(), Violation> {
    let mut wanted = Rows::new();
    let keys: [&[u8]; 10] =
        [b"\0", b"a", b"a\0", b"aa", b"ab", b"b", b"c\xff", b"d", b"\xff", b"\xff\xff"];
    write(subject, &mut wanted, &puts(keys, b"in a range"))?;
    let mut bounds: Vec<Bytes> = keys.iter().map(|key| Bytes::from(*key)).collect();
    bounds.extend([&b""[..], b"c", b"e", b"a\0\0", b"\xff\xff\xff"].map(Bytes::from));
    for direction in [Direction::Forward, Direction::Backward] {
        for lower in &bounds {
            let rest = KeyRange::from(lower.clone());
            subject.check_scan(&wanted, &rest, direction, usize::MAX)?;
            subject.check_scan(&wanted, &KeyRange::prefix(lower), direction, usize::MAX)?;
            for upper in bounds.iter().filter(|upper| *upper > lower) {
                let range = KeyRange::new(lower.clone(), upper.clone());
                subject.check_scan(&wanted, &range, direction, usize::MAX)?;
            }
        }
    }
    Ok(())
}

fn scans_that_break(subject: &mut Subject) -> Result<(), Violation> {
    let mut wanted = Rows::new();
    let keys = (0..200_u8).map(|n| [n / 7, n]);
    write(subject, &mut wanted, &puts(keys, b"one of many"))?;
    for direction in [Direction::Forward, Direction::Backward] {
        for rows_max in [1, 2, 7, 199, 200] {
            subject.check_scan(&wanted, &KeyRange::all(), direction, rows_max)?;
            subject.check_scan(&wanted, &KeyRange::new([3], [9]), direction, rows_max)?;
        }
    }
    Ok(())
}

/// As stores of two tasks lie beside each other, and one is given up.
fn neighbours(subject: &mut Subject) -> Result<(), Violation> {
    let mut wanted = Rows::new();
    let key = |id: u8, n: u8| [0, 0, 0, id, 1, n];
    for id in 1..=3 {
        let keys: Vec<_> = (0..100).map(|n| key(id, n)).collect();
        write(subject, &mut wanted, &puts(keys, &[id]))?;
        write(subject, &mut wanted, &puts([[0, 0, 0, id, 0]], b"how far it goes"))?;
    }
    let second = KeyRange::prefix(&[0, 0, 0, 2]);
    subject.check_scan(&wanted, &second, Direction::Forward, usize::MAX)?;
    subject.engine().remove(&second)?;
    wanted.retain(|key, _| !second.contains(key));
    subject.check_all(&wanted)?;
    subject.check_get(&wanted, &key(2, 7))?;
    // Up to a row that stays, and from it on.
    for range in [KeyRange::new(key(1, 10), key(1, 20)), KeyRange::from(key(3, 90))] {
        subject.engine().remove(&range)?;
        wanted.retain(|key, _| !range.contains(key));
        subject.check_all(&wanted)?;
    }
    write(subject, &mut wanted, &puts([key(2, 7), key(1, 15)], b"again"))?;
    subject.check_all(&wanted)
}

fn a_large_batch(subject: &mut Subject) -> Result<(), Violation> {
    let mut wanted = Rows::new();
    let keys = |step| (0..20_000_u32).step_by(step).map(u32::to_be_bytes);
    write(subject, &mut wanted, &puts(keys(1), &[1; 100]))?;
    let removals = keys(3).map(|key| (Bytes::from(key), None)).collect();
    write(subject, &mut wanted, &removals)?;
    write(subject, &mut wanted, &puts(keys(6), &[2; 10]))?;
    subject.check_all(&wanted)?;
    let removed = KeyRange::new(1_000_u32.to_be_bytes(), 15_000_u32.to_be_bytes());
    subject.engine().remove(&removed)?;
    wanted.retain(|key, _| !removed.contains(key));
    subject.check_all(&wanted)
}
