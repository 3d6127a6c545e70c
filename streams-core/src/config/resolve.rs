//! From what was said to what the runtime reads.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::client_settings::ClientSettings;
use super::error::ConfigError;
use super::handlers::{ErrorHandler, Handlers};
use super::kind;
use super::names::ClientScope;
use super::resolved::{
    DslStore, GroupProtocol, HostInfo, OffsetReset, ProcessingGuarantee, RackAwareStrategy,
    RecordingLevel, ResolvedConfig, TopologyOptimization,
};
use super::streams_config::{GivenHandlers, StreamsConfig};
use super::values::Values;
use crate::client::wire;
use crate::reaction::{dead_letter, fail, skip};

/// What `bootstrap.servers` says for the embedded cluster.
const EMBEDDED: &str = "embedded";
const TOPIC_NAME_MAX: usize = 249;
/// Settings that are understood and have no effect yet: nobody may rely on them in silence.
pub(super) const NOT_BUILT: [&str; 16] = [
    "acceptable.recovery.lag",
    "allow.os.group.write.access",
    "log.summary.interval.ms",
    "max.future.skew.ms",
    "max.poll.records",
    "max.warmup.replicas",
    "metrics.recording.level",
    "num.standby.replicas",
    "poll.ms",
    "probing.rebalance.interval.ms",
    "rack.aware.assignment.non_overlap_cost",
    "rack.aware.assignment.strategy",
    "rack.aware.assignment.tags",
    "rack.aware.assignment.traffic_cost",
    "state.cleanup.delay.ms",
    "state.cleanup.dir.max.age.ms",
];

pub(super) fn resolve(config: &StreamsConfig) -> Result<ResolvedConfig, ConfigError> {
    let mut values = Values::new(&config.settings);
    let mut resolved = read(&mut values, config);
    debug_assert!(values.unread().is_empty(), "nobody reads {:?}", values.unread());
    check_times(&mut values, &resolved);
    check_group(&mut values, &resolved);
    check_clients(&mut values, &resolved.client_settings);
    check_handlers(&mut values, &config.given);
    warn_of_what_is_not_built(&mut values);
    if values.mistakes.is_empty() {
        resolved.warnings = values.warnings;
        Ok(resolved)
    } else {
        Err(ConfigError::new(values.mistakes))
    }
}

fn read(values: &mut Values<'_>, config: &StreamsConfig) -> ResolvedConfig {
    let processing_guarantee = processing_guarantee(values);
    let (state_dir, state_dir_is_temporary) = state_dir(values);
    let (memory_budget_bytes, emit_on_commit) = memory(values);
    let log_summary_interval = values.optional_millis("log.summary.interval.ms");
    ResolvedConfig {
        application_id: application_id(values),
        bootstrap_servers: bootstrap_servers(values, config.client.is_some()),
        client_id: values.text("client.id").unwrap_or_default(),
        num_stream_threads: values.integer("num.stream.threads"),
        processing_guarantee,
        commit_interval: commit_interval(values, processing_guarantee),
        poll: values.millis("poll.ms"),
        buffered_records_per_partition: values.integer("buffered.records.per.partition"),
        max_poll_records: values.integer("max.poll.records"),
        max_task_idle: values.optional_millis("max.task.idle.ms"),
        max_future_skew: values.optional_millis("max.future.skew.ms"),
        task_timeout: values.millis("task.timeout.ms"),
        auto_offset_reset: offset_reset(values),
        topology_optimization: topology_optimization(values),
        ensure_explicit_internal_resource_naming: values
            .boolean("ensure.explicit.internal.resource.naming"),
        accept_changed_topology: values.boolean("accept.changed.topology"),
        processing_exception_handler_global_enabled: values
            .boolean("processing.exception.handler.global.enabled"),
        state_dir,
        state_dir_is_temporary,
        memory_budget_bytes,
        emit_on_commit,
        windowed_emit_interval: values.millis("__emit.interval.ms.kstreams.windowed.aggregation__"),
        outer_join_emit_interval: values
            .millis("__emit.interval.ms.kstreams.outer.join.spurious.results.fix__"),
        default_dsl_store: default_dsl_store(values),
        state_flush_interval: values.millis("state.flush.interval.ms"),
        state_cleanup_delay: values.millis("state.cleanup.delay.ms"),
        state_cleanup_dir_max_age: values.optional_millis("state.cleanup.dir.max.age.ms"),
        allow_os_group_write_access: values.boolean("allow.os.group.write.access"),
        windowstore_changelog_additional_retention: values
            .millis("windowstore.changelog.additional.retention.ms"),
        replication_factor: values.integer("replication.factor"),
        repartition_purge_interval: values.millis("repartition.purge.interval.ms"),
        topic_configs: std::mem::take(&mut values.topic_configs),
        num_standby_replicas: values.integer("num.standby.replicas"),
        max_warmup_replicas: values.integer("max.warmup.replicas"),
        acceptable_recovery_lag: values.integer("acceptable.recovery.lag"),
        probing_rebalance_interval: values.millis("probing.rebalance.interval.ms"),
        session_timeout: values.millis("session.timeout.ms"),
        heartbeat_interval: values.millis("heartbeat.interval.ms"),
        max_poll_interval: values.millis("max.poll.interval.ms"),
        group_instance_id: values.text("group.instance.id"),
        group_protocol: group_protocol(values),
        client_rack: values.text("client.rack"),
        client_tags: std::mem::take(&mut values.client_tags),
        rack_aware_assignment_tags: values.list("rack.aware.assignment.tags"),
        rack_aware_assignment_strategy: rack_aware_strategy(values),
        rack_aware_assignment_traffic_cost: values
            .optional_integer("rack.aware.assignment.traffic_cost"),
        rack_aware_assignment_non_overlap_cost: values
            .optional_integer("rack.aware.assignment.non_overlap_cost"),
        application_server: application_server(values),
        request_timeout: values.millis("request.timeout.ms"),
        retry_backoff: values.millis("retry.backoff.ms"),
        transaction_timeout: values.millis("transaction.timeout.ms"),
        client_settings: client_settings(values),
        metrics_recording_level: recording_level(values),
        log_summary_interval,
        handlers: handlers(values, &config.given),
        client: config.client.clone(),
        engines: config.engines.clone(),
        warnings: Vec::new(),
    }
}

