//! What an operator is.

use super::context::ProcessorContext;
use crate::error::BoxError;

/// What may travel between two operators. Implemented for every type that can; never implement
/// it by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel between operators",
    label = "records must be `Clone + Send + Sync + 'static`",
    note = "derive `Clone` for `{Self}`, or wrap it: `Arc<{Self}>` clones cheaply"
)]
pub trait Data: Clone + Send + Sync + 'static {}
impl<T: Clone + Send + Sync + 'static> Data for T {}

/// Sees each record, may keep stores and timers, forwards what it likes. Made by its supplier,
/// once per task, and made anew when a commit was aborted: across records it may hold only what
/// its supplier can rebuild.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Processor`",
    note = "`process` takes a supplier that returns a `Processor` whose `KIn` and `VIn` are the stream's key and value"
)]
pub trait Processor: Send + Sized + 'static {
    /// The key of what comes in.
    type KIn: Data;
    /// The value of what comes in.
    type VIn: Data;
    /// The key of what is forwarded.
    type KOut: Data;
    /// The value of what is forwarded.
    type VOut: Data;

    /// Handles one record. An error goes to the processing handler, with this processor's name.
    fn process(
        &mut self,
        key: Self::KIn,
        value: Self::VIn,
        ctx: &mut ProcessorContext<'_, Self::KOut, Self::VOut>,
    ) -> Result<(), BoxError>;

    /// Called before each commit, parents before children: forwards what was held back. A
    /// processor that holds something back keeps it in a store.
    fn flush(
        &mut self,
        ctx: &mut ProcessorContext<'_, Self::KOut, Self::VOut>,
    ) -> Result<(), BoxError> {
        let _ = ctx;
        Ok(())
    }

    /// Called when the task is closed, not after a failure.
    fn close(&mut self) {}
}
