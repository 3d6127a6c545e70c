//! `Grouped`.

use super::named::named_options;

named_options! {
    /// The repartition topic of a grouping: `<application.id>-<name>-repartition`. It is made only
    /// if the key was changed above.
    Grouped {}
}
