//! Our own connections through TLS and SASL of a real Kafka.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use common::*;
use integration_tests::{Kafka, KafkaOptions};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509NameBuilder};
use streams_core::client::*;

/// A key and its certificate.
struct Identity {
    key: PKey<Private>,
    certificate: X509,
}

impl Identity {
    /// `issuer` none: an authority of its own.
    fn new(name: &str, issuer: Option<&Identity>) -> Self {
        let key = PKey::ec_gen("prime256v1").unwrap();
        let mut subject = X509NameBuilder::new().unwrap();
        subject.append_entry_by_text("CN", name).unwrap();
        let subject = subject.build();
        let mut builder = X509Builder::new().unwrap();
        builder.set_version(2).unwrap();
        let serial = BigNum::from_u32(name.len() as u32).unwrap().to_asn1_integer().unwrap();
        builder.set_serial_number(&serial).unwrap();
        builder.set_subject_name(&subject).unwrap();
        let issuer_name = issuer.map_or(&*subject, |issuer| issuer.certificate.subject_name());
        builder.set_issuer_name(issuer_name).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
        match issuer {
            None => {
                let authority = BasicConstraints::new().critical().ca().build().unwrap();
                builder.append_extension(authority).unwrap();
            }
            // Not by the name "localhost": that connects, and must be refused.
            Some(issuer) => {
                let context = builder.x509v3_context(Some(&issuer.certificate), None);
                let names = SubjectAlternativeName::new().ip("127.0.0.1").build(&context).unwrap();
                builder.append_extension(names).unwrap();
            }
        }
        let signer = issuer.map_or(&key, |issuer| &issuer.key);
        builder.sign(signer, MessageDigest::sha256()).unwrap();
        Self { certificate: builder.build(), key }
    }

    fn key_pem(&self) -> String {
        String::from_utf8(self.key.private_key_to_pem_pkcs8().unwrap()).unwrap()
    }

    fn pem(&self) -> String {
        String::from_utf8(self.certificate.to_pem().unwrap()).unwrap()
    }
}

struct Secured {
    kafka: Kafka,
    dir: tempfile::TempDir,
}

impl Secured {
    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }
}

static SECURED: LazyLock<Secured> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    write_files(dir.path());
    let file = |name: &str| dir.path().join(name).display().to_string();
    let users = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                 user_alice=\"alice-secret\";";
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let mut settings = vec![
        "ssl.keystore.type=PEM".to_owned(),
        "ssl.truststore.type=PEM".to_owned(),
        format!("ssl.keystore.location={}", file("broker.pem")),
        format!("ssl.truststore.location={}", file("ca.pem")),
        "listener.name.mtls.ssl.client.auth=required".to_owned(),
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512".to_owned(),
        "listener.name.brief.sasl.enabled.mechanisms=PLAIN".to_owned(),
        "listener.name.brief.plain.connections.max.reauth.ms=1500".to_owned(),
    ];
    for listener in ["sasl", "sasltls", "brief"] {
        settings.push(format!("listener.name.{listener}.plain.sasl.jaas.config={users}"));
        for hash in ["256", "512"] {
            settings.push(format!(
                "listener.name.{listener}.scram-sha-{hash}.sasl.jaas.config={scram}"
            ));
        }
    }
    let listeners = ["TLS:SSL", "MTLS:SSL", "SASL:SASL_PLAINTEXT", "SASLTLS:SASL_SSL"];
    let kafka = Kafka::start(&KafkaOptions {
        settings,
        listeners: listeners.iter().chain(&["BRIEF:SASL_PLAINTEXT"]).map(|l| (*l).into()).collect(),
        scram: ["256", "512"]
            .map(|hash| format!("SCRAM-SHA-{hash}=[name=bob,password=bob-secret]"))
            .into(),
        ..KafkaOptions::default()
    });
    Secured { kafka, dir }
});

