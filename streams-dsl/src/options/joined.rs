//! `Joined`.

use super::named::named_options;

named_options! {
    /// Stream-table join: the name of the join and of the stream's repartition topic,
    /// `<application.id>-<name>-repartition`. The topic is made only if the key was changed above.
    Joined {}
}
