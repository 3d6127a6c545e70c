//! What is wrong with bytes, or with a value.

use thiserror::Error;

/// What the formats of this crate complain about. Topic, partition and offset are added by the
/// task.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SerdeError {
    /// The record's key is null, and the key's type has no null.
    #[error(
        "the key is null, and `{of}` has no null: read it as `Option<{of}>` and use \
         `drop_null_keys()`, or skip such records with `Consumed::skip_null_keys()`"
    )]
    NullKey {
        /// The key's type.
        of: String,
    },
    /// The record's value is null, and the value's type has no null.
    #[error(
        "the value is null, and `{of}` has no null: read it as `Option<{of}>` and use \
         `drop_null_values()`, or skip such records with `Consumed::skip_null_values()`"
    )]
    NullValue {
        /// The value's type.
        of: String,
    },
    /// `None` was to be written where only bytes can stand.
    #[error("`None` was put where null cannot be written, such as in a store: put the inner type")]
    NullInStore,
    /// The bytes are of another format.
    #[error("{format} takes {expected} bytes for `{of}`, found {found}")]
    Size {
        /// The format's name.
        format: &'static str,
        /// The type that was to be read.
        of: &'static str,
        /// Its size.
        expected: usize,
        /// The size of what was there.
        found: usize,
    },
    /// The bytes end too early, or an inner length points beyond their end.
    #[error("{format} ends early: {needed} more bytes are announced, {left} are left")]
    Truncated {
        /// The format's name.
        format: &'static str,
        /// What an inner length says.
        needed: usize,
        /// What is there.
        left: usize,
    },
    /// Bytes after the end of the value.
    #[error("{left} bytes are left over after {format}: they were written in another format")]
    LeftOver {
        /// The format's name.
        format: &'static str,
        /// How many.
        left: usize,
    },
    /// Bytes that the format does not have.
    #[error("not {format}: {why}")]
    Malformed {
        /// The format's name.
        format: &'static str,
        /// What is wrong.
        why: String,
    },
    /// More elements, or a larger element, than the format can count.
    #[error("{format} cannot hold a length of {len}: its lengths are 32-bit")]
    TooLong {
        /// The format's name.
        format: &'static str,
        /// The length.
        len: usize,
    },
}

/// The name of `T` without the paths of modules: `Option<String>`.
pub(super) fn short_name<T>() -> String {
    let mut short = String::new();
    for part in std::any::type_name::<T>().split_inclusive(|c: char| !is_path(c)) {
        let path_end = part.rfind("::").map_or(0, |index| index + 2);
        short.push_str(&part[path_end..]);
    }
    short
}

fn is_path(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == ':'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_types_are_short() {
        assert_eq!(short_name::<String>(), "String");
        assert_eq!(short_name::<Option<Vec<(String, i64)>>>(), "Option<Vec<(String, i64)>>");
    }
}