fn application_id(values: &mut Values<'_>) -> Arc<str> {
    let legal = |text: &str| {
        let chars = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        chars && text.len() <= TOPIC_NAME_MAX && text != "." && text != ".."
    };
    let id = values.read("application.id", |text| match legal(text) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "expected letters, digits, `.`, `_` and `-`, at most {TOPIC_NAME_MAX} of them, because \
             internal topics are named after it"
        )),
    });
    if id.is_none() && !values.mistakes.iter().any(|mistake| mistake.key == "application.id") {
        let message = "is missing: name the application by letters, digits, `.`, `_` and `-`; its \
                       group and its internal topics are named after it";
        values.mistake("application.id", message);
    }
    id.unwrap_or_default().into()
}

fn bootstrap_servers(values: &mut Values<'_>, plugged: bool) -> Arc<str> {
    let servers = values.read("bootstrap.servers", |text| match text {
        EMBEDDED if plugged => Ok(EMBEDDED.to_owned()),
        EMBEDDED => Err("`embedded` is the cluster of `streams-test`: pass its client to \
                         `StreamsConfig::client`"
            .to_owned()),
        text => kind::servers(text),
    });
    if servers.is_none()
        && !plugged
        && !values.mistakes.iter().any(|mistake| mistake.key == "bootstrap.servers")
    {
        let message = "is missing: name one broker or more, as `host:port,host:port`";
        values.mistake("bootstrap.servers", message);
    }
    servers.unwrap_or_else(|| EMBEDDED.to_owned()).into()
}

fn processing_guarantee(values: &mut Values<'_>) -> ProcessingGuarantee {
    match values.word("processing.guarantee") {
        "exactly_once_v2" => ProcessingGuarantee::ExactlyOnceV2,
        _ => ProcessingGuarantee::AtLeastOnce,
    }
}

fn commit_interval(values: &mut Values<'_>, guarantee: ProcessingGuarantee) -> Duration {
    let given = values.is_given("commit.interval.ms");
    match (guarantee, values.millis("commit.interval.ms")) {
        // Output is seen only after the commit.
        (ProcessingGuarantee::ExactlyOnceV2, _) if !given => Duration::from_millis(100),
        (_, interval) => interval,
    }
}

fn offset_reset(values: &mut Values<'_>) -> OffsetReset {
    values.read("auto.offset.reset", kind::reset).unwrap_or(OffsetReset::Earliest)
}

fn topology_optimization(values: &mut Values<'_>) -> TopologyOptimization {
    let parse = |text: &str| {
        let mut some = TopologyOptimization::default();
        for word in kind::list(text) {
            match word.to_ascii_lowercase().as_str() {
                "none" => {}
                "all" => {
                    some = TopologyOptimization {
                        reuse_ktable_source_topics: true,
                        merge_repartition_topics: true,
                        single_store_self_join: true,
                    }
                }
                "reuse.ktable.source.topics" => some.reuse_ktable_source_topics = true,
                "merge.repartition.topics" => some.merge_repartition_topics = true,
                "single.store.self.join" => some.single_store_self_join = true,
                _ => {
                    return Err("expected `none`, `all`, or some of \
                                `reuse.ktable.source.topics`, `merge.repartition.topics`, \
                                `single.store.self.join`"
                        .to_owned());
                }
            }
        }
        Ok(some)
    };
    values.read("topology.optimization", parse).unwrap_or_default()
}

