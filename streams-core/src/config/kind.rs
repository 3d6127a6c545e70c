//! What a setting takes, and how its text is read.

use std::time::Duration;

use super::resolved::OffsetReset;

/// What a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Any text.
    Text,
    /// `true` or `false`.
    Bool,
    /// A whole number, bounds included.
    Integer {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// A duration: milliseconds, or a number with a unit. A minimum of -1 admits -1 as "no".
    Millis {
        /// The least, in milliseconds.
        min: i64,
        /// The most, in milliseconds.
        max: i64,
    },
    /// An amount of memory: bytes, or a number with a unit.
    Bytes {
        /// The least, in bytes.
        min: u64,
    },
    /// One of these words, whatever their case.
    OneOf(&'static [&'static str]),
    /// Words separated by commas.
    List,
    /// `host:port`, several separated by commas.
    Servers,
    /// Where to begin without a committed position.
    Reset,
    /// `fail` or `skip`, or the class names of Kafka Streams' handlers that do so.
    Handler,
}

/// Whole milliseconds; `-1` where the kind admits it.
pub(super) fn millis(text: &str, min: i64, max: i64) -> Result<i64, String> {
    let parsed = parse_millis(text).filter(|value| *value >= min && *value <= max);
    parsed.ok_or_else(|| {
        let range = match (min, max) {
            (-1, _) => " (-1 for none)".to_owned(),
            (0 | 1, i64::MAX) => String::new(),
            (0 | 1, max) => format!(", at most {max}"),
            (min, _) => format!(", at least {min}"),
        };
        format!("expected milliseconds{range}, or a number with a unit such as `30s` or `5m`")
    })
}

pub(super) fn integer(text: &str, min: i64, max: i64) -> Result<i64, String> {
    let parsed = text.parse().ok().filter(|value| *value >= min && *value <= max);
    parsed.ok_or_else(|| match max {
        i64::MAX => format!("expected a whole number, at least {min}"),
        max => format!("expected a whole number from {min} to {max}"),
    })
}

pub(super) fn bytes(text: &str, min: u64) -> Result<u64, String> {
    parse_bytes(text).filter(|value| *value >= min).ok_or_else(|| {
        let least = if min == 0 { String::new() } else { format!(", at least {min}") };
        format!("expected bytes{least}, or a number with a unit such as `256MiB` or `2GiB`")
    })
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("expected `true` or `false`".to_owned()),
    }
}

pub(super) fn one_of(text: &str, words: &[&'static str]) -> Result<&'static str, String> {
    let found = words.iter().find(|word| word.eq_ignore_ascii_case(text));
    found.copied().ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
        match words.split_last() {
            Some((last, [])) => format!("expected {last}"),
            Some((last, others)) => format!("expected {} or {last}", others.join(", ")),
            None => "nothing is accepted".to_owned(),
        }
    })
}

pub(super) fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

pub(super) fn servers(text: &str) -> Result<String, String> {
    let servers = list(text);
    match servers.iter().find(|server| host_and_port(server).is_none()) {
        None if !servers.is_empty() => Ok(servers.join(",")),
        None => Err("expected `host:port`, several separated by commas".to_owned()),
        Some(wrong) => {
            Err(format!("expected `host:port`, several separated by commas; `{wrong}` is not one"))
        }
    }
}

/// `host:port`, `[ipv6]:port`, with or without `PROTOCOL://` before it.
pub(super) fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let address = text.split_once("://").map_or(text, |(_, address)| address);
    let (host, port) = address.rsplit_once(':')?;
    let ipv6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let well_formed = match ipv6 {
        Some(ipv6) => !ipv6.is_empty(),
        None => !host.is_empty() && !host.contains([':', '/', '[', ']', ' ']),
    };
    let port = port.parse().ok().filter(|port| *port != 0)?;
    well_formed.then_some((ipv6.unwrap_or(host), port))
}

pub(super) fn reset(text: &str) -> Result<OffsetReset, String> {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "earliest" => Ok(OffsetReset::Earliest),
        "latest" => Ok(OffsetReset::Latest),
        "none" => Ok(OffsetReset::None),
        _ => lower
            .strip_prefix("by_duration:")
            .and_then(|ago| parse_iso_duration(ago).or_else(|| parse_millis(ago)))
            .and_then(|ms| u64::try_from(ms).ok())
            .map(|ms| OffsetReset::ByDuration(Duration::from_millis(ms)))
            .ok_or_else(|| {
                "expected `earliest`, `latest`, `none` or `by_duration:PT1H`".to_owned()
            }),
    }
}

