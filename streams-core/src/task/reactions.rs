//! Who is asked about errors, and what follows.

use std::sync::Arc;

use super::dropped::DropReason;
use super::error::{Escalated, TaskError};
use super::sink::partition_of;
use super::task_state::TaskState;
use crate::client::{ProducerRecord, RawRecord, Tag};
use crate::error::{BoxError, Coordinates, StreamsError};
use crate::reaction::{ErrorContext, ErrorStage, Reaction};
use crate::record::{Headers, RecordContext};

impl TaskState {
    /// A processor, a punctuator or a flush of the node in hand returned an error. `Ok`: go on
    /// with the next record.
    #[cold]
    pub(super) fn processing_failed(
        &mut self,
        error: BoxError,
        record: &RecordContext,
    ) -> Result<(), BoxError> {
        if self.escalated.is_some() {
            return Err(error);
        }
        self.react(ErrorStage::Processing, error, record, |at, source| StreamsError::Processing {
            at,
            source,
        })
    }

    /// A record of a source cannot be read.
    #[cold]
    pub(super) fn deserialization_failed(
        &mut self,
        what: &'static str,
        error: BoxError,
        record: &RecordContext,
    ) -> Result<(), BoxError> {
        self.react(ErrorStage::Deserialization, error, record, |at, source| {
            StreamsError::Deserialization { what, at, source }
        })
    }

    /// A record cannot become bytes, or has nowhere to go.
    #[cold]
    pub(super) fn production_failed(
        &mut self,
        topic: &Arc<str>,
        error: BoxError,
        record: &RecordContext,
    ) -> Result<(), BoxError> {
        let topic = topic.clone();
        self.react(ErrorStage::Production, error, record, |at, source| StreamsError::Production {
            topic,
            at,
            source,
        })
    }

    fn react(
        &mut self,
        stage: ErrorStage,
        error: BoxError,
        record: &RecordContext,
        fail: impl FnOnce(Box<Coordinates>, BoxError) -> StreamsError,
    ) -> Result<(), BoxError> {
        let headers = record.headers().clone();
        let mut letter = None;
        let reaction = {
            let context = self.error_context(stage, record, &headers);
            let reaction = self.handler(stage)(&context, &error);
            if let Reaction::DeadLetter { .. } = &reaction {
                letter = Some(context.dead_letter_headers(&error));
            }
            reaction
        };
        let at = self.coordinates(record);
        match (reaction, letter) {
            (Reaction::Skip, _) => {
                tracing::warn!(stage = stage.as_str(), %error, %at, "skipped a record");
            }
            (Reaction::DeadLetter { topic }, Some(headers)) => {
                tracing::warn!(stage = stage.as_str(), %error, %at, to = topic, "dead letter");
                self.send_dead_letter(&topic.into(), &headers, record)
                    .map_err(|error| self.escalate(error))?;
            }
            (Reaction::Retry, _) => {
                return Err(self.escalate(TaskError::Retry(fail(Box::new(at), error))));
            }
            _ => return Err(self.escalate(fail(Box::new(at), error))),
        }
        let reason = match stage {
            ErrorStage::Deserialization => DropReason::Deserialization,
            ErrorStage::Processing => DropReason::Processing,
            ErrorStage::Production => DropReason::Production,
        };
        self.drop_counts.add(self.node, reason);
        Ok(())
    }

    fn handler(&self, stage: ErrorStage) -> &crate::config::ErrorHandler {
        match stage {
            ErrorStage::Deserialization => &self.handlers.deserialization,
            ErrorStage::Processing => &self.handlers.processing,
            ErrorStage::Production => &self.handlers.production,
        }
    }

    fn error_context<'a>(
        &'a self,
        stage: ErrorStage,
        record: &'a RecordContext,
        headers: &'a Headers,
    ) -> ErrorContext<'a> {
        let node = self.node_name();
        let mut context = ErrorContext::new(stage, node, self.task_id(), headers);
        context.timestamp = record.timestamp();
        if let Some(metadata) = record.metadata() {
            context.topic = &metadata.topic;
            context.partition = metadata.partition;
            context.offset = metadata.offset;
            context.raw_key = self.head.as_ref().and_then(RawRecord::key);
            context.raw_value = self.head.as_ref().and_then(RawRecord::value);
        }
        context
    }

    /// The input record as it was read.
    fn send_dead_letter(
        &mut self,
        topic: &Arc<str>,
        headers: &Headers,
        record: &RecordContext,
    ) -> Result<(), TaskError> {
        let slot = self.collector.topic(topic)?;
        // Before a time was found for it, the record has the one that it was read with.
        let timestamp = record.timestamp().as_millis().max(0);
        let head = if record.metadata().is_some() { self.head.as_ref() } else { None };
        let (key, value) = (head.and_then(RawRecord::key), head.and_then(RawRecord::value));
        let partition = partition_of(&mut *self.collector, slot, key)?;
        let tag = Tag::NONE;
        self.collector.send(ProducerRecord {
            topic: slot,
            partition,
            timestamp,
            key,
            value,
            headers,
            tag,
        })?;
        Ok(())
    }

    /// The error that ends what the task is doing, if it gave up.
    pub(super) fn ended<R>(&mut self, result: Result<R, BoxError>) -> Result<R, TaskError> {
        // A processor may have swallowed the error on its way up: the task has given up still.
        if let Some(error) = self.escalated.take() {
            return Err(error);
        }
        result.map_err(|error| {
            debug_assert!(!error.is::<Escalated>(), "an escalation leaves its reason");
            let message = format!("task {} failed", self.task_id());
            StreamsError::Fatal { message, source: Some(error) }.into()
        })
    }
}