fn state_dir(values: &mut Values<'_>) -> (PathBuf, bool) {
    match values.text("state.dir") {
        Some(directory) => (PathBuf::from(directory), false),
        None => (std::env::temp_dir().join("streams-rs"), true),
    }
}

/// The budget, and whether tables emit on commit.
fn memory(values: &mut Values<'_>) -> (u64, bool) {
    let budget = values.bytes("memory.budget.bytes").unwrap_or_default();
    let on_commit = values.boolean("emit.on.commit");
    match values.bytes("statestore.cache.max.bytes") {
        None => (budget, on_commit),
        Some(cache) => {
            let on_commit = if values.is_given("emit.on.commit") { on_commit } else { cache > 0 };
            let given = values.is_given("memory.budget.bytes");
            (if given { budget } else { budget.max(cache) }, on_commit)
        }
    }
}

fn default_dsl_store(values: &mut Values<'_>) -> DslStore {
    match values.word("default.dsl.store") {
        "in_memory" => DslStore::InMemory,
        _ => DslStore::RocksDb,
    }
}

fn group_protocol(values: &mut Values<'_>) -> GroupProtocol {
    match values.word("group.protocol") {
        "streams" => GroupProtocol::Streams,
        _ => GroupProtocol::Classic,
    }
}

fn rack_aware_strategy(values: &mut Values<'_>) -> RackAwareStrategy {
    match values.word("rack.aware.assignment.strategy") {
        "min_traffic" => RackAwareStrategy::MinTraffic,
        "balance_subtopology" => RackAwareStrategy::BalanceSubtopology,
        _ => RackAwareStrategy::None,
    }
}

fn recording_level(values: &mut Values<'_>) -> RecordingLevel {
    match values.word("metrics.recording.level") {
        "debug" => RecordingLevel::Debug,
        "trace" => RecordingLevel::Trace,
        _ => RecordingLevel::Info,
    }
}

fn application_server(values: &mut Values<'_>) -> Option<HostInfo> {
    values.read("application.server", |text| match kind::host_and_port(text) {
        Some((host, port)) => Ok(HostInfo { host: host.to_owned(), port }),
        None => Err("expected `host:port`".to_owned()),
    })
}

/// Those of ours that librdkafka has too are told to both, if they were given.
fn client_settings(values: &mut Values<'_>) -> ClientSettings {
    let mut settings = std::mem::take(&mut values.client_settings);
    if let Some(rack) = values.text("client.rack") {
        settings.insert(ClientScope::All, "client.rack", rack);
    }
    if values.is_given("retry.backoff.ms") {
        let millis = values.millis("retry.backoff.ms").as_millis();
        settings.insert(ClientScope::All, "retry.backoff.ms", millis.to_string());
    }
    settings
}

fn handlers(values: &mut Values<'_>, given: &GivenHandlers) -> Handlers {
    let dead_letters = values.text("errors.dead.letter.queue.topic.name");
    let mut named = |name: &'static str| -> ErrorHandler {
        match (values.read(name, kind::handler_skips), &dead_letters) {
            (Some(true), Some(topic)) => Arc::new(dead_letter(topic.clone())),
            (Some(true), None) => Arc::new(skip),
            _ => Arc::new(fail),
        }
    };
    let deserialization = named("deserialization.exception.handler");
    let processing = named("processing.exception.handler");
    let production = named("production.exception.handler");
    let default = Handlers::default();
    Handlers {
        deserialization: given.deserialization.clone().unwrap_or(deserialization),
        processing: given.processing.clone().unwrap_or(processing),
        production: given.production.clone().unwrap_or(production),
        thread: given.thread.clone().unwrap_or(default.thread),
        on_restore: given.on_restore.clone(),
        on_event: given.on_event.clone(),
        on_state: given.on_state.clone(),
        commit_steps: given.commit_steps.clone(),
    }
}

fn check_times(values: &mut Values<'_>, config: &ResolvedConfig) {
    let ms = |duration: Duration| duration.as_millis();
    if config.heartbeat_interval * 2 > config.session_timeout {
        values.mistake(
            "heartbeat.interval.ms",
            format!(
                "must be at most half of `session.timeout.ms`, best a third of it; it is {}, the \
                 session timeout is {}",
                ms(config.heartbeat_interval),
                ms(config.session_timeout)
            ),
        );
    }
    if let Some(most) = config.delivery_timeout() {
        let settings = config.librdkafka_settings();
        let is_longer = |(name, value): &&(String, String)| {
            let name = name.strip_prefix("producer.").unwrap_or(name);
            let given = value.parse::<u128>().unwrap_or(0);
            matches!(name, "delivery.timeout.ms" | "message.timeout.ms")
                && (given == 0 || given > ms(most))
        };
        if let Some((name, _)) = settings.iter().find(is_longer) {
            values.warnings.push(format!(
                "{name} is {} ms: under at-least-once a record must not be written when the \
                 session may have ended; raise `session.timeout.ms` for more",
                ms(most)
            ));
        }
    }
    if config.exactly_once() && config.transaction_timeout <= config.commit_interval {
        values.mistake(
            "transaction.timeout.ms",
            format!(
                "must be above `commit.interval.ms`, or the broker aborts before the commit; it is \
                 {}, the commit interval is {}",
                ms(config.transaction_timeout),
                ms(config.commit_interval)
            ),
        );
    }
}

