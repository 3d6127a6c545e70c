//! Text to count.

use std::io::Read;

use streams_dsl::prelude::BoxError;

/// The lines of these files; of standard input if there are none.
pub fn read_lines(files: impl Iterator<Item = String>) -> Result<Vec<String>, BoxError> {
    let files: Vec<String> = files.collect();
    let mut text = String::new();
    if files.is_empty() {
        std::io::stdin().read_to_string(&mut text)?;
    }
    for file in files {
        let bytes = std::fs::read(&file).map_err(|error| format!("cannot read {file}: {error}"))?;
        text.push_str(&String::from_utf8_lossy(&bytes));
        text.push('\n');
    }
    Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// The words of a line, in lower case.
pub fn words(line: &str) -> impl Iterator<Item = String> {
    line.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}
