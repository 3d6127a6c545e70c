//! The settings of our connections, by librdkafka's names.

use std::sync::Arc;
use std::time::Duration;

use super::super::error::{ClientError, ClientErrorKind};
use super::address::Address;
use super::retry::Backoff;
use super::security::{Security, is_of_security};

/// What was configured, checked.
pub(super) struct WireSettings {
    pub(super) bootstrap: Vec<Address>,
    pub(super) client_id: Arc<str>,
    pub(super) security: Security,
    /// For one call with all its attempts.
    pub(super) request_timeout: Duration,
    /// For TCP, TLS, versions and SASL of one connection together.
    pub(super) setup_timeout: Duration,
    retry_backoff: Duration,
    retry_backoff_max: Duration,
}

impl WireSettings {
    pub(super) fn parse(
        settings: &[(String, String)],
        client_id: &str,
    ) -> Result<Self, ClientError> {
        let bootstrap = value(settings, "bootstrap.servers")
            .or_else(|| value(settings, "metadata.broker.list"))
            .ok_or_else(|| invalid("bootstrap.servers is not set"))?;
        Ok(Self {
            bootstrap: Address::parse_list(bootstrap)?,
            client_id: client_id.into(),
            security: Security::parse(settings)?,
            request_timeout: milliseconds(settings, "request.timeout.ms", 30_000)?,
            setup_timeout: milliseconds(settings, "socket.connection.setup.timeout.ms", 10_000)?,
            retry_backoff: milliseconds(settings, "retry.backoff.ms", 100)?,
            retry_backoff_max: milliseconds(settings, "retry.backoff.max.ms", 1_000)?,
        })
    }

    /// The pauses between the attempts of one call.
    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(self.retry_backoff, self.retry_backoff_max.max(self.retry_backoff))
    }
}

/// Whether a setting means something to our connections, or is one of security, of which those that
/// mean nothing are refused.
pub(crate) fn is_used(name: &str) -> bool {
    const TIMES: [&str; 4] = [
        "request.timeout.ms",
        "retry.backoff.max.ms",
        "retry.backoff.ms",
        "socket.connection.setup.timeout.ms",
    ];
    TIMES.contains(&name) || is_of_security(name)
}

/// The value of a setting; the last one counts.
pub(super) fn value<'a>(settings: &'a [(String, String)], name: &str) -> Option<&'a str> {
    settings.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// An error of the configuration.
pub(super) fn invalid(message: impl Into<String>) -> ClientError {
    ClientError::new(ClientErrorKind::Invalid, message)
}

fn milliseconds(
    settings: &[(String, String)],
    name: &str,
    default: u64,
) -> Result<Duration, ClientError> {
    let millis = match value(settings, name) {
        None => default,
        Some(text) => text
            .trim()
            .parse()
            .ok()
            .filter(|ms| (1..=86_400_000).contains(ms))
            .ok_or_else(|| {
                invalid(format!("{name}: '{text}' is no number of milliseconds from 1 to a day"))
            })?,
    };
    Ok(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(settings: &[(&str, &str)]) -> Result<WireSettings, ClientError> {
        let settings: Vec<_> =
            settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        WireSettings::parse(&settings, "test")
    }

    #[test]
    fn has_defaults_and_takes_the_last_of_a_setting() {
        let settings =
            parse(&[("bootstrap.servers", "a:1"), ("bootstrap.servers", "b:2")]).unwrap();
        assert_eq!(settings.bootstrap[0].to_string(), "b:2");
        assert_eq!(settings.request_timeout, Duration::from_secs(30));
    }

    #[test]
    fn leaves_settings_of_other_families_to_librdkafka() {
        assert!(parse(&[("bootstrap.servers", "a"), ("linger.ms", "5"), ("acks", "x")]).is_ok());
    }

    #[test]
    fn names_what_is_missing_or_wrong() {
        let error = parse(&[]).err().unwrap();
        assert!(error.message.contains("bootstrap.servers"));
        for bad in ["x", "0", "-1", ""] {
            let settings = [("bootstrap.servers", "a"), ("request.timeout.ms", bad)];
            let error = parse(&settings).err().unwrap();
            assert!(error.message.contains("request.timeout.ms"), "{}", error.message);
            assert_eq!(error.kind, ClientErrorKind::Invalid);
        }
    }
}
