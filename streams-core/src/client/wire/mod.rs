//! Our own connections to Kafka, for everything that librdkafka does not do for us: topics and
//! offsets ([`Admin`]), and group membership ([`GroupTransport`]).
//!
//! Messages and their encoding come from `kacrab-protocol`; the transport is here. Reading order:
//! `settings` and `security` (what the user configures), `framing` (requests and answers on one
//! stream), `connection` (how one is opened: TCP, TLS, versions, SASL), `cluster` (brokers, leaders,
//! coordinators), `admin` and `group` (the two traits), `failure` (whether a call is repeated).
//!
//! This and the runtime's drivers are the only users of tokio. Each call of the traits becomes a
//! task on the runtime that was handed over, and ends when the handle is dropped, with its
//! connections.

mod address;
mod admin;
mod cluster;
mod committed;
mod connection;
mod consumer_protocol;
mod failure;
mod framing;
mod group;
mod partition_calls;
mod pool;
mod request;
mod retry;
mod scram;
mod security;
mod settings;
mod tasks;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::runtime::Handle;

use self::admin::WireAdmin;
use self::cluster::Cluster;
use self::group::WireGroupTransport;
use self::settings::WireSettings;
pub(crate) use self::settings::is_used;
use super::call::WakeRef;
use super::error::ClientError;
use super::seam::{Admin, GroupTransport};

/// Makes clients that speak to Kafka over our own connections.
pub struct WireClients {
    settings: Arc<WireSettings>,
    handle: Handle,
}

impl WireClients {
    /// Checks the settings; does not connect.
    ///
    /// `settings` are names and values as librdkafka has them. Used are `bootstrap.servers`,
    /// `security.protocol`, `sasl.*`, `ssl.*`, `enable.ssl.certificate.verification`,
    /// `request.timeout.ms`, `socket.connection.setup.timeout.ms`, `retry.backoff.ms` and
    /// `retry.backoff.max.ms`; the rest is left to librdkafka.
    ///
    /// `handle` is of a runtime with I/O and time enabled.
    ///
    /// # Errors
    /// [`Invalid`](super::ClientErrorKind::Invalid) or
    /// [`Unsupported`](super::ClientErrorKind::Unsupported), naming the setting: a value that is
    /// wrong, a file that cannot be read, or a `security`, `sasl` or `ssl` setting unknown here.
    pub fn new(
        settings: &[(String, String)],
        client_id: &str,
        handle: Handle,
    ) -> Result<Self, ClientError> {
        let settings = Arc::new(WireSettings::parse(settings, client_id)?);
        Ok(Self { settings, handle })
    }

    /// Topics and offsets. `wake` is woken by every answer.
    pub fn admin(&self, wake: WakeRef) -> Box<dyn Admin> {
        Box::new(WireAdmin::new(self.cluster(), self.handle.clone(), wake))
    }

    /// A member's line to the coordinator of `group`. `wake` is woken by every answer.
    pub fn group_transport(&self, group: &str, wake: WakeRef) -> Box<dyn GroupTransport> {
        Box::new(WireGroupTransport::new(self.cluster(), group, self.handle.clone(), wake))
    }

    fn cluster(&self) -> Arc<Cluster> {
        Arc::new(Cluster::new(self.settings.clone()))
    }
}
