//! The given settings, sorted by what their names mean, and read by kind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::client_settings::ClientSettings;
use super::error::ConfigMistake;
use super::foreign_keys::Verdict;
use super::keys::{ConfigKey, known_key};
use super::kind::{self, Kind};
use super::names::{Meaning, meaning};
use super::redact::is_secret;
use super::streams_config::{Origin, Setting};

/// Given settings of one configuration, and what is wrong with them.
pub(super) struct Values<'a> {
    given: BTreeMap<&'static str, &'a Setting>,
    read: BTreeSet<&'static str>,
    pub(super) mistakes: Vec<ConfigMistake>,
    pub(super) warnings: Vec<String>,
    pub(super) client_settings: ClientSettings,
    pub(super) topic_configs: BTreeMap<String, String>,
    pub(super) client_tags: BTreeMap<String, String>,
}

impl<'a> Values<'a> {
    pub(super) fn new(settings: &'a [Setting]) -> Self {
        let mut values = Self {
            given: BTreeMap::new(),
            read: BTreeSet::new(),
            mistakes: Vec::new(),
            warnings: Vec::new(),
            client_settings: ClientSettings::default(),
            topic_configs: BTreeMap::new(),
            client_tags: BTreeMap::new(),
        };
        settings.iter().for_each(|setting| values.sort_in(setting));
        values
    }

    fn sort_in(&mut self, setting: &'a Setting) {
        let value = setting.value.clone();
        match meaning(&setting.name) {
            Meaning::Ours(name) => {
                self.given.insert(name, setting);
            }
            Meaning::Client(scope, name) => self.client_settings.insert(scope, name, value),
            Meaning::Topic(name) => {
                self.topic_configs.insert(name, value);
            }
            Meaning::Tag(name) => {
                self.client_tags.insert(name, value);
            }
            Meaning::Foreign(Verdict::Refuse, advice) => self.wrong(setting, advice.to_owned()),
            Meaning::Foreign(Verdict::Ignore, advice) => {
                self.warnings.push(format!("{} is ignored: {advice}", setting.name));
            }
            Meaning::Unknown(nearest) => {
                let meant = match &setting.origin {
                    Origin::MisspeltVariable(meant) => Some(meant.clone()),
                    _ => nearest,
                };
                self.wrong(
                    setting,
                    match meant {
                        Some(meant) => format!("there is no such setting; did you mean `{meant}`?"),
                        None => "there is no such setting; docs/configuration.md has all names"
                            .to_owned(),
                    },
                );
            }
        }
    }

    /// Whether it was given, be it empty.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// A mistake that is not one of a single value.
    pub(super) fn mistake(&mut self, key: &str, message: impl Into<String>) {
        let origin = self.given.get(key).map(|setting| setting.origin.text()).unwrap_or_default();
        self.mistakes.push(ConfigMistake { key: key.to_owned(), origin, message: message.into() });
    }

    /// The value, or the default; `None` when there is neither. What does not fit is a mistake,
    /// and the default is read in its place.
    pub(super) fn read<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.read.insert(name);
        let default = self.key(name).default;
        let setting = self.given.get(name).copied();
        let text = setting.map_or(default, |setting| setting.value.trim());
        if text.is_empty() && default.is_empty() {
            return None;
        }
        match parse(text) {
            Ok(value) => Some(value),
            Err(expected) => {
                if let Some(setting) = setting {
                    self.wrong(setting, with_found(&setting.name, &expected, text));
                }
                parse(default).ok()
            }
        }
    }

    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        self.read(name, |text| Ok(text.to_owned()))
    }

    pub(super) fn list(&mut self, name: &'static str) -> Vec<String> {
        self.read(name, |text| Ok(kind::list(text))).unwrap_or_default()
    }

    pub(super) fn boolean(&mut self, name: &'static str) -> bool {
        self.read(name, kind::boolean).unwrap_or_default()
    }

    pub(super) fn word(&mut self, name: &'static str) -> &'static str {
        let Kind::OneOf(words) = self.key(name).kind else { unreachable_kind(name) };
        self.read(name, |text| kind::one_of(text, words)).unwrap_or_default()
    }

    pub(super) fn millis(&mut self, name: &'static str) -> Duration {
        self.optional_millis(name).unwrap_or_default()
    }

    /// `None` for -1.
    pub(super) fn optional_millis(&mut self, name: &'static str) -> Option<Duration> {
        let Kind::Millis { min, max } = self.key(name).kind else { unreachable_kind(name) };
        let millis = self.read(name, |text| kind::millis(text, min, max))?;
        u64::try_from(millis).ok().map(Duration::from_millis)
    }

    pub(super) fn integer<T: TryFrom<i64> + Default>(&mut self, name: &'static str) -> T {
        self.optional_integer(name).unwrap_or_default()
    }

    pub(super) fn optional_integer<T: TryFrom<i64>>(&mut self, name: &'static str) -> Option<T> {
        let Kind::Integer { min, max } = self.key(name).kind else { unreachable_kind(name) };
        self.read(name, |text| kind::integer(text, min, max)).and_then(|n| T::try_from(n).ok())
    }

    pub(super) fn bytes(&mut self, name: &'static str) -> Option<u64> {
        let Kind::Bytes { min } = self.key(name).kind else { unreachable_kind(name) };
        self.read(name, |text| kind::bytes(text, min))
    }

    /// The names that nobody asked for: a key of the table that does nothing.
    pub(super) fn unread(&self) -> Vec<&'static str> {
        let all = super::keys::KNOWN_KEYS.iter().map(|key| key.name);
        all.filter(|name| !self.read.contains(name)).collect()
    }

    fn key(&self, name: &'static str) -> &'static ConfigKey {
        known_key(name).expect("names are those of the table, which a test reads through")
    }

    fn wrong(&mut self, setting: &Setting, message: String) {
        let (key, origin) = (setting.name.clone(), setting.origin.text());
        let mistake = ConfigMistake { key, origin, message };
        // A value that is read for two purposes is one mistake.
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }
}

fn with_found(name: &str, expected: &str, found: &str) -> String {
    if is_secret(name) { expected.to_owned() } else { format!("{expected}; found `{found}`") }
}

#[cold]
fn unreachable_kind(name: &str) -> ! {
    unreachable!("{name} is read as another kind than the table says")
}