fn write_files(dir: &Path) {
    let ca = Identity::new("ca", None);
    let broker = Identity::new("broker", Some(&ca));
    let client = Identity::new("the client", Some(&ca));
    let stranger = Identity::new("stranger", Some(&Identity::new("another ca", None)));
    let write = |name: &str, text: &[u8]| std::fs::write(dir.join(name), text).unwrap();
    write("ca.pem", ca.pem().as_bytes());
    write("broker.pem", (broker.key_pem() + &broker.pem()).as_bytes());
    write("client.pem", client.pem().as_bytes());
    let cipher = openssl::symm::Cipher::aes_256_cbc();
    let key = client.key.private_key_to_pem_pkcs8_passphrase(cipher, b"key-secret").unwrap();
    write("client.key", &key);
    let mut store = Pkcs12::builder();
    store.name("client").pkey(&client.key).cert(&client.certificate);
    write("client.p12", &store.build2("store-secret").unwrap().to_der().unwrap());
    write("stranger.pem", stranger.pem().as_bytes());
    write("stranger.key", stranger.key_pem().as_bytes());
}

/// Makes a topic and describes it, through a listener.
fn talk(address: &str, settings: &[(&str, &str)]) -> Result<(), ClientError> {
    let base = [("bootstrap.servers", address), ("request.timeout.ms", "3000")];
    let settings = [&base, settings].concat();
    let mut admin = clients(&settings)?.admin(wake());
    one(admin.create_topics(vec![new_topic(&unique("secured"), 1)]))
}

#[track_caller]
fn refused(address: &str, settings: &[(&str, &str)], parts: &[&str]) -> ClientError {
    let began = Instant::now();
    let error = talk(address, settings).unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(15), "it ends with the request timeout");
    for part in parts {
        assert!(error.message.contains(part), "'{part}' is not in: {error}");
    }
    error
}

#[test]
fn tls_is_spoken_with_those_who_are_trusted() {
    let secured = &*SECURED;
    let address = secured.kafka.listener("TLS");
    let ca = secured.path("ca.pem");
    let ssl = ("security.protocol", "ssl");
    talk(&address, &[ssl, ("ssl.ca.location", &ca)]).unwrap();
    let text = std::fs::read_to_string(&ca).unwrap();
    talk(&address, &[ssl, ("ssl.ca.pem", &text)]).unwrap();
    talk(&address, &[ssl, ("enable.ssl.certificate.verification", "false")]).unwrap();

    let hint = [&*address, "ssl.ca.location"];
    assert_eq!(refused(&address, &[ssl], &hint).kind, ClientErrorKind::Authentication);
    let other = secured.path("stranger.pem");
    refused(&address, &[ssl, ("ssl.ca.location", &other)], &hint);
}

#[test]
fn the_certificate_must_bear_the_hosts_name() {
    let secured = &*SECURED;
    let by_name = secured.kafka.listener("TLS").replace("127.0.0.1", "localhost");
    let ca = secured.path("ca.pem");
    let settings = [("security.protocol", "ssl"), ("ssl.ca.location", &*ca)];
    let error = refused(&by_name, &settings, &[&by_name, "host"]);
    assert_eq!(error.kind, ClientErrorKind::Authentication);
    let off = ("ssl.endpoint.identification.algorithm", "none");
    talk(&by_name, &[settings[0], settings[1], off]).unwrap();
}

#[test]
fn a_client_certificate_is_shown_where_it_is_asked_for() {
    let secured = &*SECURED;
    let address = secured.kafka.listener("MTLS");
    let path = |name| secured.path(name);
    let (ca, certificate, key, store) =
        (path("ca.pem"), path("client.pem"), path("client.key"), path("client.p12"));
    let base = [("security.protocol", "ssl"), ("ssl.ca.location", &*ca)];
    let by_files = [
        ("ssl.certificate.location", &*certificate),
        ("ssl.key.location", &*key),
        ("ssl.key.password", "key-secret"),
    ];
    talk(&address, &[&base[..], &by_files].concat()).unwrap();
    let by_store = [("ssl.keystore.location", &*store), ("ssl.keystore.password", "store-secret")];
    talk(&address, &[&base[..], &by_store].concat()).unwrap();

    let error = refused(&address, &base, &[&address, "ssl.certificate.location"]);
    assert_eq!(error.kind, ClientErrorKind::Authentication);
    let (certificate, key) = (path("stranger.pem"), path("stranger.key"));
    let stranger = [("ssl.certificate.location", &*certificate), ("ssl.key.location", &*key)];
    let error = refused(&address, &[&base[..], &stranger].concat(), &[&address]);
    assert_eq!(error.kind, ClientErrorKind::Authentication);
    let mismatch = [("ssl.certificate.location", &*certificate), by_files[1], by_files[2]];
    refused(&address, &[&base[..], &mismatch].concat(), &["cannot be used together"]);
}

