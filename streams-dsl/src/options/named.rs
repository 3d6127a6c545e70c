//! The common shape of options that are a name and a serde for the key and one for the value.

/// Fields, constructors and conversions of such options.
macro_rules! named_options {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty = $init:expr),* $(,)? }) => {
        $(#[$doc])*
        pub struct $name<K, V> {
            pub(crate) name: Option<String>,
            pub(crate) key: ::streams_core::topology::Choice<K>,
            pub(crate) value: ::streams_core::topology::Choice<V>,
            $(pub(crate) $field: $type,)*
        }

        impl<K: 'static, V: 'static> $name<K, V> {
            fn new(
                name: Option<String>,
                key: ::streams_core::topology::Choice<K>,
                value: ::streams_core::topology::Choice<V>,
            ) -> Self {
                Self { name, key, value, $($field: $init,)* }
            }

            /// With the serdes of the topic's keys and values.
            pub fn with(
                name: &str,
                key: impl ::streams_core::Serde<K>,
                value: impl ::streams_core::Serde<V>,
            ) -> Self {
                use ::streams_core::topology::Choice;
                Self::new(Some(name.into()), Choice::given(key), Choice::given(value))
            }

            /// With the serdes from upstream, for types without a default; an error of `build()` if
            /// there are none.
            pub fn inherit(name: &str) -> Self {
                use ::streams_core::topology::Choice;
                Self::new(Some(name.into()), Choice::Inherited, Choice::Inherited)
            }

            pub(crate) fn naming(&self) -> $crate::graph::Naming {
                match &self.name {
                    Some(name) => $crate::graph::Naming::Given(name.clone()),
                    None => $crate::graph::Naming::Auto,
                }
            }
        }

        $crate::options::named::named_options!(@from $name, &str, |name| Some(name.into()));
        $crate::options::named::named_options!(@from $name, String, |name| Some(name));
        $crate::options::named::named_options!(@from $name, $crate::options::Auto, |_name| None);
    };
    (@from $name:ident, $from:ty, |$arg:ident| $given:expr) => {
        impl<K, V> From<$from> for $name<K, V>
        where
            K: ::streams_core::DefaultSerde,
            V: ::streams_core::DefaultSerde,
        {
            fn from($arg: $from) -> Self {
                use ::streams_core::topology::Choice;
                Self::new($given, Choice::default_of(), Choice::default_of())
            }
        }
    };
}
pub(crate) use named_options;
