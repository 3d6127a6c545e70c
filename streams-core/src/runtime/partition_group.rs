//! Which of a task's inputs gives the next record: the one with the smallest timestamp at its
//! head, waiting for an empty one only as long as `max.task.idle.ms` says.

use std::time::Duration;

use crate::record::Timestamp;
use crate::time::Instant;

/// `max.task.idle.ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MaxTaskIdle {
    /// -1: never wait; the order across partitions is as fetched.
    Disabled,
    /// 0: wait for what the broker is known to have.
    ForFetch,
    /// Also wait so long for what producers have not written yet.
    Also(Duration),
}

impl MaxTaskIdle {
    /// From the configuration; `None` is -1.
    pub(crate) fn from_config(idle: Option<Duration>) -> Self {
        match idle {
            None => Self::Disabled,
            Some(Duration::ZERO) => Self::ForFetch,
            Some(idle) => Self::Also(idle),
        }
    }
}

/// One input partition, as the choice sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// The next record's time.
    Record(Timestamp),
    /// Nothing buffered, and the broker has nothing either as far as is known.
    AtEnd,
    /// Nothing buffered, but the broker has more, or did not say yet.
    Behind,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Process the head of this input.
    Process(usize),
    /// Some input is empty and worth waiting for, until then at most.
    Wait(Option<Instant>),
    /// No input has anything.
    Nothing,
}

/// Chooses; `idle_since` remembers when the wait for an input that is at its end began.
pub(crate) fn choose(
    heads: impl Iterator<Item = Head>,
    idle: MaxTaskIdle,
    idle_since: &mut Option<Instant>,
    now: Instant,
) -> Choice {
    let mut first: Option<(usize, Timestamp)> = None;
    let (mut behind, mut at_end) = (false, false);
    for (input, head) in heads.enumerate() {
        match head {
            Head::Record(time) if first.is_none_or(|(_, earliest)| time < earliest) => {
                first = Some((input, time));
            }
            Head::Record(_) => {}
            Head::Behind => behind = true,
            Head::AtEnd => at_end = true,
        }
    }
    let Some((input, _)) = first else {
        *idle_since = None;
        return Choice::Nothing;
    };
    let wait = match idle {
        MaxTaskIdle::Disabled => None,
        _ if behind => Some(None),
        MaxTaskIdle::Also(idle) if at_end => {
            let until = *idle_since.get_or_insert(now) + idle;
            (now < until).then_some(Some(until))
        }
        _ => None,
    };
    match wait {
        Some(until) => Choice::Wait(until),
        None => {
            if !at_end {
                *idle_since = None;
            }
            Choice::Process(input)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_origin(Duration::from_secs(100));

    fn record(ms: i64) -> Head {
        Head::Record(Timestamp::from_millis(ms))
    }

    fn chosen(heads: &[Head], idle_ms: i64, since: &mut Option<Instant>, now: Instant) -> Choice {
        let idle = u64::try_from(idle_ms).ok().map(Duration::from_millis);
        choose(heads.iter().copied(), MaxTaskIdle::from_config(idle), since, now)
    }

    #[test]
    fn the_earliest_head_goes_first_and_the_first_of_equals() {
        let heads = [record(5), record(3), record(3)];
        assert_eq!(chosen(&heads, 0, &mut None, NOW), Choice::Process(1));
    }

    #[test]
    fn zero_waits_for_what_the_broker_has_and_for_nothing_else() {
        assert_eq!(chosen(&[record(5), Head::Behind], 0, &mut None, NOW), Choice::Wait(None));
        assert_eq!(chosen(&[record(5), Head::AtEnd], 0, &mut None, NOW), Choice::Process(0));
        assert_eq!(chosen(&[record(5), Head::Behind], -1, &mut None, NOW), Choice::Process(0));
        assert_eq!(chosen(&[Head::AtEnd, Head::Behind], 0, &mut None, NOW), Choice::Nothing);
    }

    #[test]
    fn an_idle_time_is_waited_once_and_then_over() {
        let mut since = None;
        let heads = [record(5), Head::AtEnd];
        let until = NOW + Duration::from_millis(50);
        assert_eq!(chosen(&heads, 50, &mut since, NOW), Choice::Wait(Some(until)));
        assert_eq!(chosen(&heads, 50, &mut since, until), Choice::Process(0));
        assert_eq!(chosen(&[record(6), Head::AtEnd], 50, &mut since, until), Choice::Process(0));
        assert_eq!(chosen(&[record(7), record(8)], 50, &mut since, until), Choice::Process(0));
        assert_eq!(since, None);
    }
}