/// Whether the handler skips; otherwise it fails.
pub(super) fn handler_skips(text: &str) -> Result<bool, String> {
    let class = text.rsplit('.').next().unwrap_or(text);
    match class {
        "skip" | "continue" => Ok(true),
        "fail" => Ok(false),
        _ if class.starts_with("LogAndContinue") => Ok(true),
        _ if class.starts_with("LogAndFail") => Ok(false),
        "DefaultProductionExceptionHandler" => Ok(false),
        _ => Err("expected `fail` or `skip`; a handler of your own is a closure: \
                  `StreamsConfig::on_deserialization_error`, `on_processing_error`, \
                  `on_production_error`"
            .to_owned()),
    }
}

/// Plain milliseconds, or a number with `ms`, `s`, `m`, `h` or `d`.
fn parse_millis(text: &str) -> Option<i64> {
    let (number, unit) = number_and_unit(text);
    let factor = match unit {
        "" | "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(factor)
}

/// Plain bytes, or a number with `KiB`, `MiB` or `GiB`.
fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text);
    let factor = match unit {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn number_and_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// `PnDTnHnMnS` in lower case, as milliseconds.
fn parse_iso_duration(text: &str) -> Option<i64> {
    let text = text.strip_prefix('p')?;
    let (days, time) = text.split_once('t').unwrap_or((text, ""));
    let mut total: i64 = 0;
    let mut seen = false;
    for (part, units) in [(days, &[('d', 86_400_000)][..]), (time, &TIME_UNITS[..])] {
        let mut rest = part;
        for (unit, millis) in units {
            if let Some((number, after)) = rest.split_once(*unit) {
                total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(*millis)?)?;
                (rest, seen) = (after, true);
            }
        }
        if !rest.is_empty() {
            return None;
        }
    }
    seen.then_some(total)
}

const TIME_UNITS: [(char, i64); 3] = [('h', 3_600_000), ('m', 60_000), ('s', 1000)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let cases = [
            ("0", Some(0)),
            ("30000", Some(30_000)),
            ("250ms", Some(250)),
            ("30s", Some(30_000)),
            ("5 min", Some(300_000)),
            ("5m", Some(300_000)),
            ("2h", Some(7_200_000)),
            ("1d", Some(86_400_000)),
            ("-1", Some(-1)),
            ("", None),
            ("ten", None),
            ("1.5s", None),
            ("5 minutes", None),
            ("9223372036854775807d", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_millis(text), expected, "{text}");
        }
    }

    #[test]
    fn bytes_have_binary_units_only() {
        assert_eq!(parse_bytes("256MiB"), Some(256 << 20));
        assert_eq!(parse_bytes("2 GiB"), Some(2 << 30));
        assert_eq!(parse_bytes("1024"), Some(1024));
        assert_eq!(parse_bytes("256MB"), None);
        assert_eq!(parse_bytes("-1"), None);
    }

    #[test]
    fn resets_by_duration_are_iso_or_ours() {
        let ago = |seconds| Ok(OffsetReset::ByDuration(Duration::from_secs(seconds)));
        assert_eq!(reset("EARLIEST"), Ok(OffsetReset::Earliest));
        assert_eq!(reset("by_duration:PT1H"), ago(3600));
        assert_eq!(reset("by_duration:P1DT1M30S"), ago(86_490));
        assert_eq!(reset("by_duration:P7D"), ago(7 * 86_400));
        assert_eq!(reset("by_duration:90s"), ago(90));
        for wrong in ["by_duration:", "by_duration:P", "by_duration:PT", "by_duration:PT1M1H"] {
            assert!(reset(wrong).is_err(), "{wrong}");
        }
        assert!(reset("by_duration:-1").is_err());
    }

    #[test]
    fn addresses() {
        assert_eq!(host_and_port("localhost:9092"), Some(("localhost", 9092)));
        assert_eq!(host_and_port("[::1]:9092"), Some(("::1", 9092)));
        assert_eq!(host_and_port("SASL_SSL://broker-1.example.org:443").map(|a| a.1), Some(443));
        for wrong in ["localhost", "localhost:", ":9092", "a:b", "::1:9092", "a:0", "a:65536"] {
            assert_eq!(host_and_port(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn handlers_by_word_or_class() {
        let class = "org.apache.kafka.streams.errors.LogAndContinueExceptionHandler";
        assert_eq!(handler_skips(class), Ok(true));
        assert_eq!(handler_skips("fail"), Ok(false));
        assert!(handler_skips("com.example.Mine").is_err());
    }
}
