//! What is wrong with a topology.

use std::fmt;
use std::panic::Location;

/// Every mistake of a topology, each with file and line of the user's call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopologyError {
    /// In the order in which they were made; never empty.
    pub mistakes: Vec<Mistake>,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mistake {
    /// What is wrong, and what to do.
    pub message: String,
    /// The call that is wrong.
    pub location: &'static Location<'static>,
}

impl TopologyError {
    /// These mistakes.
    pub fn new(mistakes: Vec<Mistake>) -> Self {
        Self { mistakes }
    }
}

impl Mistake {
    /// A mistake of the call at `location`.
    pub fn new(message: impl Into<String>, location: &'static Location<'static>) -> Self {
        Self { message: message.into(), location }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.location)
    }
}

impl fmt::Display for TopologyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mistakes.as_slice() {
            [mistake] => write!(f, "the topology has a mistake: {mistake}"),
            mistakes => {
                write!(f, "the topology has {} mistakes:", mistakes.len())?;
                mistakes.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
            }
        }
    }
}

impl std::error::Error for TopologyError {}