fn check_group(values: &mut Values<'_>, config: &ResolvedConfig) {
    const TAGS_MAX: usize = 5;
    const KEY_MAX: usize = 20;
    const VALUE_MAX: usize = 30;
    if config.client_tags.len() > TAGS_MAX {
        let message =
            format!("there are {}, at most {TAGS_MAX} are sent", config.client_tags.len());
        values.mistake("client.tag.", message);
    }
    for (tag, value) in &config.client_tags {
        if tag.len() > KEY_MAX || value.len() > VALUE_MAX {
            let message =
                format!("a tag's name has at most {KEY_MAX} bytes, its value at most {VALUE_MAX}");
            values.mistake(&format!("client.tag.{tag}"), message);
        }
    }
    for tag in &config.rack_aware_assignment_tags {
        if !config.client_tags.contains_key(tag) {
            let message = format!("`{tag}` is not a tag of this client: set `client.tag.{tag}`");
            values.mistake("rack.aware.assignment.tags", message);
        }
    }
    if config.group_protocol == GroupProtocol::Streams {
        let message = "the streams protocol is not built yet: the group speaks `classic`";
        values.warnings.push(format!("group.protocol=streams has no effect yet: {message}"));
        warn_of_the_brokers_settings(values);
    }
}

/// With the streams protocol the broker decides these.
fn warn_of_the_brokers_settings(values: &mut Values<'_>) {
    const BROKERS: [&str; 9] = [
        "acceptable.recovery.lag",
        "heartbeat.interval.ms",
        "max.warmup.replicas",
        "num.standby.replicas",
        "probing.rebalance.interval.ms",
        "rack.aware.assignment.non_overlap_cost",
        "rack.aware.assignment.strategy",
        "rack.aware.assignment.tags",
        "session.timeout.ms",
    ];
    for name in BROKERS.into_iter().filter(|name| values.is_given(name)).collect::<Vec<_>>() {
        values.warnings.push(format!(
            "{name} is ignored with `group.protocol=streams`: it is a configuration of the group \
             at the broker, `streams.{name}` where the broker has it"
        ));
    }
}

fn warn_of_what_is_not_built(values: &mut Values<'_>) {
    for name in NOT_BUILT.into_iter().filter(|name| values.is_given(name)).collect::<Vec<_>>() {
        values.warnings.push(format!("{name} has no effect yet: what it sets is not built"));
    }
}

fn check_clients(values: &mut Values<'_>, settings: &ClientSettings) {
    for (name, value) in settings.of(ClientScope::Producer) {
        let is_acks = matches!(name.as_str(), "acks" | "request.required.acks");
        if is_acks && value != "all" && value != "-1" {
            let message = format!("must be `all`: producers are idempotent; found `{value}`");
            values.mistake(&name, message);
        }
    }
    for (name, _) in settings.only(ClientScope::Admin).filter(|(name, _)| !admin_uses(name)) {
        values.warnings.push(format!(
            "admin.{name} is ignored: the connections for groups, topics and offsets are not \
             librdkafka's, and have no such setting"
        ));
    }
}

/// Whether a setting behind `admin.` has an effect.
fn admin_uses(name: &str) -> bool {
    name == "metadata.max.age.ms" || wire::is_used(name)
}

fn check_handlers(values: &mut Values<'_>, given: &GivenHandlers) {
    const NAMES: [&str; 3] = [
        "deserialization.exception.handler",
        "processing.exception.handler",
        "production.exception.handler",
    ];
    let given = [&given.deserialization, &given.processing, &given.production];
    let mut skips = false;
    for (name, given) in NAMES.into_iter().zip(given) {
        skips |= values.read(name, |text| kind::handler_skips(text).or(Ok(true))) == Some(true);
        if given.is_some() && values.is_given(name) {
            values.warnings.push(format!("{name} is ignored: a handler is given in code"));
        }
    }
    if values.is_given("errors.dead.letter.queue.topic.name") && !skips {
        let message = "only records that are skipped go there, and no handler skips: set for \
                       example `processing.exception.handler=skip`";
        values.mistake("errors.dead.letter.queue.topic.name", message);
    }
}

#[cfg(test)]
mod tests;
