//! `UnlimitedWindows`.

use streams_core::Timestamp;

use super::Problem;
use crate::graph::Call;

/// One window that never ends. Records before its start belong to none.
#[derive(Clone, Debug)]
pub struct UnlimitedWindows {
    call: Call,
    start: Timestamp,
}

impl UnlimitedWindows {
    /// The window that begins at `start`: `UnlimitedWindows::starting(Timestamp::default())` begins
    /// with the epoch.
    #[track_caller]
    pub fn starting(start: Timestamp) -> Self {
        Self { call: Call::new("UnlimitedWindows::starting"), start }
    }

    pub(crate) fn check(&self) -> Result<(), Problem> {
        if self.start.as_millis() < 0 {
            let call = self.call;
            return Err((call, format!("{call}: a window cannot begin before the epoch")));
        }
        Ok(())
    }

    pub(crate) fn start(&self) -> Timestamp {
        self.start
    }
}
