//! Which serde an option means.

use crate::serdes::{DefaultSerde, DefaultWrite, Serde, SerdeRef};

/// Given by the user, the type's default, or whatever comes from upstream.
pub enum Choice<T> {
    /// By the user.
    Given(SerdeRef<T>),
    /// What a bare name stands for; an inherited serde goes before it.
    Default(SerdeRef<T>),
    /// Only what comes from upstream will do.
    Inherited,
}

impl<T: 'static> Choice<T> {
    /// This serde.
    pub fn given(serde: impl Serde<T>) -> Self {
        Self::Given(SerdeRef::new(serde))
    }

    /// The type's default.
    pub fn default_of() -> Self
    where
        T: DefaultSerde,
    {
        Self::Default(T::default_serde())
    }

    /// The type's default where it is only written.
    pub fn default_write() -> Self
    where
        T: DefaultWrite,
    {
        Self::Default(T::default_write())
    }

    /// Given by the user, else inherited, else the type's default; `None` if there is none.
    pub fn resolve(&self, inherited: Option<&SerdeRef<T>>) -> Option<SerdeRef<T>> {
        match (self, inherited) {
            (Self::Given(serde), _) | (Self::Default(_) | Self::Inherited, Some(serde)) => {
                Some(serde.clone())
            }
            (Self::Default(serde), None) => Some(serde.clone()),
            (Self::Inherited, None) => None,
        }
    }
}

impl<T> Clone for Choice<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Given(serde) => Self::Given(serde.clone()),
            Self::Default(serde) => Self::Default(serde.clone()),
            Self::Inherited => Self::Inherited,
        }
    }
}
