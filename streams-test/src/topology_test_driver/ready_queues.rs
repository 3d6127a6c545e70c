//! Which input is next: that with the oldest record, as Kafka Streams' test driver finds it.

use streams_core::Timestamp;

/// Inputs with records, by the time of their first. A binary heap as Java's `PriorityQueue` is one:
/// which of equally old inputs goes first depends on how the heap grew, and tests of both should see
/// the same.
#[derive(Default)]
pub(super) struct ReadyQueues(Vec<(Timestamp, Queue)>);

/// A task's place among the tasks, and the number of its input.
pub(super) type Queue = (usize, usize);

impl ReadyQueues {
    /// Adds an input that has records now.
    pub(super) fn offer(&mut self, time: Timestamp, queue: Queue) {
        let mut at = self.0.len();
        self.0.push((time, queue));
        while at > 0 && self.0[at].0 < self.0[(at - 1) / 2].0 {
            self.0.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    /// Takes the input whose first record is the oldest.
    pub(super) fn poll(&mut self) -> Option<Queue> {
        let last = self.0.pop()?;
        let Some(first) = self.0.first_mut() else { return Some(last.1) };
        let polled = std::mem::replace(first, last);
        let mut at = 0;
        loop {
            let mut child = 2 * at + 1;
            if child >= self.0.len() {
                break;
            }
            if child + 1 < self.0.len() && self.0[child].0 > self.0[child + 1].0 {
                child += 1;
            }
            if self.0[at].0 <= self.0[child].0 {
                break;
            }
            self.0.swap(at, child);
            at = child;
        }
        Some(polled.1)
    }

    /// Whether an input is there already.
    pub(super) fn contains(&self, queue: Queue) -> bool {
        self.0.iter().any(|(_, other)| *other == queue)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polled(times: &[i64]) -> Vec<usize> {
        let mut ready = ReadyQueues::default();
        for (queue, time) in times.iter().enumerate() {
            ready.offer(Timestamp::from_millis(*time), (0, queue));
        }
        std::iter::from_fn(|| ready.poll()).map(|(_, queue)| queue).collect()
    }

    #[test]
    fn the_oldest_is_first_and_equals_are_as_in_java() {
        assert_eq!(polled(&[3, 1, 2]), [1, 2, 0]);
        // What `java.util.PriorityQueue` gives.
        assert_eq!(polled(&[5, 5, 5, 5]), [0, 3, 2, 1]);
        assert_eq!(polled(&[2, 1, 1, 2, 1]), [1, 4, 2, 3, 0]);
        assert_eq!(polled(&[]), [0_usize; 0]);
    }
}
