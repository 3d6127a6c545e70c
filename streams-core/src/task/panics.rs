//! Panics of the application's code, as errors that say where.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::error::TaskError;
use super::task_state::TaskState;
use crate::client::{RawRecord, TopicPartition};
use crate::error::{BoxError, Coordinates, StreamsError};
use crate::reaction::{ErrorContext, ErrorStage, Reaction};
use crate::record::{Headers, RecordContext, RecordMetadata};

/// What a panic was, and where: at the node that ran, with the record of `input` in hand.
#[cold]
pub(super) fn panicked(
    state: &TaskState,
    input: Option<&TopicPartition>,
    panic: &(dyn Any + Send),
) -> TaskError {
    let record = input.zip(state.head.as_ref()).map(|(input, raw)| RecordMetadata {
        topic: input.topic.clone(),
        partition: input.partition,
        offset: raw.offset(),
    });
    let message = panic_message(panic);
    let retried = catch_unwind(AssertUnwindSafe(|| retries(state, record.as_ref(), &message)));
    let at = Box::new(Coordinates { record, ..state.coordinates(&RecordContext::default()) });
    let error = StreamsError::Panicked { at, message };
    // A handler that panics wants no retry.
    if retried.unwrap_or(false) { TaskError::Retry(error) } else { error.into() }
}

/// Whether the application wants the task to be tried again. Nothing else is left after a panic:
/// what the processors hold may be half done.
fn retries(state: &TaskState, record: Option<&RecordMetadata>, message: &str) -> bool {
    let headers = Headers::new();
    let node = state.node_name();
    let mut context = ErrorContext::new(ErrorStage::Processing, node, state.task_id(), &headers);
    if let Some(record) = record {
        context.topic = &record.topic;
        context.partition = record.partition;
        context.offset = record.offset;
        context.raw_key = state.head.as_ref().and_then(RawRecord::key);
        context.raw_value = state.head.as_ref().and_then(RawRecord::value);
    }
    let error: BoxError = format!("panicked: {message}").into();
    (state.handlers.processing)(&context, &error) == Reaction::Retry
}

/// The text of a panic.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}
