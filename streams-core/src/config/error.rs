//! Mistakes in a configuration, all at once.

use std::fmt;

/// What is wrong with a configuration: all mistakes, not the first one.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigError {
    mistakes: Vec<ConfigMistake>,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigMistake {
    /// The setting's name, as it was given.
    pub key: String,
    /// Where it was given: a file and a line, an environment variable; empty for code.
    pub origin: String,
    /// What is wrong, and what to do. Never holds a secret.
    pub message: String,
}

impl ConfigError {
    /// Of at least one mistake.
    pub fn new(mistakes: Vec<ConfigMistake>) -> Self {
        debug_assert!(!mistakes.is_empty(), "an error has a reason");
        Self { mistakes }
    }

    /// All of them, in the order in which the settings were given.
    pub fn mistakes(&self) -> &[ConfigMistake] {
        &self.mistakes
    }
}

impl fmt::Display for ConfigMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if !self.origin.is_empty() {
            write!(f, " ({})", self.origin)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.mistakes {
            [mistake] => write!(f, "the configuration is wrong: {mistake}"),
            mistakes => {
                write!(f, "the configuration has {} mistakes:", mistakes.len())?;
                mistakes.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
            }
        }
    }
}

/// The message: `main` prints an error by `{:?}`.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ConfigError {}
