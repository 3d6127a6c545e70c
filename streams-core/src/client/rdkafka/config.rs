//! Settings by librdkafka's names: what the application gives, our defaults below it, and what the
//! library itself decides above it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::native::Conf;
use crate::client::error::{ClientError, ClientErrorKind};
use crate::client::seam::{FetchRole, FetcherOptions, Isolation, ProducerOptions};

/// Settings by librdkafka's names. A key with a prefix holds for those clients only, and wins over
/// the plain one: `consumer.` and `producer.`; and over `consumer.` again `main.consumer.`,
/// `restore.consumer.` and `global.consumer.`, by what a consumer reads for.
#[derive(Clone, Debug, Default)]
pub struct RdkafkaSettings {
    common: Vec<(String, String)>,
    by_scope: BTreeMap<&'static str, Vec<(String, String)>>,
}

const CONSUMER: &str = "consumer.";
const PRODUCER: &str = "producer.";
/// The prefixes of the consumers of each role.
const ROLES: [(FetchRole, &str); 3] = [
    (FetchRole::Main, "main.consumer."),
    (FetchRole::Restore, "restore.consumer."),
    (FetchRole::Global, "global.consumer."),
];

/// Decided by the runtime; another value would break its guarantees.
const DECIDED: &[&str] = &[
    "auto.offset.reset",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "group.id",
    "isolation.level",
    "transactional.id",
];

const BOTH_DEFAULTS: &[(&str, &str)] = &[
    // A broker that is back is found within a second.
    ("reconnect.backoff.max.ms", "1000"),
    ("log.connection.close", "false"),
    ("socket.keepalive.enable", "true"),
];

const CONSUMER_DEFAULTS: &[(&str, &str)] = &[
    // How soon a partition whose buffer was full is asked again.
    ("fetch.queue.backoff.ms", "5"),
    // librdkafka has one request under way per broker: a partition that is added, or sought, waits
    // until the broker has answered for those that have nothing. 500 by librdkafka's default.
    ("fetch.wait.max.ms", "50"),
];

