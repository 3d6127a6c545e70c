//! Whether the topics of the global stores are still those that were read: a store whose topic was
//! deleted hears nothing more, and one whose topic was made anew would mix the records of two.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::start::Opened;
use crate::client::{Admin, Call, ClientErrorKind, Each, TopicDescription};
use crate::error::StreamsError;
use crate::time::Instant;

/// Pause before a topic that is missing is asked for again.
const MISSING_INTERVAL: Duration = Duration::from_millis(200);
/// A broker may not know a topic for a moment; one that is missing for longer was deleted.
const MISSING_PATIENCE: Duration = Duration::from_secs(5);

/// Asks for the topics now and then, and when a reader has missed one.
pub(super) struct TopicCheck {
    admin: Box<dyn Admin>,
    topics: Vec<KnownTopic>,
    interval: Duration,
    due: Instant,
    asked: Option<Call<Each<TopicDescription>>>,
    /// Since when one of them is not found.
    missing_since: Option<Instant>,
}

/// A topic as it was when reading began.
pub(super) struct KnownTopic {
    name: Arc<str>,
    id: Uuid,
    store: String,
}

impl TopicCheck {
    /// Looks every `interval`.
    pub(super) fn new(
        admin: Box<dyn Admin>,
        topics: Vec<KnownTopic>,
        interval: Duration,
        now: Instant,
    ) -> Self {
        Self { admin, topics, interval, due: now + interval, asked: None, missing_since: None }
    }

    /// A reader has missed a topic: looks at once. Whether that is news.
    pub(super) fn suspect(&mut self, now: Instant) -> bool {
        let news = self.missing_since.is_none();
        self.missing_since.get_or_insert(now);
        if news {
            self.due = now;
        }
        news
    }

    /// When it has to be looked at again, if nothing wakes it before.
    pub(super) fn due(&self) -> Option<Instant> {
        self.asked.is_none().then_some(self.due)
    }

    /// Asks, or takes the answer.
    ///
    /// # Errors
    /// A topic is gone, or is another one of the same name. The store keeps what it has: the next
    /// start finds out what became of the topic.
    pub(super) fn advance(&mut self, now: Instant) -> Result<(), StreamsError> {
        if self.asked.is_none() {
            if now < self.due {
                return Ok(());
            }
            let names = self.topics.iter().map(|topic| topic.name.clone()).collect();
            self.asked = Some(self.admin.describe_topics(names));
        }
        let Some(answer) = self.asked.as_mut().and_then(Call::try_take) else { return Ok(()) };
        self.asked = None;
        self.due = now + self.interval;
        match answer {
            Ok(found) => self.compare(found, now),
            Err(error) => {
                tracing::debug!(%error, "the topics of the global stores cannot be looked at");
                self.due = now + MISSING_INTERVAL.min(self.interval);
                Ok(())
            }
        }
    }

    fn compare(&mut self, found: Each<TopicDescription>, now: Instant) -> Result<(), StreamsError> {
        let mut missing = None;
        for (topic, found) in self.topics.iter().zip(found) {
            match found {
                Ok(found) if !topic.is(&found) => return Err(topic.made_anew()),
                Err(error) if error.kind == ClientErrorKind::UnknownTopic => {
                    missing = missing.or(Some((topic, error)));
                }
                Ok(_) | Err(_) => {}
            }
        }
        let Some((topic, error)) = missing else {
            self.missing_since = None;
            return Ok(());
        };
        if now.since(*self.missing_since.get_or_insert(now)) > MISSING_PATIENCE {
            return Err(StreamsError::Fatal {
                message: format!(
                    "topic {} of global store {} was deleted while it was read: create it again \
                     and start the instance again, which reads it from its beginning; or take the \
                     store out of the topology",
                    topic.name, topic.store
                ),
                source: Some(error.into()),
            });
        }
        self.due = now + MISSING_INTERVAL.min(self.interval);
        Ok(())
    }
}

impl KnownTopic {
    /// The topic that feeds that store.
    pub(super) fn of(opened: &Opened) -> Self {
        let Opened { setup, layers, .. } = opened;
        let store = layers.spec().name.clone();
        Self { name: setup.topic.clone(), id: setup.topic_id, store }
    }

    /// Brokers that tell no ids cannot be asked.
    fn is(&self, found: &TopicDescription) -> bool {
        self.id.is_nil() || found.id.is_nil() || self.id == found.id
    }

    fn made_anew(&self) -> StreamsError {
        StreamsError::Fatal {
            message: format!(
                "topic {} of global store {} was deleted and created again while it was read: \
                 start the instance again to read it from its beginning",
                self.name, self.store
            ),
            source: None,
        }
    }
}
