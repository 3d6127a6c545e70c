//! Panics of the application's code, as errors that say where.

use std::any::Any;

use super::error::TaskError;
use super::task_state::TaskState;
use crate::client::TopicPartition;
use crate::error::{Coordinates, StreamsError};
use crate::record::{RecordContext, RecordMetadata};

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
    let at = Box::new(Coordinates { record, ..state.coordinates(&RecordContext::default()) });
    StreamsError::Panicked { at, message: panic_message(panic) }.into()
}

/// The text of a panic.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}
