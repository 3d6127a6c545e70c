//! A value that a store, its old and emitted versions, and records on table edges share.

use std::fmt;
use std::mem::{needs_drop, size_of};
use std::ops::Deref;
use std::sync::Arc;

/// Values up to this size, in bytes, that own nothing are held in place.
const INLINE_SIZE_MAX: usize = 32;

/// A cheap clone of a value: in place when it is small and owns nothing, behind a count
/// otherwise. Which of the two is decided by the type alone.
pub struct Held<V>(Repr<V>);

enum Repr<V> {
    Inline(V),
    Shared(Arc<V>),
}

impl<V> Held<V> {
    const INLINE: bool = size_of::<V>() <= INLINE_SIZE_MAX && !needs_drop::<V>();

    /// Holds `value`.
    #[inline]
    pub fn new(value: V) -> Self {
        Self(if Self::INLINE { Repr::Inline(value) } else { Repr::Shared(Arc::new(value)) })
    }
}

impl<V: Clone> Held<V> {
    /// For changing the value in place; it is cloned first if somebody else holds it too.
    #[inline]
    pub fn make_mut(&mut self) -> &mut V {
        match &mut self.0 {
            Repr::Inline(value) => value,
            Repr::Shared(value) => Arc::make_mut(value),
        }
    }

    /// The value; cloned if somebody else holds it too.
    #[inline]
    pub fn into_inner(self) -> V {
        match self.0 {
            Repr::Inline(value) => value,
            Repr::Shared(value) => Arc::unwrap_or_clone(value),
        }
    }
}

impl<V: Clone> Clone for Held<V> {
    #[inline]
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Repr::Inline(value) => Repr::Inline(value.clone()),
            Repr::Shared(value) => Repr::Shared(value.clone()),
        })
    }
}

impl<V> Deref for Held<V> {
    type Target = V;
    #[inline]
    fn deref(&self) -> &V {
        match &self.0 {
            Repr::Inline(value) => value,
            Repr::Shared(value) => value,
        }
    }
}

impl<V> AsRef<V> for Held<V> {
    fn as_ref(&self) -> &V {
        self
    }
}

impl<V> From<V> for Held<V> {
    fn from(value: V) -> Self {
        Self::new(value)
    }
}

impl<V: PartialEq> PartialEq for Held<V> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<V: Eq> Eq for Held<V> {}

impl<V: fmt::Debug> fmt::Debug for Held<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_values_are_held_in_place() {
        assert!(matches!(Held::new(1_i64).0, Repr::Inline(1)));
        assert!(matches!(Held::new((1_u64, 2_u64, 3_u64, 4_u64)).0, Repr::Inline(_)));
        assert!(matches!(Held::new([0_u8; 33]).0, Repr::Shared(_)));
        assert!(matches!(Held::new(String::new()).0, Repr::Shared(_)));
    }

    #[test]
    fn a_change_is_not_seen_by_other_holders() {
        let mut one = Held::new(vec![1]);
        one.make_mut().push(2);
        let other = one.clone();
        one.make_mut().push(3);
        assert_eq!((&*one, &*other), (&vec![1, 2, 3], &vec![1, 2]));
        assert_eq!(one.into_inner(), [1, 2, 3]);
        let mut number = Held::new(1);
        let old = number.clone();
        *number.make_mut() += 1;
        assert_eq!((*number, *old), (2, 1));
    }
}
