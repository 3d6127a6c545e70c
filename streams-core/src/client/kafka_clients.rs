//! The clients of a real Kafka: librdkafka fetches and produces, our own connections do the rest.

use tokio::runtime::Handle;

use super::call::WakeRef;
use super::error::ClientError;
use super::rdkafka::{RdkafkaClients, RdkafkaSettings};
use super::seam::{
    Admin, ClientSupplier, Fetcher, FetcherOptions, GroupTransport, Producer, ProducerOptions,
};
use super::wire::WireClients;
use crate::config::ResolvedConfig;

/// Makes clients for one application.
pub struct KafkaClients {
    rdkafka: RdkafkaClients,
    wire: WireClients,
}

impl KafkaClients {
    /// Clients of the brokers that the configuration names; both stacks get the same settings.
    /// `handle` is of a tokio runtime with I/O and time, which outlives the clients.
    ///
    /// # Errors
    /// A setting that one of the two does not know, or a value that it does not take.
    pub fn new(config: &ResolvedConfig, handle: Handle) -> Result<Self, ClientError> {
        let rdkafka = RdkafkaSettings::new(config.librdkafka_settings())?;
        let wire = WireClients::new(&config.connection_settings(), &config.client_id, handle)?;
        let steps = config.handlers.commit_steps.clone();
        Ok(Self { rdkafka: RdkafkaClients::new(rdkafka).with_commit_steps(steps), wire })
    }
}

impl ClientSupplier for KafkaClients {
    fn fetcher(
        &self,
        options: FetcherOptions,
        wake: WakeRef,
    ) -> Result<Box<dyn Fetcher>, ClientError> {
        Ok(Box::new(self.rdkafka.fetcher(&options, wake)?))
    }

    fn producer(
        &self,
        options: ProducerOptions,
        wake: WakeRef,
    ) -> Result<Box<dyn Producer>, ClientError> {
        Ok(Box::new(self.rdkafka.producer(&options, wake)?))
    }

    fn admin(&self, wake: WakeRef) -> Result<Box<dyn Admin>, ClientError> {
        Ok(self.wire.admin(wake))
    }

    fn group_transport(
        &self,
        group: &str,
        wake: WakeRef,
    ) -> Result<Box<dyn GroupTransport>, ClientError> {
        Ok(self.wire.group_transport(group, wake))
    }
}
