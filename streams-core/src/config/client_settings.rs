//! Settings of the clients, by librdkafka's names.

use std::collections::BTreeMap;
use std::fmt;

use super::names::ClientScope;
use super::redact::shown;

/// What the application says about its clients: `security.protocol`, `sasl.*`, `ssl.*`,
/// `fetch.*`, and so on. Only what was given; defaults are the clients'.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientSettings {
    settings: BTreeMap<(ClientScope, &'static str), String>,
}

impl ClientSettings {
    pub(super) fn insert(&mut self, scope: ClientScope, name: &'static str, value: String) {
        self.settings.insert((scope, name), value);
    }

    /// Those of one client: a setting with its prefix goes before one without.
    pub fn of(&self, scope: ClientScope) -> Vec<(String, String)> {
        let mut merged = BTreeMap::new();
        for outer in outer_scopes(scope) {
            for ((of, name), value) in &self.settings {
                if of == outer {
                    merged.insert((*name).to_owned(), value.clone());
                }
            }
        }
        merged.into_iter().collect()
    }

    /// Those for all clients: connections and security.
    pub fn common(&self) -> Vec<(String, String)> {
        self.of(ClientScope::All)
    }

    /// Those that were given for exactly these clients.
    pub(super) fn only(&self, scope: ClientScope) -> impl Iterator<Item = (&'static str, &str)> {
        let all = self.settings.iter().map(|((of, name), value)| (*of, *name, value.as_str()));
        all.filter(move |(of, ..)| *of == scope).map(|(_, name, value)| (name, value))
    }

    /// Whether none were given.
    pub fn is_empty(&self) -> bool {
        self.settings.is_empty()
    }
}

/// Secrets are not shown.
impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.settings.iter().map(|((scope, name), value)| {
            let name = format!("{}{name}", scope.prefix());
            let value = shown(&name, value).to_owned();
            (name, value)
        });
        f.debug_map().entries(shown).finish()
    }
}

/// From the least specific one to `scope`.
fn outer_scopes(scope: ClientScope) -> &'static [ClientScope] {
    use ClientScope::*;
    match scope {
        All => &[All],
        Consumer => &[All, Consumer],
        MainConsumer => &[All, Consumer, MainConsumer],
        RestoreConsumer => &[All, Consumer, RestoreConsumer],
        GlobalConsumer => &[All, Consumer, GlobalConsumer],
        Producer => &[All, Producer],
        Admin => &[All, Admin],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_specific_setting_wins() {
        let mut settings = ClientSettings::default();
        settings.insert(ClientScope::RestoreConsumer, "fetch.min.bytes", "3".to_owned());
        settings.insert(ClientScope::Consumer, "fetch.min.bytes", "2".to_owned());
        settings.insert(ClientScope::All, "sasl.password", "hunter2".to_owned());
        let of = |scope, name| {
            settings.of(scope).into_iter().find(|(n, _)| n == name).map(|(_, value)| value)
        };
        assert_eq!(of(ClientScope::RestoreConsumer, "fetch.min.bytes").as_deref(), Some("3"));
        assert_eq!(of(ClientScope::MainConsumer, "fetch.min.bytes").as_deref(), Some("2"));
        assert_eq!(of(ClientScope::Producer, "fetch.min.bytes"), None);
        assert_eq!(of(ClientScope::Admin, "sasl.password").as_deref(), Some("hunter2"));
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
