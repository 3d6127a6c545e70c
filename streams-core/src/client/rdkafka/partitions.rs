//! How many partitions topics have: a number in memory for each record, asked of a broker on the
//! caller's thread when it is needed first, and in the background afterwards.
//!
//! By metadata requests, which any broker answers; describing topics waits for a controller.

use std::ffi::c_int;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use rdkafka_sys as sys;

use super::consumer::lock;
use super::errors;
use super::native::{self, Client, Topic};
use crate::client::error::{ClientError, ClientErrorKind};
use crate::time::{Clock, Instant, SystemClock};

/// How long a caller waits for a topic that it never heard of.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// How long a topic may be missing: it was made a moment ago, and brokers learn it one by one.
const MISSING_WAIT: Duration = Duration::from_secs(3);
/// Of one question: whoever waits longer asks again, and in the background flushes and commits
/// wait behind it.
const QUESTION_WAIT: Duration = Duration::from_secs(1);
/// Partitions are added now and then.
pub(super) const REFRESH_AFTER: Duration = Duration::from_secs(60);
/// Between two questions after an error.
const RETRY_WAIT: Duration = Duration::from_millis(100);

/// A topic's count, zero while unknown. Shared with the handles, which read it for each record.
pub(super) type Count = Arc<AtomicI32>;

/// The counts of one connection.
pub(super) struct PartitionCounts(Mutex<State>);

struct State {
    topics: HashMap<Arc<str>, Count, FixedState>,
    refreshed: Instant,
}

impl PartitionCounts {
    pub(super) fn new() -> Self {
        let refreshed = SystemClock.now();
        Self(Mutex::new(State { topics: HashMap::default(), refreshed }))
    }

    /// The count of a topic, zero when nobody asked yet.
    pub(super) fn of(&self, name: &Arc<str>) -> Count {
        lock(&self.0).topics.entry_ref(name).or_default().clone()
    }

    /// Asks for one topic if its count is unknown. Blocks for a moment.
    pub(super) fn look_up(&self, client: &Arc<Client>, name: &Arc<str>) {
        let count = self.of(name);
        if count.load(Ordering::Acquire) == 0 {
            learn(client, name, &count);
        }
    }

    /// Asks again for every topic when the counts are old. Blocks for a moment.
    pub(super) fn refresh(&self, client: &Arc<Client>) {
        let topics: Vec<_> = {
            let mut state = lock(&self.0);
            let now = SystemClock.now();
            if now.since(state.refreshed) < REFRESH_AFTER {
                return;
            }
            state.refreshed = now;
            state.topics.iter().map(|(name, count)| (name.clone(), count.clone())).collect()
        };
        for (name, count) in topics {
            if !learn(client, &name, &count) {
                // The next one would wait for the same broker.
                return;
            }
        }
    }

    /// A broker does not know a partition that we believed in: a refresh is due.
    pub(super) fn doubt(&self) {
        lock(&self.0).refreshed = Instant::default();
    }
}

/// Waits until a broker told the count. `pause` waits between two questions, and fails when there
/// is no use in waiting.
pub(super) fn wait_for_count(
    client: &Client,
    topic: &Topic,
    name: &str,
    mut pause: impl FnMut(Duration) -> Result<(), ClientError>,
) -> Result<i32, ClientError> {
    let start = SystemClock.now();
    loop {
        let error = match ask(client, topic, name, QUESTION_WAIT) {
            Ok(told) => return Ok(told),
            Err(error) => error,
        };
        let waited = SystemClock.now().since(start);
        let may_pass = match error.kind {
            ClientErrorKind::Retriable => waited < ANSWER_WAIT,
            ClientErrorKind::UnknownTopic => waited < MISSING_WAIT,
            _ => false,
        };
        if !may_pass {
            return Err(error);
        }
        pause(RETRY_WAIT)?;
    }
}

/// Asks in the background; whether a broker answered.
fn learn(client: &Arc<Client>, name: &Arc<str>, count: &Count) -> bool {
    let told = Topic::new(client, name).and_then(|topic| ask(client, &topic, name, QUESTION_WAIT));
    match told {
        Ok(told) => {
            count.store(told, Ordering::Release);
            true
        }
        Err(error) => {
            tracing::debug!(%error, "partition count not refreshed");
            !error.is_retriable()
        }
    }
}

/// One question to whichever broker is there.
fn ask(client: &Client, topic: &Topic, name: &str, wait: Duration) -> Result<i32, ClientError> {
    let wait_ms = c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX).max(1);
    let mut answer: *const sys::rd_kafka_metadata_t = ptr::null();
    // SAFETY: instance and topic are live; the answer is ours, and destroyed below, once.
    let code = unsafe {
        native::rd_kafka_metadata(client.as_ptr(), 0, topic.as_ptr(), &raw mut answer, wait_ms)
    };
    let place = format!("partitions of topic {name}");
    if code != 0 || answer.is_null() {
        return Err(errors::from_code(code, &place));
    }
    // SAFETY: a live answer with as many topics as it says. The topic's code is read as the
    // integer that it is, because it may be a broker's that the enum lacks.
    let told = unsafe {
        let told = ((*answer).topic_cnt > 0).then(|| {
            let topic = (*answer).topics;
            ((&raw const (*topic).err).cast::<i32>().read(), (*topic).partition_cnt)
        });
        sys::rd_kafka_metadata_destroy(answer);
        told
    };
    match told {
        Some((0, count)) if count > 0 => Ok(count),
        Some((0, _)) | None => {
            let message = format!("{place}: the broker told none");
            Err(ClientError::new(ClientErrorKind::UnknownTopic, message))
        }
        Some((code, _)) => Err(errors::from_code(code, &place)),
    }
}
