//! The leader looks now and then whether the users' topics are still what the tasks were made from,
//! and whether new ones match a source's pattern.

use std::sync::Arc;
use std::time::Duration;

use crate::assignment::GroupTopology;
use crate::assignment::partition_counts::{Counts, source_topics};
use crate::client::{Admin, Call, ClientErrorKind, Each, TopicDescription};
use crate::time::Instant;

pub(super) struct TopicWatch {
    interval: Duration,
    due: Instant,
    declared: Arc<GroupTopology>,
    expected: Counts,
    call: Option<Question>,
}

enum Question {
    Describe(Call<Each<TopicDescription>>),
    List(Call<Vec<Arc<str>>>),
}

impl TopicWatch {
    /// Watches what was found for the topology that was declared.
    pub(super) fn new(
        declared: Arc<GroupTopology>,
        interval: Duration,
        expected: impl Iterator<Item = (Arc<str>, i32)>,
        now: Instant,
    ) -> Self {
        let interval = interval.max(Duration::from_millis(1));
        let expected = expected.collect();
        Self { interval, due: now + interval, declared, expected, call: None }
    }

    /// What is different, if something is. Without an answer nothing is known to be.
    pub(super) fn step(&mut self, admin: &mut dyn Admin, now: Instant) -> Option<String> {
        if self.call.is_none() && now >= self.due {
            let topics = self.expected.keys().cloned().collect();
            self.call = Some(Question::Describe(admin.describe_topics(topics)));
        }
        match self.call.as_mut()? {
            Question::Describe(call) => {
                let answer = call.try_take()?;
                self.call =
                    (self.declared.has_patterns()).then(|| Question::List(admin.list_topics()));
                self.due = now + self.interval;
                self.changed(answer.ok()?)
            }
            Question::List(call) => {
                let answer = call.try_take()?;
                self.call = None;
                self.found(&answer.ok()?)
            }
        }
    }

    /// A topic that matches a pattern, and did not exist before.
    fn found(&self, existing: &[Arc<str>]) -> Option<String> {
        let resolved = self.declared.resolved(existing.iter());
        let new = source_topics(&resolved).into_iter().find(|t| !self.expected.contains_key(*t))?;
        Some(format!("{new} is new, and matches a pattern"))
    }

    fn changed(&self, answers: Each<TopicDescription>) -> Option<String> {
        let answers = self.expected.iter().zip(answers);
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