#[test]
fn passwords_open_plain_and_scram() {
    let secured = &*SECURED;
    let address = secured.kafka.listener("SASL");
    let plaintext = ("security.protocol", "sasl_plaintext");
    let sasl = |mechanism, username, password| {
        [
            plaintext,
            ("sasl.mechanism", mechanism),
            ("sasl.username", username),
            ("sasl.password", password),
        ]
    };
    talk(&address, &sasl("PLAIN", "alice", "alice-secret")).unwrap();
    talk(&address, &sasl("SCRAM-SHA-256", "bob", "bob-secret")).unwrap();
    talk(&address, &sasl("SCRAM-SHA-512", "bob", "bob-secret")).unwrap();

    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let error =
            refused(&address, &sasl(mechanism, "bob", "wrong"), &[&address, "sasl.password"]);
        assert_eq!(error.kind, ClientErrorKind::Authentication);
        refused(&address, &sasl(mechanism, "nobody", "bob-secret"), &[&address]);
    }
    let brief = secured.kafka.listener("BRIEF");
    let error = refused(&brief, &sasl("SCRAM-SHA-256", "bob", "bob-secret"), &["PLAIN", &brief]);
    assert_eq!(error.kind, ClientErrorKind::Authentication);
}

#[test]
fn sasl_goes_through_tls() {
    let secured = &*SECURED;
    let ca = secured.path("ca.pem");
    let settings = [
        ("security.protocol", "SASL_SSL"),
        ("ssl.ca.location", &*ca),
        ("sasl.mechanisms", "SCRAM-SHA-512"),
        ("sasl.username", "bob"),
        ("sasl.password", "bob-secret"),
    ];
    talk(&secured.kafka.listener("SASLTLS"), &settings).unwrap();
}

#[test]
fn a_protocol_that_does_not_fit_the_listener_is_told() {
    let secured = &*SECURED;
    let (tls, sasl) = (secured.kafka.listener("TLS"), secured.kafka.listener("SASL"));
    let plain = secured.kafka.bootstrap();
    refused(&tls, &[], &[&tls, "security.protocol"]);
    refused(&sasl, &[], &[&sasl, "security.protocol"]);
    refused(&plain, &[("security.protocol", "ssl")], &[&plain, "security.protocol"]);
    let with_sasl = [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", "alice"),
        ("sasl.password", "alice-secret"),
    ];
    refused(&plain, &with_sasl, &[&plain, "security.protocol"]);
    refused(&tls, &with_sasl, &[&tls, "security.protocol"]);
}

/// The broker ends sessions after 1.5 s; no call may notice.
#[test]
fn sessions_are_renewed_before_they_end() {
    let secured = &*SECURED;
    let brief = secured.kafka.listener("BRIEF");
    let clients = clients(&[
        ("bootstrap.servers", &*brief),
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", "alice"),
        ("sasl.password", "alice-secret"),
    ]);
    let clients = clients.unwrap();
    let topics = [make_topic(&mut *clients.admin(wake()), 1)];
    let partition = TopicPartition::new(topics[0].clone(), 0);
    let mut member = Member::new(&clients, &unique("renewed"));
    member.settle_alone(&topics, &partition);
    let began = Instant::now();
    until("three sessions have passed", || {
        member.heartbeat().unwrap();
        member.commit(&partition, 1).unwrap();
        (began.elapsed() > Duration::from_secs(5)).then_some(())
    });
}
