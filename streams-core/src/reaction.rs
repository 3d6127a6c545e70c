//! What to do about a record that cannot be read, processed or written.
//!
//! A handler is a closure: `.on_processing_error(|cx, error| Reaction::Skip)`. Ready-made ones
//! are functions here: `.on_processing_error(reaction::dead_letter("orders-dlq"))`.

use crate::error::BoxError;
use crate::record::{Headers, Timestamp};
use crate::task_id::TaskId;

/// What a handler says about one record. Asked once, at the node that failed; the node's
/// siblings go on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reaction {
    /// The task fails; the thread error handler is asked next.
    Fail,
    /// The record is dropped, and counted.
    Skip,
    /// Once more, a little later: what the task has done since its last commit is taken back, and
    /// it goes on from there. A task that goes on failing runs alone, so that others progress, and
    /// fails for good after `task.timeout.ms`.
    Retry,
    /// The input record goes to `topic` as it was read, in the same transaction; then it is
    /// skipped.
    DeadLetter {
        /// The dead letter queue.
        topic: String,
    },
}

/// What to do when a stream thread has died.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ThreadReaction {
    /// A new thread takes its place.
    ReplaceThread,
    /// This instance closes, and `run` returns the error.
    #[default]
    ShutdownClient,
    /// All instances of the application close.
    ShutdownApplication,
}

/// Which step failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorStage {
    /// Bytes could not be read.
    Deserialization,
    /// The application's code failed.
    Processing,
    /// A record could not become bytes, or could not be written.
    Production,
}

impl ErrorStage {
    /// As in logs, metrics and the headers of dead letters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deserialization => "deserialization",
            Self::Processing => "processing",
            Self::Production => "production",
        }
    }
}

/// Which record it was, and where it failed. The counterpart of `ErrorHandlerContext`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ErrorContext<'a> {
    /// Which step failed.
    pub stage: ErrorStage,
    /// The input topic; empty in punctuators.
    pub topic: &'a str,
    /// Its partition; -1 in punctuators.
    pub partition: i32,
    /// The input record's offset; -1 in punctuators.
    pub offset: i64,
    /// The record's time.
    pub timestamp: Timestamp,
    /// The record's headers.
    pub headers: &'a Headers,
    /// The node that failed.
    pub node: &'a str,
    /// The task.
    pub task: TaskId,
    /// The input record's key; `None` when it is null or there is no input record.
    pub raw_key: Option<&'a [u8]>,
    /// The input record's value; `None` when it is null or there is no input record.
    pub raw_value: Option<&'a [u8]>,
}

impl<'a> ErrorContext<'a> {
    /// Without an input record; the fields can be filled in afterwards.
    pub fn new(stage: ErrorStage, node: &'a str, task: TaskId, headers: &'a Headers) -> Self {
        Self {
            stage,
            topic: "",
            partition: -1,
            offset: -1,
            timestamp: Timestamp::from_millis(-1),
            headers,
            node,
            task,
            raw_key: None,
            raw_value: None,
        }
    }

    /// The headers of this record's dead letter: its own, then those by which Kafka Streams says
    /// what happened and where (`__streams.errors.exception`, `.message`, `.stacktrace`,
    /// `.topic`, `.partition`, `.offset`).
    pub fn dead_letter_headers(&self, error: &BoxError) -> Headers {
        let mut headers = self.headers.clone();
        headers
            .push("__streams.errors.exception", format!("{}-error", self.stage.as_str()))
            .push("__streams.errors.message", error.to_string())
            .push("__streams.errors.stacktrace", causes(error))
            .push("__streams.errors.topic", self.topic)
            .push("__streams.errors.partition", self.partition.to_string())
            .push("__streams.errors.offset", self.offset.to_string());
        headers
    }
}

/// A handler that fails, which is what happens without one.
pub fn fail(_: &ErrorContext<'_>, _: &BoxError) -> Reaction {
    Reaction::Fail
}

/// A handler that drops the record; it is counted and logged.
pub fn skip(_: &ErrorContext<'_>, _: &BoxError) -> Reaction {
    Reaction::Skip
}

/// A handler that sends the record to `topic`, which must exist.
pub fn dead_letter(
    topic: impl Into<String>,
) -> impl Fn(&ErrorContext<'_>, &BoxError) -> Reaction + Send + Sync + 'static {
    let topic = topic.into();
    move |_, _| Reaction::DeadLetter { topic: topic.clone() }
}

fn causes(error: &BoxError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str("\ncaused by: ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_keeps_its_headers_and_says_what_happened() {
        let headers = Headers::from_iter([("trace", Some("1"))]);
        let mut cx =
            ErrorContext::new(ErrorStage::Deserialization, "source", TaskId::new(0, 2), &headers);
        (cx.topic, cx.partition, cx.offset) = ("orders", 2, 9);
        let outer = crate::error::StreamsError::Topology("inner".into());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let letter: Vec<_> = cx
            .dead_letter_headers(&outer.into())
            .iter()
            .map(|(name, value)| (name.to_owned(), value.map(text).unwrap_or_default()))
            .collect();
        let expected = [
            ("trace", "1"),
            ("__streams.errors.exception", "deserialization-error"),
            ("__streams.errors.message", "the topology cannot run"),
            ("__streams.errors.stacktrace", "the topology cannot run\ncaused by: inner"),
            ("__streams.errors.topic", "orders"),
            ("__streams.errors.partition", "2"),
            ("__streams.errors.offset", "9"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(letter, expected);
        assert!(headers.len() == 1, "the original is not written");
    }

    #[test]
    fn ready_made_handlers_fit_where_closures_do() {
        fn takes(_: impl Fn(&ErrorContext<'_>, &BoxError) -> Reaction + Send + Sync + 'static) {}
        takes(fail);
        takes(skip);
        takes(dead_letter("dlq"));
        takes(|cx, _| if cx.offset == 0 { Reaction::Skip } else { Reaction::Fail });
    }
}
