//! How many partitions topics have: asked in the background, answered from a number in memory.

use std::ffi::{CString, c_void};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use rdkafka_sys as sys;

use super::consumer::lock;
use super::errors;
use super::native::{self, Client, Queue};
use crate::client::error::{ClientError, ClientErrorKind};
use crate::time::{Clock, Instant, SystemClock};

/// How long a caller waits for a topic that it never heard of.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// How long a topic may be missing: it was made a moment ago, and brokers learn it one by one.
const MISSING_WAIT: Duration = Duration::from_secs(3);
/// Between two questions after an error.
const RETRY_WAIT: Duration = Duration::from_millis(100);
/// Partitions are added now and then.
const REFRESH_AFTER: Duration = Duration::from_secs(60);
/// Of one question.
const REQUEST_TIMEOUT_MS: i32 = 5000;

/// A topic's count, zero while unknown. Shared with the handles, which read it for each record.
pub(super) type Count = Arc<AtomicI32>;

/// The counts of one connection.
pub(super) struct PartitionCounts {
    state: Mutex<State>,
    answered: Condvar,
}

#[derive(Default)]
struct State {
    topics: HashMap<Arc<str>, Topic, FixedState>,
    questions: HashMap<usize, Vec<Arc<str>>, FixedState>,
    next_question: usize,
    refreshed: Instant,
}

struct Topic {
    count: Count,
    asked: bool,
    error: Option<ClientError>,
}

impl PartitionCounts {
    pub(super) fn new() -> Self {
        let state = State { refreshed: SystemClock.now(), ..State::default() };
        Self { state: Mutex::new(state), answered: Condvar::new() }
    }

    /// The count of a topic; asks for it in the background when it is new.
    pub(super) fn of(&self, client: &Client, answers: &Queue, name: &Arc<str>) -> Count {
        let mut state = lock(&self.state);
        if let Some(topic) = state.topics.get(name) {
            return topic.count.clone();
        }
        let count = Count::default();
        let topic = Topic { count: count.clone(), asked: false, error: None };
        state.topics.insert(name.clone(), topic);
        ask(&mut state, client, answers, vec![name.clone()]);
        count
    }

    /// Waits until a broker told the count.
    pub(super) fn wait(
        &self,
        client: &Client,
        answers: &Queue,
        name: &Arc<str>,
    ) -> Result<i32, ClientError> {
        let start = SystemClock.now();
        let mut state = lock(&self.state);
        loop {
            let Some(topic) = state.topics.get(name) else {
                return Err(unknown(name));
            };
            let count = topic.count.load(Ordering::Acquire);
            if count > 0 {
                return Ok(count);
            }
            let waited = SystemClock.now().since(start);
            if topic.asked {
                if waited >= ANSWER_WAIT {
                    let message = format!("no broker told the partitions of topic {name} in time");
                    return Err(ClientError::retriable(message));
                }
            } else {
                match topic.error.clone() {
                    Some(error) if !may_pass(&error, waited) => return Err(error),
                    Some(_) if waited > Duration::ZERO => state = self.pause(state, RETRY_WAIT),
                    _ => {}
                }
                ask(&mut state, client, answers, vec![name.clone()]);
            }
            state = self.pause(state, RETRY_WAIT);
        }
    }

    /// Asks again for every topic when the counts are old. Called now and then.
    pub(super) fn refresh(&self, client: &Client, answers: &Queue) {
        let now = SystemClock.now();
        let mut state = lock(&self.state);
        if now.since(state.refreshed) < REFRESH_AFTER {
            return;
        }
        state.refreshed = now;
        let names: Vec<_> = state.topics.keys().cloned().collect();
        ask(&mut state, client, answers, names);
    }

    /// A broker does not know a partition that we believed in: the next refresh is due.
    pub(super) fn doubt(&self) {
        lock(&self.state).refreshed = Instant::default();
    }

