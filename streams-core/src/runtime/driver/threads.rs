//! Operating system threads that step a state machine each, and block in one place.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use super::notifier::Notifier;
use crate::runtime::step::Next;
use crate::time::{ClockRef, Instant};

/// Starts a thread that steps until `Done`, or until a panic, which is handed to `on_panic`.
#[allow(clippy::disallowed_methods, reason = "the door to threads")]
pub(crate) fn spawn(
    name: String,
    notifier: Arc<Notifier>,
    clock: ClockRef,
    mut step: impl FnMut(Instant) -> Next + Send + 'static,
    on_panic: impl FnOnce(String) + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.clone()).spawn(move || {
        loop {
            let next = catch_unwind(AssertUnwindSafe(|| step(clock.now())));
            match next {
                Ok(Next::Ready) => {}
                Ok(Next::WaitUntil(deadline)) => notifier.wait(Some(deadline), &clock),
                Ok(Next::Wait) => notifier.wait(None, &clock),
                Ok(Next::Done) => return,
                Err(panic) => {
                    // What the machine holds must be free before anybody reacts.
                    drop(step);
                    return on_panic(panic_message(panic.as_ref()));
                }
            }
        }
    })
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".to_owned())
}
