//! Fetching and producing by librdkafka, straight on its C interface: the crate's wrappers cost a
//! heap allocation per record read, and 100 to 200 ms per commit.
//!
//! Reading order: `config` (settings), `fetcher` (what it means to read a partition) on
//! `consumer` (the shared instance) and `ready`; `producer` on `connection` (instance and
//! threads), `delivery` (reports), `partitions` (counts) and `transaction` (outcomes); `errors`
//! (codes and reactions); `native` (owners of C objects).

#![allow(unsafe_code, reason = "calls librdkafka's C interface")]

mod config;
mod connection;
mod consumer;
mod delivery;
mod errors;
mod fetcher;
mod message;
mod native;
mod partitions;
mod producer;
mod ready;
mod transaction;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, Weak};

pub use config::RdkafkaSettings;
use connection::Connection;
use consumer::{ConsumerPool, lock};
pub use fetcher::RdkafkaFetcher;
pub(crate) use message::Message;
pub use producer::RdkafkaProducer;

use super::call::WakeRef;
use super::error::ClientError;
use super::seam::{FetcherOptions, ProducerOptions};
use crate::runtime::CommitSteps;

/// The librdkafka instances of a process, shared between its threads.
pub struct RdkafkaClients {
    settings: Arc<RdkafkaSettings>,
    pools: Mutex<Vec<Arc<ConsumerPool>>>,
    plain: Mutex<Weak<Connection>>,
    steps: CommitSteps,
}

impl RdkafkaClients {
    /// Clients with these settings. Nothing is connected yet.
    pub fn new(settings: RdkafkaSettings) -> Self {
        Self {
            settings: Arc::new(settings),
            pools: Mutex::default(),
            plain: Mutex::default(),
            steps: CommitSteps::default(),
        }
    }

    /// Tells the steps of each commit that lie behind the seam.
    #[must_use]
    pub fn with_commit_steps(self, steps: CommitSteps) -> Self {
        Self { steps, ..self }
    }

    /// A reader. Readers of equal isolation, buffer size and settings share a consumer (and the
    /// client id of the first); a partition that one of them reads already gets a consumer of its own.
    ///
    /// # Errors
    /// [`Invalid`](super::ClientErrorKind::Invalid) for settings that do not fit together.
    pub fn fetcher(
        &self,
        options: &FetcherOptions,
        wake: WakeRef,
    ) -> Result<RdkafkaFetcher, ClientError> {
        let pool = {
            let mut pools = lock(&self.pools);
            let known = pools.iter().find(|pool| {
                let known = pool.options();
                self.settings.are_alike(known.role, options.role)
                    && known.isolation == options.isolation
                    && known.buffer_bytes_per_partition == options.buffer_bytes_per_partition
            });
            match known {
                Some(pool) => pool.clone(),
                None => {
                    let pool = ConsumerPool::new(self.settings.clone(), options.clone());
                    pools.push(Arc::new(pool));
                    pools[pools.len() - 1].clone()
                }
            }
        };
        RdkafkaFetcher::new(pool, wake)
    }

    /// A writer: with a transactional id on a librdkafka producer of its own, else on a shared
    /// one with the options of the first, which is made anew once it has died.
    ///
    /// # Errors
    /// [`Invalid`](super::ClientErrorKind::Invalid) for settings that do not fit together.
    pub fn producer(
        &self,
        options: &ProducerOptions,
        wake: WakeRef,
    ) -> Result<RdkafkaProducer, ClientError> {
        if options.transactional_id.is_some() {
            let connection = Arc::new(Connection::start(&self.settings, options, &self.steps)?);
            return Ok(RdkafkaProducer::new(connection, wake));
        }
        let mut plain = lock(&self.plain);
        let living = plain.upgrade().filter(|connection| connection.shared().dead().is_none());
        let connection = match living {
            Some(connection) => connection,
            None => Arc::new(Connection::start(&self.settings, options, &self.steps)?),
        };
        *plain = Arc::downgrade(&connection);
        Ok(RdkafkaProducer::new(connection, wake))
    }
}