    /// Takes in the answer to a question.
    ///
    /// # Safety
    /// The event is live, and the result of a question of this object.
    pub(super) unsafe fn answer(&self, event: *mut sys::rd_kafka_event_t) {
        // SAFETY: live, and of that type (the caller's promise).
        let (question, code) = unsafe {
            (sys::rd_kafka_event_opaque(event).addr(), native::rd_kafka_event_error(event))
        };
        let mut state = lock(&self.state);
        let asked = state.questions.remove(&question).unwrap_or_default();
        if code != 0 {
            for name in asked {
                state.learn(&name, Err(errors::from_code(code, &format!("topic {name}"))));
            }
        } else {
            // SAFETY: as above.
            for (name, count) in unsafe { descriptions(event) } {
                state.learn(&name, count);
            }
        }
        drop(state);
        self.answered.notify_all();
    }

    fn pause<'a>(&self, state: MutexGuard<'a, State>, wait: Duration) -> MutexGuard<'a, State> {
        let (state, _) =
            self.answered.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
        state
    }
}

impl State {
    fn learn(&mut self, name: &str, answer: Result<i32, ClientError>) {
        let Some(topic) = self.topics.get_mut(name) else { return };
        topic.asked = false;
        match answer {
            Ok(count) => {
                topic.count.store(count, Ordering::Release);
                topic.error = None;
            }
            Err(error) => topic.error = Some(error),
        }
    }
}

/// Whether it is worth asking again after that error.
fn may_pass(error: &ClientError, waited: Duration) -> bool {
    match error.kind {
        ClientErrorKind::Retriable => waited < ANSWER_WAIT,
        ClientErrorKind::UnknownTopic => waited < MISSING_WAIT,
        _ => false,
    }
}

/// Asks for topics that are not being asked for. Answers come as events into `answers`.
fn ask(state: &mut State, client: &Client, answers: &Queue, mut names: Vec<Arc<str>>) {
    let mut c_names = Vec::new();
    names.retain(|name| {
        let Some(topic) = state.topics.get_mut(name) else { return false };
        let Ok(c_name) = CString::new(&**name) else { return false };
        let new = !std::mem::replace(&mut topic.asked, true);
        if new {
            c_names.push(c_name);
        }
        new
    });
    if names.is_empty() {
        return;
    }
    state.next_question += 1;
    let question = state.next_question;
    state.questions.insert(question, names);
    let opaque: *mut c_void = std::ptr::without_provenance_mut(question);
    let mut pointers: Vec<_> = c_names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: instance and queue are live; names are copied; the collection and the options are
    // destroyed once, after the call, which does not keep them.
    unsafe {
        let topics =
            sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let options = sys::rd_kafka_AdminOptions_new(
            client.as_ptr(),
            sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        sys::rd_kafka_AdminOptions_set_request_timeout(
            options,
            REQUEST_TIMEOUT_MS,
            std::ptr::null_mut(),
            0,
        );
        sys::rd_kafka_AdminOptions_set_opaque(options, opaque);
        sys::rd_kafka_DescribeTopics(client.as_ptr(), topics, options, answers.as_ptr());
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_TopicCollection_destroy(topics);
    }
}

/// # Safety
/// The event is a live result of describing topics.
unsafe fn descriptions(
    event: *mut sys::rd_kafka_event_t,
) -> Vec<(String, Result<i32, ClientError>)> {
    let mut found = Vec::new();
    // SAFETY: everything read here belongs to the live event; lists have the lengths told.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        for index in 0..count {
            let topic = *topics.add(index);
            let name = native::text(sys::rd_kafka_TopicDescription_name(topic));
            let error = sys::rd_kafka_TopicDescription_error(topic);
            let code = if error.is_null() { 0 } else { native::rd_kafka_error_code(error) };
            let mut partitions = 0;
            let answer = if code == 0 {
                sys::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
                Ok(i32::try_from(partitions).unwrap_or(i32::MAX))
            } else {
                Err(errors::from_code(code, &format!("topic {name}")))
            };
            found.push((name, answer));
        }
    }
    found
}

fn unknown(name: &str) -> ClientError {
    ClientError::new(ClientErrorKind::UnknownTopic, format!("topic {name} was never asked for"))
}
