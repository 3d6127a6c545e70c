//! The clients of a real Kafka: librdkafka fetches and produces, our own connections do the rest.

use super::call::WakeRef;
use super::error::ClientError;
use super::rdkafka::RdkafkaClients;
use super::seam::{Admin, ClientSupplier, Fetcher, FetcherOptions, GroupTransport, Producer};
use super::wire::WireClients;

/// Makes clients for one application.
pub struct KafkaClients {
    rdkafka: RdkafkaClients,
    wire: WireClients,
}

impl KafkaClients {
    /// Clients of the brokers that the settings name; both stacks are given the same ones.
    pub fn new(rdkafka: RdkafkaClients, wire: WireClients) -> Self {
        Self { rdkafka, wire }
    }
}

impl ClientSupplier for KafkaClients {
    fn fetcher(
        &self,
        options: FetcherOptions,
        wake: WakeRef,
    ) -> Result<Box<dyn Fetcher>, ClientError> {
        self.rdkafka.fetcher(options, wake)
    }

    fn producer(
        &self,
        transactional_id: Option<&str>,
        wake: WakeRef,
    ) -> Result<Box<dyn Producer>, ClientError> {
        self.rdkafka.producer(transactional_id, wake)
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
