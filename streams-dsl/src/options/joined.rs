//! `Joined`.

use std::time::Duration;

use super::named::named_options;

named_options! {
    /// Stream-table join: the name of the join and of the stream's repartition topic,
    /// `<application.id>-<name>-repartition`. The topic is made only if the key was changed above.
    Joined { grace: Option<Duration> = None }
}

impl<K: 'static, V: 'static> Joined<K, V> {
    /// Lets records wait for late updates of the table: each is joined when stream time is `grace`
    /// past its own time, with the value of its time. The table has to be
    /// [`versioned`](super::Materialized::versioned), with a history that is at least as long.
    ///
    /// Records wait in a store named after the join, `<name>-Buffer`, oldest first; one that is later
    /// than `grace` is joined at once. Results have the times of their records, and so come in the
    /// order of times. Without `grace` each record is joined when it comes.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }
}
