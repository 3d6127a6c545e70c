//! Times of operators that are committed beside the inputs' positions: the last emitted window, the
//! largest time that an operator has seen. So they are as old as the positions, whatever happens.

/// What begins the key of a time that only this library keeps; the JVM's keys are names of stores.
const OWN_PREFIX: &str = "observed:";
/// No time yet.
const NONE: i64 = -1;

/// The times of one task, by key.
#[derive(Debug, Default)]
pub(crate) struct CommittedTimes(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    key: String,
    time: i64,
    /// An operator of the task asked for it.
    claimed: bool,
}

impl CommittedTimes {
    /// As they were committed. A key that comes more than once, from several inputs, counts with
    /// its largest time: times only grow.
    pub(crate) fn new(committed: impl IntoIterator<Item = (String, i64)>) -> Self {
        let mut times = Self::default();
        for (key, time) in committed {
            let slot = times.find_or_add(&key);
            let entry = &mut times.0[slot];
            entry.time = entry.time.max(time);
        }
        times
    }

    /// The slot of a key.
    pub(crate) fn claim(&mut self, key: &str) -> usize {
        let slot = self.find_or_add(key);
        self.0[slot].claimed = true;
        slot
    }

    /// The slot of the largest time that `operator` has seen.
    pub(crate) fn claim_observed(&mut self, operator: &str) -> usize {
        self.claim(&format!("{OWN_PREFIX}{operator}"))
    }

    pub(crate) fn get(&self, slot: usize) -> Option<i64> {
        Some(self.0[slot].time).filter(|time| *time != NONE)
    }

    pub(crate) fn set(&mut self, slot: usize, time: i64) {
        self.0[slot].time = time;
    }

    /// What to commit. Times of other programs are kept, ours of operators that are gone are not.
    pub(crate) fn to_commit(&self) -> Vec<(String, i64)> {
        let kept = |entry: &&Entry| {
            entry.time != NONE && (entry.claimed || !entry.key.starts_with(OWN_PREFIX))
        };
        self.0.iter().filter(kept).map(|entry| (entry.key.clone(), entry.time)).collect()
    }

    fn find_or_add(&mut self, key: &str) -> usize {
        self.0.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
            self.0.push(Entry { key: key.to_owned(), time: NONE, claimed: false });
            self.0.len() - 1
        })
    }
}

/// Whether a committed time may be left out when there is no room for all: then the operator begins
/// anew after a restart, as it would in the JVM.
pub(crate) fn is_optional(key: &str) -> bool {
    key.starts_with(OWN_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_several_inputs_count_with_the_largest() {
        let committed = [("a".to_owned(), 5), ("a".to_owned(), 7), ("a".to_owned(), 6)];
        let mut times = CommittedTimes::new(committed);
        let slot = times.claim("a");
        assert_eq!(times.get(slot), Some(7));
    }

    #[test]
    fn times_of_others_are_kept_and_those_of_lost_operators_are_not() {
        let committed = ["observed:gone", "observed:here", "of-the-jvm"];
        let mut times = CommittedTimes::new(committed.map(|key| (key.to_owned(), 1)));
        let slot = times.claim_observed("here");
        times.set(slot, 2);
        assert_eq!(times.claim("new") + 1, 4);
        let to_commit = times.to_commit();
        assert_eq!(to_commit, [("observed:here".to_owned(), 2), ("of-the-jvm".to_owned(), 1)]);
    }
}
