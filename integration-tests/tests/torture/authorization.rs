//! What a principal may not do is said by an error that names the ACL, and ends the application.

use std::time::Duration;

use integration_tests::torture::{Guarantee, Stage, Writer};
use integration_tests::{Kafka, KafkaOptions};

const APPLICATION: &str = "guarded";
const INSTANCE: &str = "only";

/// Anonymous may do all; alice what the ACLs say.
fn start_kafka() -> Kafka {
    let users = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                 user_alice=\"alice-secret\";";
    Kafka::start(&KafkaOptions {
        settings: vec![
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer".into(),
            "super.users=User:ANONYMOUS".into(),
            "allow.everyone.if.no.acl.found=false".into(),
            "sasl.enabled.mechanisms=PLAIN".into(),
            format!("listener.name.sasl.plain.sasl.jaas.config={users}"),
        ],
        listeners: vec!["SASL:SASL_PLAINTEXT".into()],
        ..KafkaOptions::default()
    })
}

fn acl(kafka: &Kafka, what: &[&str]) {
    let bootstrap = kafka.bootstrap();
    let mut arguments = vec!["--bootstrap-server", &bootstrap, "--force"];
    arguments.extend_from_slice(what);
    kafka.tool("org.apache.kafka.tools.AclCommand", &arguments);
}

/// Starts the application, which ends with an error; what it printed.
fn refusal(stage: &mut Stage, address: &str) -> String {
    stage.start_with(INSTANCE, &[("STREAMS_BOOTSTRAP_SERVERS", address)]);
    let status = stage.instance(INSTANCE).wait_for_end(Duration::from_secs(60));
    assert!(!status.success(), "it ended well");
    let log = std::fs::read_to_string(stage.log(INSTANCE)).unwrap();
    stage.forget(INSTANCE);
    let last_life = log.rsplit("ledger: starts").next().unwrap();
    let error = last_life.split("\nError: ").nth(1).unwrap_or_else(|| panic!("no error: {log}"));
    println!("{error}");
    error.to_owned()
}

#[tokio::test]
async fn a_missing_acl_is_named() {
    let kafka = start_kafka();
    let mut stage = crate::stage(&kafka, APPLICATION, Guarantee::ExactlyOnce, 1).await;
    for (name, value) in [
        ("STREAMS_SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
        ("STREAMS_SASL_MECHANISM", "PLAIN"),
        ("STREAMS_SASL_USERNAME", "alice"),
        ("STREAMS_SASL_PASSWORD", "alice-secret"),
    ] {
        stage.set(name, value);
    }
    let address = kafka.listener("SASL");
    let writer = Writer::start(&kafka.bootstrap(), &stage.topics().entries.clone(), 300);
    let grant = |on: &[&str]| {
        let mut all = vec!["--add", "--allow-principal", "User:alice"];
        all.extend_from_slice(on);
        acl(&kafka, &all);
    };
    let prefixed = ["--resource-pattern-type", "prefixed"];
    let with = |on: &[&'static str]| [on, &prefixed].concat();
    grant(&with(&["--operation", "All", "--topic", APPLICATION]));

    let error = refusal(&mut stage, &address);
    assert!(
        error.contains("Read and Describe on the Group") && error.contains(APPLICATION),
        "{error}"
    );
    grant(&["--operation", "All", "--group", APPLICATION]);

    let error = refusal(&mut stage, &address);
    assert!(
        error.contains("Write and Describe on TransactionalIds") && error.contains(APPLICATION),
        "{error}"
    );
    grant(&with(&["--operation", "All", "--transactional-id", APPLICATION]));

    let echo = format!("{APPLICATION}.echo");
    acl(
        &kafka,
        &["--add", "--deny-principal", "User:alice", "--operation", "Write", "--topic", &echo],
    );
    let error = refusal(&mut stage, &address);
    assert!(error.contains("Write, on the Topic"), "{error}");
    // Which one librdkafka says in the log only.
    let log = std::fs::read_to_string(stage.log(INSTANCE)).unwrap();
    assert!(log.contains(&format!("Failed to add partition \"{echo}\"")), "{log}");
    acl(
        &kafka,
        &["--remove", "--deny-principal", "User:alice", "--operation", "Write", "--topic", &echo],
    );

    stage.start_with(INSTANCE, &[("STREAMS_BOOTSTRAP_SERVERS", &address)]);
    stage.finish(writer.stop());
}
