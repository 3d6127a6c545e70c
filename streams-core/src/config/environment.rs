//! Settings from environment variables: `commit.interval.ms` is `STREAMS_COMMIT_INTERVAL_MS`.

use super::names::{ClientScope, PREFIXED, TAG_PREFIX, TOPIC_PREFIX, all_names, nearest};

/// What all variables begin with.
pub(super) const PREFIX: &str = "STREAMS_";

/// What a variable stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    /// A setting of that name.
    Setting(String),
    /// Almost a setting; this variable was meant.
    Misspelt(String),
    /// Not ours: such variables are also made by Kubernetes, for a service named "streams".
    Unrelated,
}

/// `None` for variables that do not begin with `STREAMS_`.
pub(super) fn setting_of(variable: &str) -> Option<Variable> {
    let folded = variable.strip_prefix(PREFIX)?.to_ascii_lowercase();
    if let Some(name) = all_names().find(|name| fold(name) == folded) {
        return Some(Variable::Setting(name.to_owned()));
    }
    for prefix in PREFIXED.map(ClientScope::prefix) {
        if let Some(rest) = folded.strip_prefix(&*fold(prefix)) {
            let name = all_names().find(|name| fold(name) == rest);
            let name = name.map_or_else(|| unfold(rest), str::to_owned);
            return Some(Variable::Setting(format!("{prefix}{name}")));
        }
    }
    for prefix in [TOPIC_PREFIX, TAG_PREFIX] {
        if let Some(rest) = folded.strip_prefix(&*fold(prefix)).filter(|rest| !rest.is_empty()) {
            return Some(Variable::Setting(format!("{prefix}{}", unfold(rest))));
        }
    }
    let all: Vec<_> = all_names().map(fold).collect();
    Some(match nearest(&folded, all.iter().map(String::as_str)) {
        Some(name) => Variable::Misspelt(format!("{PREFIX}{}", name.to_ascii_uppercase())),
        None => Variable::Unrelated,
    })
}

/// The variable of a setting.
#[cfg(test)]
pub(super) fn variable_of(name: &str) -> String {
    format!("{PREFIX}{}", fold(name).to_ascii_uppercase())
}

fn fold(name: &str) -> String {
    name.replace('.', "_")
}

fn unfold(name: &str) -> String {
    name.replace('_', ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_variable() {
        for name in all_names() {
            let setting = Variable::Setting(name.to_owned());
            assert_eq!(setting_of(&variable_of(name)), Some(setting), "{name}");
        }
    }

    #[test]
    fn variables_of_others() {
        let setting = |name: &str| Some(Variable::Setting(name.to_owned()));
        assert_eq!(setting_of("PATH"), None);
        assert_eq!(setting_of("STREAMS_PORT_9092_TCP_ADDR"), Some(Variable::Unrelated));
        assert_eq!(setting_of("STREAMS_SERVICE_HOST"), Some(Variable::Unrelated));
        let misspelt = Variable::Misspelt("STREAMS_APPLICATION_ID".to_owned());
        assert_eq!(setting_of("STREAMS_APLICATION_ID"), Some(misspelt));
        assert_eq!(
            setting_of("STREAMS_CONSUMER_FETCH_MIN_BYTES"),
            setting("consumer.fetch.min.bytes")
        );
        assert_eq!(setting_of("STREAMS_TOPIC_RETENTION_MS"), setting("topic.retention.ms"));
        assert_eq!(setting_of("STREAMS_CLIENT_TAG_ZONE"), setting("client.tag.zone"));
    }
}
