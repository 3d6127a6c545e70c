//! Where a broker listens.

use std::fmt;
use std::sync::Arc;

use super::super::error::{ClientError, ClientErrorKind};

/// A host and a port; the host is resolved when a connection is opened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Address {
    pub(super) host: Arc<str>,
    pub(super) port: u16,
}

impl Address {
    /// As a broker tells it of itself or of another.
    pub(super) fn of_broker(host: &str, port: i32) -> Result<Self, ClientError> {
        match u16::try_from(port) {
            Ok(port) if port != 0 && !host.is_empty() => Ok(Self { host: host.into(), port }),
            _ => {
                Err(ClientError::retriable(format!("broker advertises no address: {host}:{port}")))
            }
        }
    }

    /// One entry of `bootstrap.servers`; without a port it is Kafka's 9092.
    fn parse(text: &str) -> Result<Self, ClientError> {
        let invalid = |why: &str| {
            let message =
                format!("bootstrap.servers: '{text}' {why}; write host:port, separated by commas");
            ClientError::new(ClientErrorKind::Invalid, message)
        };
        if text.contains("://") {
            return Err(invalid("names a protocol, which belongs into security.protocol"));
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(|| invalid("has no ]"))?;
                (host, port.strip_prefix(':').unwrap_or(port))
            }
            None => text.rsplit_once(':').unwrap_or((text, "")),
        };
        if host.is_empty() || (host.contains(':') && !text.starts_with('[')) {
            return Err(invalid("has no host"));
        }
        let port = if port.is_empty() { Ok(9092) } else { port.parse() };
        match port {
            Ok(port) if port != 0 => Ok(Self { host: host.into(), port }),
            _ => Err(invalid("has no valid port")),
        }
    }

    /// The value of `bootstrap.servers`.
    pub(super) fn parse_list(text: &str) -> Result<Vec<Self>, ClientError> {
        let list: Result<Vec<_>, _> =
            text.split(',').map(str::trim).filter(|a| !a.is_empty()).map(Self::parse).collect();
        match list {
            Ok(list) if list.is_empty() => Err(ClientError::new(
                ClientErrorKind::Invalid,
                "bootstrap.servers is empty; write host:port, separated by commas",
            )),
            other => other,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_names_ports_and_ipv6() {
        let list = Address::parse_list(" a:1, b ,[::1]:93,127.0.0.1:9, [fe80::1],").unwrap();
        let text: Vec<_> = list.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["a:1", "b:9092", "[::1]:93", "127.0.0.1:9", "[fe80::1]:9092"]);
    }

    #[test]
    fn refuses_what_is_no_address_and_says_which() {
        for bad in ["", " , ", "a:b", "a:0", "a:70000", ":9092", "::1", "SSL://a:1", "[::1"] {
            let error = Address::parse_list(bad).unwrap_err();
            assert_eq!(error.kind, ClientErrorKind::Invalid);
            assert!(error.message.contains(bad.trim_matches([' ', ','])), "{}", error.message);
        }
    }
}
