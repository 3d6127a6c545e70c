//! Files as `java.util.Properties` has them.

/// One line's setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Property {
    pub(super) name: String,
    pub(super) value: String,
    /// From one.
    pub(super) line: usize,
}

/// All settings of a file, in order. Every text is a properties file, so there are no errors: a
/// line without a separator is a name without a value.
pub(super) fn parse(text: &str) -> Vec<Property> {
    let mut properties = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = line.to_owned();
        while continues(&logical) {
            logical.pop();
            let Some((_, next)) = lines.next() else { break };
            logical.push_str(next.trim_start());
        }
        let (name, value) = split(&logical);
        properties.push(Property {
            name: unescape(name),
            // Trailing blanks are part of a value in the JVM; they are never meant.
            value: unescape(value.trim_end()),
            line: index + 1,
        });
    }
    properties
}

/// Whether the line ends in an odd number of backslashes.
fn continues(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// At the first `=`, `:` or blank that is not escaped; blanks around it belong to neither.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    for (index, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '=' | ':' => return (&line[..index], line[index + 1..].trim_start()),
            c if c.is_whitespace() => {
                let rest = line[index..].trim_start();
                let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
                return (&line[..index], rest.trim_start());
            }
            _ => {}
        }
    }
    (line, "")
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\x0c'),
            Some('u') => {
                let code: String = chars.by_ref().take(4).collect();
                let c = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
                plain.push(c.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_a_line() {
        let text = "# comment\n! comment\n\n a=1\nb = 2\nc: 3\nd 4\n e\\ f=5 \n\
                    long=one,\\\n   two\npath=C\\:\\\\kafka\nempty=\nname\nu=\\u00e9\\n";
        let parsed: Vec<_> = parse(text).into_iter().map(|p| (p.name, p.value, p.line)).collect();
        let expected = [
            ("a", "1", 4),
            ("b", "2", 5),
            ("c", "3", 6),
            ("d", "4", 7),
            ("e f", "5", 8),
            ("long", "one,two", 9),
            ("path", "C:\\kafka", 11),
            ("empty", "", 12),
            ("name", "", 13),
            ("u", "é\n", 14),
        ];
        let expected =
            expected.map(|(name, value, line)| (name.to_owned(), value.to_owned(), line));
        assert_eq!(parsed, expected);
    }
}
