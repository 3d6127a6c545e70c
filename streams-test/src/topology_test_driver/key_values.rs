//! What was read, ready to be compared.

use std::fmt;
use std::ops::Deref;

use super::fixture::Fixture;

/// Keys and values in the order in which they were written. Compares with an array of tuples of
/// what stands for them: `assert_eq!(output.read_all(), [("a", 1), ("b", 2)])`.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyValues<K, V>(pub Vec<(K, V)>);

/// Keys, values and times (ms since 1970) in the order in which they were written. Compares with
/// an array of tuples of what stands for them: `[("a", 1, 100), ("b", 2, 110)]`.
#[derive(Clone, PartialEq, Eq)]
pub struct TimedKeyValues<K, V>(pub Vec<(K, V, i64)>);

impl<K: Ord, V: Ord> KeyValues<K, V> {
    /// In order of keys, then values: where the order of writing does not matter.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.0.sort();
        self
    }
}

impl<K: Ord, V: Ord> TimedKeyValues<K, V> {
    /// In order of keys, then values: where the order of writing does not matter.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.0.sort();
        self
    }
}

macro_rules! rows {
    ($rows:ident, $row:ty) => {
        impl<K, V> Deref for $rows<K, V> {
            type Target = [$row];
            fn deref(&self) -> &[$row] {
                &self.0
            }
        }

        impl<K, V> IntoIterator for $rows<K, V> {
            type Item = $row;
            type IntoIter = std::vec::IntoIter<$row>;
            fn into_iter(self) -> Self::IntoIter {
                self.0.into_iter()
            }
        }

        impl<K, V> FromIterator<$row> for $rows<K, V> {
            fn from_iter<I: IntoIterator<Item = $row>>(rows: I) -> Self {
                Self(rows.into_iter().collect())
            }
        }

        /// As the list that it is.
        impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for $rows<K, V> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}
rows!(KeyValues, (K, V));
rows!(TimedKeyValues, (K, V, i64));

fn same_pairs<K, V, A, B>(actual: &[(K, V)], expected: &[(A, B)]) -> bool
where
    K: PartialEq,
    V: PartialEq,
    A: Fixture<K> + Clone,
    B: Fixture<V> + Clone,
{
    let same = |((key, value), (a, b)): (&(K, V), &(A, B))| {
        *key == a.clone().fixture() && *value == b.clone().fixture()
    };
    actual.len() == expected.len() && actual.iter().zip(expected).all(same)
}

fn same_timed<K, V, A, B>(actual: &[(K, V, i64)], expected: &[(A, B, i64)]) -> bool
where
    K: PartialEq,
    V: PartialEq,
    A: Fixture<K> + Clone,
    B: Fixture<V> + Clone,
{
    let same = |((key, value, at), (a, b, t)): (&(K, V, i64), &(A, B, i64))| {
        *key == a.clone().fixture() && *value == b.clone().fixture() && at == t
    };
    actual.len() == expected.len() && actual.iter().zip(expected).all(same)
}

macro_rules! compares_with {
    ($([$($generics:tt)*] $pairs:ty, $timed:ty;)+) => { $(
        impl<K, V, A, B, $($generics)*> PartialEq<$pairs> for KeyValues<K, V>
        where
            K: PartialEq,
            V: PartialEq,
            A: Fixture<K> + Clone,
            B: Fixture<V> + Clone,
        {
            fn eq(&self, expected: &$pairs) -> bool {
                same_pairs(&self.0, &expected[..])
            }
        }

        impl<K, V, A, B, $($generics)*> PartialEq<$timed> for TimedKeyValues<K, V>
        where
            K: PartialEq,
            V: PartialEq,
            A: Fixture<K> + Clone,
            B: Fixture<V> + Clone,
        {
            fn eq(&self, expected: &$timed) -> bool {
                same_timed(&self.0, &expected[..])
            }
        }
    )+ };
}
compares_with! {
    [const N: usize] [(A, B); N], [(A, B, i64); N];
    [] Vec<(A, B)>, Vec<(A, B, i64)>;
    [] &[(A, B)], &[(A, B, i64)];
}

#[cfg(test)]
mod tests {
    use super::super::fixture::some;
    use super::*;

    #[test]
    fn rows_compare_with_literals() {
        let rows: KeyValues<String, i64> = KeyValues(vec![("b".into(), 1), ("a".into(), 2)]);
        assert_eq!(rows, [("b", 1), ("a", 2)]);
        assert_ne!(rows, [("b", 1)]);
        assert_ne!(rows, [("b", 1), ("a", 3)]);
        assert_eq!(rows, vec![("b".to_owned(), 1_i64), ("a".to_owned(), 2)]);
        assert_eq!(rows.clone().sorted(), [("a", 2), ("b", 1)]);
        assert_eq!(format!("{rows:?}"), r#"[("b", 1), ("a", 2)]"#);
        assert_eq!((rows.len(), rows[1].1), (2, 2));
    }

    #[test]
    fn options_compare_with_what_is_in_them() {
        let numbers: KeyValues<String, Option<i64>> =
            KeyValues(vec![("a".into(), Some(1)), ("a".into(), None)]);
        assert_eq!(numbers, [("a", Some(1)), ("a", None)]);
        let texts: KeyValues<String, Option<String>> =
            KeyValues(vec![("a".into(), Some("x".into())), ("a".into(), None)]);
        assert_eq!(texts, [("a", some("x")), ("a", None)]);
        assert_eq!(KeyValues(texts.0[1..].to_vec()), [("a", None)]);
        assert_eq!(KeyValues(texts.0[..1].to_vec()), [("a", "x")]);
        let timed: TimedKeyValues<String, i64> = TimedKeyValues(vec![("a".into(), 1, 100)]);
        assert_eq!(timed, [("a", 1, 100)]);
        assert_ne!(timed, [("a", 1, 101)]);
    }
}
