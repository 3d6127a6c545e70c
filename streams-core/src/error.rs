//! Errors, by what is done about them.

/// Whatever went wrong in code of the application: in closures, processors and serdes.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
