//! Random operations on an engine and on a map.

use super::crashes::past;
use super::model::{Choices, Rows, apply};
use super::subject::Subject;
use super::{Survives, Violation};

const STEPS: usize = 250;

/// One run of one seed.
pub(super) fn run(subject: &mut Subject, seed: u64) -> Result<(), Violation> {
    let mut choices = Choices::of_seed(seed);
    // From the last flush on; the engine is at the last one.
    let mut states = vec![Rows::new()];
    for _ in 0..STEPS {
        let current = states.last().expect("there is a state");
        match choices.below(20) {
            0..8 => {
                let writes = choices.writes(1);
                let mut next = current.clone();
                apply(&mut next, &writes);
                subject.write(&writes)?;
                states.push(next);
            }
            8..11 => subject.check_get(current, &choices.key(1))?,
            11..15 => {
                let rows_max = 1 + choices.below(30);
                let (range, direction) = (choices.range(), choices.direction());
                subject.check_scan(current, &range, direction, rows_max)?;
            }
            15 if choices.one_in(3) => {
                let range = choices.range();
                let mut next = current.clone();
                next.retain(|key, _| !range.contains(key));
                subject.engine().remove(&range)?;
                // A crash may leave some of them.
                subject.flush()?;
                states = vec![next];
            }
            16..18 => {
                subject.flush()?;
                states.drain(..states.len() - 1);
            }
            18 => end(subject, &mut states, &mut choices, Survives::Closing)?,
            19 => end(subject, &mut states, &mut choices, Survives::Crash)?,
            _ => {}
        }
    }
    subject.check_all(states.last().expect("there is a state"))
}

/// A close or a crash, if the engine outlives it.
fn end(
    subject: &mut Subject,
    states: &mut Vec<Rows>,
    choices: &mut Choices,
    how: Survives,
) -> Result<(), Violation> {
    if subject.survives < how {
        return Ok(());
    }
    if how == Survives::Crash {
        subject.crash(choices)?;
    } else {
        subject.close_and_open()?;
    }
    let survived = past(subject, states)?;
    *states = vec![states.swap_remove(survived)];
    // What it was opened with need not be flushed; a crash right away finds it or an older one,
    // which only an engine could tell that forgets what it has shown.
    subject.flush()
}
