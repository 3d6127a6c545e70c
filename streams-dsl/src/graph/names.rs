//! Names of nodes, stores and repartition topics: one counter for all operators, burned when an
//! operator is called.
//!
//! The numbers are part of the contract with the JVM (topics on the broker carry them), so nothing
//! that happens later (renaming, rewriting, lowering) moves them.

use std::borrow::Cow;

/// A generated name: `<prefix>%010d`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Generated {
    pub(crate) prefix: String,
    pub(crate) index: u32,
}

impl std::fmt::Display for Generated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{:010}", self.prefix, self.index)
    }
}

/// One processor that an operator is lowered to.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) generated: Generated,
    /// What the processor is called when the operator has a name: `<name><suffix>`.
    pub(crate) suffix: Cow<'static, str>,
}

/// The names of all processors of one operator.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeName {
    /// Given by the user, with `named` or by the options.
    pub(crate) given: Option<String>,
    pub(crate) parts: Vec<Part>,
}

impl NodeName {
    /// A name that burns no number.
    pub(crate) fn fixed(name: String) -> Self {
        Self { given: Some(name), parts: Vec::new() }
    }

    /// The name of the `part`-th processor.
    pub(crate) fn part(&self, part: usize) -> String {
        match (&self.given, self.parts.get(part)) {
            (Some(given), Some(part)) => format!("{given}{}", part.suffix),
            (Some(given), None) => given.clone(),
            (None, Some(part)) => part.generated.to_string(),
            (None, None) => String::new(),
        }
    }

    /// The name of the operator itself: its first part without a suffix.
    pub(crate) fn main(&self) -> String {
        // The last one is where several processors meet, if none has the name as it is.
        let main = self.parts.iter().position(|p| p.suffix.is_empty());
        self.part(main.unwrap_or(self.parts.len().saturating_sub(1)))
    }

    /// The lowest and highest number that was burned for this operator.
    pub(crate) fn burned(&self) -> Option<(u32, u32)> {
        let indexes = || self.parts.iter().map(|p| p.generated.index);
        Some((indexes().min()?, indexes().max()?))
    }
}

/// The name of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreName {
    Given(String),
    Generated(Generated),
}

impl std::fmt::Display for StoreName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Given(name) => f.write_str(name),
            Self::Generated(generated) => generated.fmt(f),
        }
    }
}

/// The counter behind all generated names of one `StreamsBuilder`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counter(u32);

impl Counter {
    /// Takes the next number for a processor.
    pub(crate) fn burn(&mut self, prefix: &str) -> Generated {
        let index = self.0;
        self.0 += 1;
        Generated { prefix: prefix.into(), index }
    }

    /// Takes the next number for a store: `<prefix>STATE-STORE-%010d`.
    pub(crate) fn burn_store(&mut self, prefix: &str) -> Generated {
        self.burn(&format!("{prefix}STATE-STORE-"))
    }

    /// Takes the last number back.
    pub(crate) fn give_back(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }

    /// The number that comes next.
    pub(crate) fn next(self) -> u32 {
        self.0
    }
}

/// Names of the processors around a repartition topic: generated ones if the topic's base is a
/// generated name of a stream's operator, else made from the topic.
pub(crate) fn is_generated_stream_name(base: &str) -> bool {
    let Some((rest, digits)) = base.rsplit_once('-') else {
        return false;
    };
    rest.starts_with("KSTREAM") && digits.len() == 10 && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Why a name of an operator, store or topic is refused.
pub(crate) fn check(name: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() {
        return Err("a name must not be empty".into());
    }
    if name == "." || name == ".." {
        return Err(format!("{name:?} is not a name: Kafka refuses it as a topic"));
    }
    if name.len() > 249 {
        return Err(format!("the name {name:?} is longer than 249 characters"));
    }
    match name.chars().find(|c| !legal(*c)) {
        Some(c) => Err(format!(
            "the name {name:?} holds {c:?}: only ASCII letters, digits, '.', '_' and '-' are legal"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_name_has_ten_digits() {
        let mut counter = Counter::default();
        assert_eq!(counter.burn("KSTREAM-SOURCE-").to_string(), "KSTREAM-SOURCE-0000000000");
        let store = counter.burn_store("KSTREAM-AGGREGATE-").to_string();
        assert_eq!(store, "KSTREAM-AGGREGATE-STATE-STORE-0000000001");
        assert_eq!(counter.next(), 2);
    }

    #[test]
    fn a_given_name_covers_all_parts() {
        let mut counter = Counter::default();
        let mut part = |prefix: &str, suffix: &'static str| Part {
            generated: counter.burn(prefix),
            suffix: suffix.into(),
        };
        let parts = vec![part("KTABLE-MERGE-", ""), part("KTABLE-JOINTHIS-", "-join-this")];
        let mut name = NodeName { given: None, parts };
        assert_eq!(name.part(1), "KTABLE-JOINTHIS-0000000001");
        name.given = Some("both".into());
        assert_eq!((name.part(0), name.part(1)), ("both".into(), "both-join-this".into()));
        assert_eq!(name.burned(), Some((0, 1)));
    }

    #[test]
    fn only_generated_stream_names_keep_generated_repartition_nodes() {
        assert!(is_generated_stream_name("KSTREAM-AGGREGATE-STATE-STORE-0000000002"));
        assert!(!is_generated_stream_name("KTABLE-AGGREGATE-STATE-STORE-0000000002"));
        assert!(!is_generated_stream_name("KSTREAM-words"));
        assert!(!is_generated_stream_name("words"));
    }

    #[test]
    fn names_that_kafka_refuses_are_refused() {
        assert!(check("order.by_customer-2").is_ok());
        for bad in ["", ".", "..", "a b", "ä", &"x".repeat(250)] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
