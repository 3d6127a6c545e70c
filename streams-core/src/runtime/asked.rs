//! A question to the admin about several things at once, polled until it is answered.

use crate::client::{Call, ClientError, Each};

/// Waiting, or answered in full.
pub(super) enum Asked<T> {
    Waiting(Call<Each<T>>),
    Answered(Vec<T>),
}

impl<T> Asked<T> {
    /// Asks, unless there is nothing to ask.
    pub(super) fn new(questions: usize, ask: impl FnOnce() -> Call<Each<T>>) -> Self {
        if questions == 0 { Self::Answered(Vec::new()) } else { Self::Waiting(ask()) }
    }

    /// Whether the answers are there; the first error if there is one.
    pub(super) fn poll(&mut self) -> Result<bool, ClientError> {
        if let Self::Waiting(call) = self {
            let Some(answer) = call.try_take() else { return Ok(false) };
            *self = Self::Answered(answer?.into_iter().collect::<Result<_, _>>()?);
        }
        Ok(true)
    }

    pub(super) fn answers(&self) -> &[T] {
        match self {
            Self::Answered(answers) => answers,
            Self::Waiting(_) => &[],
        }
    }

    pub(super) fn into_answers(self) -> Vec<T> {
        match self {
            Self::Answered(answers) => answers,
            Self::Waiting(_) => Vec::new(),
        }
    }
}
