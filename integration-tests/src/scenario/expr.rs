//! The functions of scenarios: texts to texts, the same in `jvm/src/main/java/oracle/Expr.java`.

use std::borrow::Cow;

use streams_dsl::core::Data;
use streams_dsl::prelude::{DefaultSerde, Window, Windowed};

/// Results are cut to their last so many characters.
const LONGEST: usize = 24;

/// A function of texts: what it begins with, then steps, divided by `|`. Null stays null in each
/// step but `or`.
#[derive(Clone, Debug)]
pub struct Expr {
    start: String,
    steps: Vec<(String, String)>,
}

/// What can be shown as text; `None` is null.
pub trait Show {
    /// The text.
    fn show(&self) -> Option<Cow<'_, str>>;
}

/// What can be made of text: with and without null.
pub trait Text: Show + Data + DefaultSerde {
    /// Null, where the type has none, is `-`.
    fn make(text: Option<String>) -> Self;
}

impl Show for String {
    fn show(&self) -> Option<Cow<'_, str>> {
        Some(self.into())
    }
}

impl Show for Option<String> {
    fn show(&self) -> Option<Cow<'_, str>> {
        self.as_deref().map(Cow::from)
    }
}

impl Show for i64 {
    fn show(&self) -> Option<Cow<'_, str>> {
        Some(self.to_string().into())
    }
}

impl<K: Show, W: Window> Show for Windowed<K, W> {
    fn show(&self) -> Option<Cow<'_, str>> {
        let (start, end) = (self.window.start().as_millis(), self.window.end().as_millis());
        Some(format!("{}@{start}/{end}", self.key.show()?).into())
    }
}

impl Text for String {
    fn make(text: Option<String>) -> Self {
        text.unwrap_or_else(|| "-".to_owned())
    }
}

impl Text for Option<String> {
    fn make(text: Option<String>) -> Self {
        text
    }
}

impl Expr {
    /// Reads an expression.
    pub fn new(text: &str) -> Self {
        let mut parts = text.split('|');
        let start = parts.next().unwrap_or("").to_owned();
        let steps = parts.map(|step| step.split_once(':').unwrap_or((step, "")));
        let steps = steps.map(|(name, argument)| (name.to_owned(), argument.to_owned())).collect();
        Self { start, steps }
    }

    /// With the key, the first operand (aggregate, left side), and the second (value, right side).
    ///
    /// # Panics
    /// If there is no such function.
    pub fn of(&self, key: Option<&str>, a: Option<&str>, b: Option<&str>) -> Option<String> {
        let mut text = self.start(key, a, b).map(cut);
        for (name, argument) in &self.steps {
            text = match text {
                Some(text) => step(name, argument, text).map(cut),
                None => (name == "or").then(|| argument.clone()),
            };
        }
        text
    }

    /// The same, of what is shown.
    pub fn make<T: Text>(
        &self,
        key: Option<&impl Show>,
        a: Option<&impl Show>,
        b: Option<&impl Show>,
    ) -> T {
        let (key, a, b) =
            (key.and_then(Show::show), a.and_then(Show::show), b.and_then(Show::show));
        T::make(self.of(key.as_deref(), a.as_deref(), b.as_deref()))
    }

    /// Of a key and a value.
    pub fn map<T: Text>(&self, key: &impl Show, value: &impl Show) -> T {
        self.make(Some(key), None::<&String>, Some(value))
    }

    /// Whether the result is true.
    pub fn holds(&self, key: &impl Show, value: &impl Show) -> bool {
        self.map::<Option<String>>(key, value).as_deref() == Some("t")
    }

    fn start(&self, key: Option<&str>, a: Option<&str>, b: Option<&str>) -> Option<String> {
        match (&*self.start, a, b) {
            ("k", ..) => return key.map(str::to_owned),
            ("a", ..) => return a.map(str::to_owned),
            ("b" | "v", ..) => return b.map(str::to_owned),
            ("max", Some(x), Some(y)) => return Some(x.max(y).to_owned()),
            ("min", Some(x), Some(y)) => return Some(x.min(y).to_owned()),
            ("max" | "min", x, y) => return x.or(y).map(str::to_owned),
            _ => {}
        }
        let mut text = String::new();
        for c in self.start.chars() {
            match c {
                'k' => text.push_str(key.unwrap_or("-")),
                'a' => text.push_str(a.unwrap_or("-")),
                'b' | 'v' => text.push_str(b.unwrap_or("-")),
                c => text.push(c),
            }
        }
        Some(text)
    }
}

fn step(name: &str, argument: &str, text: String) -> Option<String> {
    let truth = |holds: bool| Some(if holds { "t" } else { "f" }.to_owned());
    match name {
        "or" => Some(text),
        "upper" => Some(text.to_ascii_uppercase()),
        "lower" => Some(text.to_ascii_lowercase()),
        "len" => Some(text.len().to_string()),
        "first" => Some(text.chars().take(1).collect()),
        "last" => Some(text.chars().last().into_iter().collect()),
        "rev" => Some(text.chars().rev().collect()),
        "add" => Some(text + argument),
        "mod" => {
            let by: u64 = argument.parse().expect("mod:<number>");
            Some((sum(&text) % by).to_string())
        }
        "null_if" => (!text.contains(argument)).then_some(text),
        "has" => truth(text.contains(argument)),
        "is" => truth(text == argument),
        "lt" => truth(&*text < argument),
        "odd" => truth(sum(&text) % 2 == 1),
        name => panic!("no function {name}"),
    }
}

fn sum(text: &str) -> u64 {
    text.bytes().map(u64::from).sum()
}

fn cut(mut text: String) -> String {
    text.drain(..text.len().saturating_sub(LONGEST));
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(expr: &str, a: Option<&str>, b: Option<&str>) -> Option<String> {
        Expr::new(expr).of(Some("key"), a, b)
    }

    #[test]
    fn expressions_are_a_start_and_steps() {
        let all = [
            ("a+b", Some("x"), None, Some("x+-")),
            ("v|upper|add:1", None, Some("x"), Some("X1")),
            ("v|null_if:x|upper", None, Some("x"), None),
            ("v|or:y", None, None, Some("y")),
            ("v|mod:3", None, Some("b"), Some("2")),
            ("max", Some("a"), Some("b"), Some("b")),
            ("k|first|is:k", None, None, Some("t")),
        ];
        for (expr, a, b, wanted) in all {
            assert_eq!(of(expr, a, b).as_deref(), wanted, "{expr}");
        }
    }

    #[test]
    fn long_texts_lose_their_beginning() {
        let long = "0123456789".repeat(3);
        assert_eq!(of("v", None, Some(&long)).unwrap(), long[6..]);
    }
}
