//! The leader looks now and then whether the users' topics are still what the tasks were made from.

use std::sync::Arc;
use std::time::Duration;

use crate::assignment::partition_counts::Counts;
use crate::client::{Admin, Call, ClientErrorKind, Each, TopicDescription};
use crate::time::Instant;

pub(super) struct TopicWatch {
    interval: Duration,
    due: Instant,
    expected: Counts,
    call: Option<Call<Each<TopicDescription>>>,
}

impl TopicWatch {
    pub(super) fn new(
        interval: Duration,
        expected: impl Iterator<Item = (Arc<str>, i32)>,
        now: Instant,
    ) -> Self {
        let interval = interval.max(Duration::from_millis(1));
        Self { interval, due: now + interval, expected: expected.collect(), call: None }
    }

    /// What is different, if something is. Without an answer nothing is known to be.
    pub(super) fn step(&mut self, admin: &mut dyn Admin, now: Instant) -> Option<String> {
        if self.call.is_none() && now >= self.due {
            self.call = Some(admin.describe_topics(self.expected.keys().cloned().collect()));
        }
        let answer = self.call.as_mut()?.try_take()?;
        self.call = None;
        self.due = now + self.interval;
        let answers = self.expected.iter().zip(answer.ok()?);
        answers.into_iter().find_map(|((topic, expected), answer)| match answer {
            Ok(found) if found.partitions == *expected => None,
            Ok(found) => {
                Some(format!("{topic} has {} partitions, and had {expected}", found.partitions))
            }
            Err(error) if error.kind == ClientErrorKind::UnknownTopic => {
                Some(format!("{topic} is gone"))
            }
            Err(_) => None,
        })
    }

    /// When there is something to do, unless an answer is waited for.
    pub(super) fn next(&self) -> Option<Instant> {
        self.call.is_none().then_some(self.due)
    }
}
