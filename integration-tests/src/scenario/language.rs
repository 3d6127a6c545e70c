//! Scenarios as text: `integration-tests/scenarios/README.md` describes the language.

use std::collections::BTreeMap;
use std::fmt;

/// A topology, and what is piped into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scenario {
    /// What it shows; not part of what is run.
    pub title: String,
    /// `cache=on`: one change per key and commit.
    pub options: BTreeMap<String, String>,
    /// In the order of the calls.
    pub ops: Vec<Op>,
    /// In the order of time.
    pub steps: Vec<Step>,
}

/// One call: `id = call parent.. name=value..`; no id where it ends a branch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Op {
    /// By which later calls name it.
    pub id: Option<String>,
    /// The operator.
    pub call: String,
    /// Ids; of one branch of a split `id.1`.
    pub parents: Vec<String>,
    /// Its options.
    pub params: BTreeMap<String, String>,
}

/// What a test does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A record is piped.
    Record(Input),
    /// The time of day advances by so many milliseconds.
    Wall(i64),
}

/// A record; `None` is null.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Input {
    pub topic: String,
    pub key: Option<String>,
    pub value: Option<String>,
    pub at: i64,
    pub headers: Vec<(String, Option<String>)>,
}

impl Op {
    /// An option's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str)
    }

    /// An option that the call cannot do without.
    ///
    /// # Errors
    /// If it was not given.
    pub fn need(&self, name: &str) -> Result<&str, String> {
        self.get(name).ok_or_else(|| format!("{} needs {name}=", self.call))
    }

    /// A number that the call cannot do without.
    ///
    /// # Errors
    /// If it was not given, or is none.
    pub fn number(&self, name: &str) -> Result<i64, String> {
        let text = self.need(name)?;
        text.parse().map_err(|_| format!("{}: {name}={text} is not a number", self.call))
    }

    /// Whether an option is `yes`.
    pub fn yes(&self, name: &str) -> bool {
        self.get(name) == Some("yes")
    }
}

impl Scenario {
    /// All scenarios of a file: each begins with a line `scenario <title>`.
    ///
    /// # Errors
    /// The first line that is none.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, String> {
        let mut all: Vec<Self> = Vec::new();
        for line in text.lines() {
            if let Some(title) = line.strip_prefix("scenario ") {
                all.push(Self { title: title.trim().to_owned(), ..Self::default() });
                continue;
            }
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') || line == "end" {
                continue;
            }
            let scenario = all.last_mut().ok_or("a file begins with `scenario <title>`")?;
            scenario.line(line).map_err(|error| format!("{error}: {line}"))?;
        }
        Ok(all)
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0] {
            "option" => self.options.extend(params(&words[1..])?),
            "wall" => {
                let by =
                    words.get(1).and_then(|by| by.parse().ok()).ok_or("wall <milliseconds>")?;
                self.steps.push(Step::Wall(by));
            }
            ">" => {
                let topic = words.get(1).ok_or("> <topic> key= value= at=")?;
                self.steps.push(Step::Record(input(topic, &params(&words[2..])?)?));
            }
            _ => self.ops.push(op(&words)?),
        }
        Ok(())
    }
}

fn input(topic: &str, params: &BTreeMap<String, String>) -> Result<Input, String> {
    let at = params.get("at").and_then(|at| at.parse().ok()).ok_or("at=<milliseconds>")?;
    let headers = params.get("headers").map_or("", String::as_str);
    let headers = headers.split(',').filter(|header| !header.is_empty()).map(|header| {
        let (name, value) = header.split_once(':').unwrap_or((header, ""));
        (name.to_owned(), unquote(value))
    });
    Ok(Input {
        topic: topic.to_owned(),
        key: params.get("key").and_then(|key| unquote(key)),
        value: params.get("value").and_then(|value| unquote(value)),
        at,
        headers: headers.collect(),
    })
}

fn op(words: &[&str]) -> Result<Op, String> {
    let (id, rest) = match words {
        [id, "=", rest @ ..] => (Some((*id).to_owned()), rest),
        _ => (None, words),
    };
    let (call, rest) = rest.split_first().ok_or("a call is missing")?;
    let parents = rest.iter().take_while(|word| !word.contains('=')).count();
    Ok(Op {
        id,
        call: (*call).to_owned(),
        parents: rest[..parents].iter().map(|&parent| parent.to_owned()).collect(),
        params: params(&rest[parents..])?,
    })
}

fn params(words: &[&str]) -> Result<BTreeMap<String, String>, String> {
    let pair = |word: &&str| {
        let (name, value) = word.split_once('=').ok_or(format!("{word} is not name=value"))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    words.iter().map(pair).collect()
}

/// `-` is null and `''` is empty.
fn unquote(word: &str) -> Option<String> {
    match word {
        "-" => None,
        "''" => Some(String::new()),
        _ => Some(word.to_owned()),
    }
}

fn quote(text: Option<&str>) -> &str {
    match text {
        None => "-",
        Some("") => "''",
        Some(text) => text,
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "scenario {}", self.title)?;
        for (name, value) in &self.options {
            writeln!(f, "option {name}={value}")?;
        }
        self.ops.iter().try_for_each(|op| writeln!(f, "{op}"))?;
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = &self.id {
            write!(f, "{id} = ")?;
        }
        write!(f, "{}", self.call)?;
        self.parents.iter().try_for_each(|parent| write!(f, " {parent}"))?;
        self.params.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Input { topic, key, value, at, headers } = match self {
            Self::Wall(by) => return write!(f, "wall {by}"),
            Self::Record(input) => input,
        };
        let (key, value) = (quote(key.as_deref()), quote(value.as_deref()));
        write!(f, "> {topic} key={key} value={value} at={at}")?;
        for (n, (name, value)) in headers.iter().enumerate() {
            let before = if n == 0 { " headers=" } else { "," };
            write!(f, "{before}{name}:{}", quote(value.as_deref()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_scenario_is_read_as_it_is_written() {
        let text = "\
scenario counts
option cache=on
s = stream topic=in
g = group_by s k=v|first name=by-first
c = count g store=counts
to c topic=out
> in key=a value='' at=3 headers=h:x,e:-
> in key=- value=- at=0
wall 1000
";
        let all = Scenario::parse_all(text).unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].ops.len(), 4);
        assert_eq!(all[0].to_string(), text);
        assert!(Scenario::parse_all("s = stream").is_err());
    }
}
