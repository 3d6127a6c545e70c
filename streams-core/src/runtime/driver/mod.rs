//! Drivers: what runs the state machines in production. The only module with threads and tokio
//! (the connections of [`crate::client::wire`] are tokio tasks, spawned on the runtime made here).

mod application;
mod io_runtime;
mod notifier;
mod threads;

pub use application::Application;
