//! When punctuators are due.

use std::time::Duration;

use crate::record::Timestamp;

/// Which time a timer follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimerKind {
    StreamTime,
    WallClock,
}

/// The timers of a task. They are set when the task is made, and only then.
pub(crate) struct Timers {
    timers: Vec<Timer>,
    next_stream_time: i64,
    next_wall_clock: i64,
}

/// A timer of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timer {
    pub(crate) kind: TimerKind,
    /// The node in the arena.
    pub(crate) node: usize,
    /// Among the node's timers.
    pub(crate) index: usize,
    next: i64,
    interval: i64,
}

impl Timers {
    pub(crate) fn new() -> Self {
        Self { timers: Vec::new(), next_stream_time: i64::MAX, next_wall_clock: i64::MAX }
    }

    pub(crate) fn add(
        &mut self,
        kind: TimerKind,
        node: usize,
        index: usize,
        first: Timestamp,
        interval: Duration,
    ) {
        let interval = millis(interval);
        self.timers.push(Timer { kind, node, index, next: first.as_millis(), interval });
        // Nodes are made from the last to the first, and called from the first to the last.
        self.timers.sort_by_key(|timer| (timer.node, timer.index));
        self.find_next();
    }

    /// The first `start + n * interval` after `now`, and not before `start`.
    pub(crate) fn next_multiple(start: Timestamp, interval: Duration, now: Timestamp) -> Timestamp {
        let (start, now) = (start.as_millis(), now.as_millis());
        Timestamp::from_millis(if start > now { start } else { next(start, millis(interval), now) })
    }

    /// Whether a timer is due at `now`.
    #[inline]
    pub(crate) fn is_due(&self, kind: TimerKind, now: Timestamp) -> bool {
        self.next_of(kind) <= now.as_millis()
    }

    /// When the next timer is due; `None` if there are no timers.
    pub(crate) fn next_due(&self, kind: TimerKind) -> Option<Timestamp> {
        let next = self.next_of(kind);
        (next != i64::MAX).then(|| Timestamp::from_millis(next))
    }

    /// The timer that has been due for longest, set anew: missed calls collapse into one.
    pub(crate) fn take_due(&mut self, kind: TimerKind, now: Timestamp) -> Option<Timer> {
        let now = now.as_millis();
        let due = self.timers.iter_mut().filter(|timer| timer.kind == kind && timer.next <= now);
        let timer = due.min_by_key(|timer| timer.next)?;
        let taken = *timer;
        timer.next = next(timer.next, timer.interval, now);
        self.find_next();
        Some(taken)
    }

    fn next_of(&self, kind: TimerKind) -> i64 {
        match kind {
            TimerKind::StreamTime => self.next_stream_time,
            TimerKind::WallClock => self.next_wall_clock,
        }
    }

    fn find_next(&mut self) {
        let next = |kind| {
            let timers = self.timers.iter().filter(|timer| timer.kind == kind);
            timers.map(|timer| timer.next).min().unwrap_or(i64::MAX)
        };
        (self.next_stream_time, self.next_wall_clock) =
            (next(TimerKind::StreamTime), next(TimerKind::WallClock));
    }
}

/// The first `due + n * interval` after `now`, with n of at least one.
fn next(due: i64, interval: i64, now: i64) -> i64 {
    let missed = now.saturating_sub(due).max(0) / interval;
    due.saturating_add(interval.saturating_mul(missed.saturating_add(1)))
}

fn millis(interval: Duration) -> i64 {
    i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn missed_calls_collapse_into_one_and_stay_aligned() {
        let mut timers = Timers::new();
        timers.add(TimerKind::StreamTime, 0, 0, at(0), Duration::from_millis(100));
        assert!(timers.take_due(TimerKind::WallClock, at(1000)).is_none());
        assert!(timers.take_due(TimerKind::StreamTime, at(1030)).is_some());
        assert!(timers.take_due(TimerKind::StreamTime, at(1030)).is_none());
        assert_eq!(timers.next_due(TimerKind::StreamTime), Some(at(1100)));
        assert!(timers.take_due(TimerKind::StreamTime, at(1100)).is_some());
        assert_eq!(timers.next_due(TimerKind::StreamTime), Some(at(1200)));
        assert_eq!(timers.next_due(TimerKind::WallClock), None);
    }

    #[test]
    fn a_start_in_the_past_stands_for_its_next_multiple() {
        let next = |start, now| {
            Timers::next_multiple(at(start), Duration::from_millis(10), at(now)).as_millis()
        };
        assert_eq!((next(5, 0), next(5, 5), next(5, 14), next(5, 15)), (5, 15, 15, 25));
    }

    #[test]
    fn times_at_the_end_of_the_range_do_not_overflow() {
        let mut timers = Timers::new();
        timers.add(TimerKind::StreamTime, 0, 0, at(0), Duration::MAX);
        assert!(timers.take_due(TimerKind::StreamTime, at(i64::MAX - 1)).is_some());
        assert!(timers.take_due(TimerKind::StreamTime, at(i64::MAX - 1)).is_none());
    }
}
