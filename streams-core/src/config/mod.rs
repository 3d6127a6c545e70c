//! The configuration of an application.

mod error;
mod handlers;

pub use error::{ConfigError, ConfigMistake};
pub use handlers::{
    ErrorHandler, Handlers, RestoreListener, RestorePhase, RestoreProgress, State, StateListener,
    ThreadErrorHandler,
};