const CONSUMER_DECIDED: &[(&str, &str)] = &[
    ("auto.offset.reset", "error"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
];

const PRODUCER_DEFAULTS: &[(&str, &str)] = &[
    ("acks", "all"),
    ("enable.idempotence", "true"),
    // For records whose partition nobody chose: the JVM's hash, not librdkafka's.
    ("partitioner", "murmur2_random"),
    ("queue.buffering.max.messages", "500000"),
    ("queue.buffering.max.kbytes", "65536"),
];

const MESSAGE_TIMEOUT: &str = "message.timeout.ms";

const PLAIN_DEFAULTS: &[(&str, &str)] = &[("linger.ms", "100"), (MESSAGE_TIMEOUT, "120000")];

const TRANSACTIONAL_DEFAULTS: &[(&str, &str)] = &[
    ("linger.ms", "5"),
    // Back-to-back transactions meet CONCURRENT_TRANSACTIONS, which is retried after this.
    ("retry.backoff.ms", "10"),
    ("transaction.timeout.ms", "10000"),
];

/// `max.partition.fetch.bytes` of librdkafka's defaults.
const FETCH_BYTES_DEFAULT: usize = 1 << 20;
const FETCH_BYTES_MIN: usize = 64 << 10;

impl RdkafkaSettings {
    /// Checks every key and value, on both sides.
    ///
    /// # Errors
    /// [`Invalid`](ClientErrorKind::Invalid), naming the key, for a key that librdkafka does not
    /// know, a value that it does not take, a key that the runtime decides itself, and a missing
    /// `bootstrap.servers`.
    pub fn new<K: Into<String>, V: Into<String>>(
        values: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ClientError> {
        let mut settings = Self::default();
        let values: BTreeMap<String, String> =
            values.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        for (key, value) in values {
            let prefixes = [CONSUMER, PRODUCER].into_iter().chain(ROLES.map(|(_, prefix)| prefix));
            let mut scopes =
                prefixes.filter_map(|prefix| Some((prefix, key.strip_prefix(prefix)?)));
            let (list, name) = match scopes.next() {
                Some((prefix, name)) => (settings.by_scope.entry(prefix).or_default(), name),
                None => (&mut settings.common, key.as_str()),
            };
            if DECIDED.contains(&name) {
                return Err(invalid(format!("setting {key}: decided by the runtime, remove it")));
            }
            list.push((name.to_owned(), value));
        }
        settings.check()?;
        Ok(settings)
    }

    /// Whether consumers of these two roles are set up in the same way, so that they may be one.
    pub(super) fn are_alike(&self, left: FetchRole, right: FetchRole) -> bool {
        self.of(prefix_of(left)) == self.of(prefix_of(right))
    }

    fn check(&self) -> Result<(), ClientError> {
        let consumers = ROLES.map(|(_, prefix)| vec![CONSUMER, prefix]);
        for scopes in consumers.into_iter().chain([vec![PRODUCER]]) {
            let mut conf = Conf::new();
            self.apply(&scopes, &mut conf)?;
            if conf.get("bootstrap.servers").is_none_or(|servers| servers.trim().is_empty()) {
                return Err(invalid("setting bootstrap.servers: missing, give host:port"));
            }
        }
        Ok(())
    }

    /// A consumer's configuration.
    pub(super) fn consumer(&self, options: &FetcherOptions) -> Result<Conf, ClientError> {
        let mut conf = Conf::new();
        set_all(&mut conf, BOTH_DEFAULTS)?;
        set_all(&mut conf, CONSUMER_DEFAULTS)?;
        let buffer = options.buffer_bytes_per_partition;
        let fetch = buffer.clamp(FETCH_BYTES_MIN, FETCH_BYTES_DEFAULT);
        conf.set("max.partition.fetch.bytes", &fetch.to_string())?;
        let kbytes = buffer.div_ceil(1024).clamp(1, 2_097_151);
        conf.set("queued.max.messages.kbytes", &kbytes.to_string())?;
        if !options.client_id.is_empty() {
            conf.set("client.id", &options.client_id)?;
        }
        self.apply(&[CONSUMER, prefix_of(options.role)], &mut conf)?;
        set_all(&mut conf, CONSUMER_DECIDED)?;
        let isolation = match options.isolation {
            Isolation::ReadUncommitted => "read_uncommitted",
            Isolation::ReadCommitted => "read_committed",
        };
        conf.set("isolation.level", isolation)?;
        Ok(conf)
    }

    /// A producer's configuration.
    pub(super) fn producer(&self, options: &ProducerOptions) -> Result<Conf, ClientError> {
        let transactional_id = options.transactional_id.as_deref();
        let mut conf = Conf::new();
        set_all(&mut conf, BOTH_DEFAULTS)?;
        set_all(&mut conf, PRODUCER_DEFAULTS)?;
        match transactional_id {
            Some(id) => {
                set_all(&mut conf, TRANSACTIONAL_DEFAULTS)?;
                conf.set("client.id", id)?;
            }
            None => set_all(&mut conf, PLAIN_DEFAULTS)?,
        }
        self.apply(&[PRODUCER], &mut conf)?;
        if let Some(most) = options.delivery_timeout {
            limit_delivery(&mut conf, most)?;
        }
        if let Some(id) = transactional_id {
            if id.is_empty() {
                return Err(invalid("a transactional id must not be empty"));
            }
            conf.set("transactional.id", id)?;
        }
        Ok(conf)
    }

    /// Sets what holds for all clients, then what was given behind each of `prefixes`.
    fn apply(&self, prefixes: &[&'static str], conf: &mut Conf) -> Result<(), ClientError> {
        for (key, value) in &self.common {
            conf.set(key, value)?;
        }
        for prefix in prefixes {
            for (key, value) in self.of(prefix) {
                conf.set(key, value).map_err(|error| {
                    let message = error.message.replacen(key, &format!("{prefix}{key}"), 1);
                    ClientError::new(error.kind, message)
                })?;
            }
        }
        Ok(())
    }

    fn of(&self, prefix: &str) -> &[(String, String)] {
        self.by_scope.get(prefix).map_or(&[], Vec::as_slice)
    }
}

/// `message.timeout.ms` is at most that; 0 would be no limit.
fn limit_delivery(conf: &mut Conf, most: Duration) -> Result<(), ClientError> {
    let most = most.as_millis().max(1);
    let set = conf.get(MESSAGE_TIMEOUT).and_then(|ms| ms.parse::<u128>().ok());
    if set.is_none_or(|ms| ms == 0 || ms > most) {
        conf.set(MESSAGE_TIMEOUT, &most.to_string())?;
    }
    Ok(())
}

fn prefix_of(role: FetchRole) -> &'static str {
    let [(_, main), (_, restore), (_, global)] = ROLES;
    match role {
        FetchRole::Main => main,
        FetchRole::Restore => restore,
        FetchRole::Global => global,
    }
}

/// How long the coordinator lets a transaction of this configuration live.
pub(super) fn transaction_timeout(conf: &Conf) -> Duration {
    let ms = conf.get("transaction.timeout.ms").and_then(|value| value.parse().ok());
    Duration::from_millis(ms.unwrap_or(10_000))
}

fn set_all(conf: &mut Conf, values: &[(&str, &str)]) -> Result<(), ClientError> {
    values.iter().try_for_each(|(key, value)| conf.set(key, value))
}

fn invalid(message: impl Into<String>) -> ClientError {
    ClientError::new(ClientErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SERVERS: (&str, &str) = ("bootstrap.servers", "localhost:1");

    fn refused(key: &str, value: &str) -> String {
        let error = RdkafkaSettings::new([SERVERS, (key, value)]).unwrap_err();
        assert_eq!(error.kind, ClientErrorKind::Invalid);
        error.message
    }

    #[test]
    fn an_error_names_the_key() {
        assert!(refused("no.such.key", "1").contains("no.such.key"));
        assert!(refused("linger.ms", "soon").contains("linger.ms"));
        assert!(refused("producer.linger.ms", "soon").contains("producer.linger.ms"));
        assert!(refused("consumer.group.id", "g").contains("consumer.group.id"));
        assert!(refused("isolation.level", "read_committed").contains("isolation.level"));
        let error = RdkafkaSettings::new([("client.id", "x")]).unwrap_err();
        assert!(error.message.contains("bootstrap.servers"));
    }

    #[test]
    fn the_application_wins_over_our_defaults_and_a_side_over_both() {
        let settings = RdkafkaSettings::new([
            SERVERS,
            ("queue.buffering.max.ms", "7"),
            ("consumer.client.id", "reader"),
            ("producer.compression.type", "lz4"),
        ])
        .unwrap();
        let producer = settings.producer(&ProducerOptions::plain()).unwrap();
        assert_eq!(producer.get("linger.ms").unwrap(), "7");
        assert_eq!(producer.get("compression.codec").unwrap(), "lz4");
        assert_eq!(producer.get("acks").unwrap(), "-1");
        let options = FetcherOptions {
            client_id: "ours".to_owned(),
            role: FetchRole::Main,
            isolation: Isolation::ReadUncommitted,
            buffer_bytes_per_partition: 3 << 20,
        };
        let consumer = settings.consumer(&options).unwrap();
        assert_eq!(consumer.get("client.id").unwrap(), "reader");
        assert_eq!(consumer.get("isolation.level").unwrap(), "read_uncommitted");
        assert_eq!(consumer.get("queued.max.messages.kbytes").unwrap(), "3072");
        assert_eq!(consumer.get("enable.auto.commit").unwrap(), "false");
    }

    #[test]
    fn each_kind_of_consumer_has_its_own_settings() {
        let settings = RdkafkaSettings::new([
            SERVERS,
            ("fetch.min.bytes", "1"),
            ("consumer.fetch.min.bytes", "2"),
            ("restore.consumer.fetch.min.bytes", "3"),
            ("global.consumer.fetch.wait.max.ms", "4"),
        ])
        .unwrap();
        let of = |role, name: &str| {
            let options = FetcherOptions {
                client_id: String::new(),
                role,
                isolation: Isolation::ReadUncommitted,
                buffer_bytes_per_partition: 1 << 20,
            };
            settings.consumer(&options).unwrap().get(name).unwrap()
        };
        let both = |role| (of(role, "fetch.min.bytes"), of(role, "fetch.wait.max.ms"));
        assert_eq!(both(FetchRole::Main), ("2".to_owned(), "50".to_owned()));
        assert_eq!(both(FetchRole::Restore), ("3".to_owned(), "50".to_owned()));
        assert_eq!(both(FetchRole::Global), ("2".to_owned(), "4".to_owned()));
        assert!(!settings.are_alike(FetchRole::Main, FetchRole::Global));
        assert!(refused("global.consumer.fetch.min.bytes", "few").contains("global.consumer."));
    }

    #[test]
    fn a_delivery_takes_no_longer_than_the_runtime_allows() {
        let limited = |given: Option<&str>, most: Option<u64>| {
            let given = given.map(|ms| ("delivery.timeout.ms", ms));
            let settings = RdkafkaSettings::new([SERVERS].into_iter().chain(given)).unwrap();
            let delivery_timeout = most.map(Duration::from_millis);
            let options = ProducerOptions { delivery_timeout, ..ProducerOptions::plain() };
            settings.producer(&options).unwrap().get("message.timeout.ms").unwrap()
        };
        assert_eq!(limited(None, None), "120000");
        assert_eq!(limited(None, Some(21_000)), "21000");
        assert_eq!(limited(Some("5000"), Some(21_000)), "5000");
        assert_eq!(limited(Some("60000"), Some(21_000)), "21000");
        assert_eq!(limited(Some("0"), Some(21_000)), "21000", "0 is for ever");
    }

    #[test]
    fn transactions_have_their_own_defaults() {
        let settings = RdkafkaSettings::new([SERVERS]).unwrap();
        let conf = settings.producer(&ProducerOptions::transactional("app-1")).unwrap();
        assert_eq!(conf.get("transactional.id").unwrap(), "app-1");
        assert_eq!(conf.get("retry.backoff.ms").unwrap(), "10");
        assert_eq!(transaction_timeout(&conf), Duration::from_secs(10));
    }
}
