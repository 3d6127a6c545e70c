//! What an application's own engine is made of: implement [`StorageEngine`], have
//! [`conformance::check`](state_stores::conformance::check) judge it in a test (`streams-test`
//! has it too), and give it to
//! [`StreamsConfig::engine`](crate::config::StreamsConfig::engine) or
//! [`engine_of`](crate::config::StreamsConfig::engine_of).
//!
//! ```no_run
//! # use std::path::Path;
//! # use streams_core::StreamsConfig;
//! use streams_core::stores::engine::{EngineKind, EngineSupplier};
//! # use streams_core::stores::engine::{Batch, Direction, EngineError, KeyRange, StorageEngine};
//! # struct LogEngine;
//! # impl LogEngine {
//! #     fn open(_: &Path) -> std::io::Result<Self> { Ok(Self) }
//! # }
//! # impl StorageEngine for LogEngine {
//! #     fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, EngineError> { Ok(None) }
//! #     fn scan(
//! #         &self, _: &KeyRange, _: Direction,
//! #         _: &mut dyn FnMut(&[u8], &[u8]) -> std::ops::ControlFlow<()>,
//! #     ) -> Result<(), EngineError> { Ok(()) }
//! #     fn write(&self, _: Batch<'_>) -> Result<(), EngineError> { Ok(()) }
//! #     fn flush(&self) -> Result<(), EngineError> { Ok(()) }
//! # }
//! let config = StreamsConfig::new("orders", "localhost:9092")
//!     .engine(EngineSupplier::new("log", |directory| LogEngine::open(directory)))
//!     .engine_of("customers", EngineKind::RocksDb);
//! ```

pub use state_stores::{
    Batch, Direction, EngineError, EngineKind, EngineSupplier, KeyRange, StorageEngine,
};
