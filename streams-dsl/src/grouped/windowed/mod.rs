//! Aggregations in windows. A table of windows is a table: its key is the key with its window.

mod cogroup;
mod definition;
mod final_results;
mod panes;
mod session_aggregate;
mod session_stream;
mod sliding_aggregate;
mod store;
mod time_aggregate;
mod time_stream;

pub use cogroup::{SessionWindowedCogroupedKStream, TimeWindowedCogroupedKStream};
pub use definition::{AnyTimeWindows, WindowDefinition};
pub use session_stream::SessionWindowedKStream;
pub use time_stream::TimeWindowedKStream;

pub(crate) use panes::MergePanes;
pub(crate) use session_aggregate::{Merge, SessionAggregate};
pub(crate) use session_stream::{check_sessions, lower_sessions, merge_with};
pub(crate) use sliding_aggregate::SlidingAggregate;
pub(crate) use store::{Declared, StoredWindows, WindowedParts, check_retention, stored_windows};
pub(crate) use store::{session_getter, window_getter};
pub(crate) use time_aggregate::TimeAggregate;
pub(crate) use time_stream::{check_windows, lower_time_windows};

use std::sync::Arc;

use streams_core::Data;
use streams_core::stores::Held;

use super::stream::Step;

/// What an aggregation does with a record, and with the aggregate of a pane if it can.
pub(crate) struct Steps<K, V, A> {
    pub(crate) step: Arc<Step<K, V, A>>,
    pub(crate) merge: Option<Arc<MergePanes<A>>>,
}

impl<K, V, A> From<Arc<Step<K, V, A>>> for Steps<K, V, A> {
    fn from(step: Arc<Step<K, V, A>>) -> Self {
        Self { step, merge: None }
    }
}

impl<K, V, A> Clone for Steps<K, V, A> {
    fn clone(&self) -> Self {
        Self { step: self.step.clone(), merge: self.merge.clone() }
    }
}

/// Counts.
fn count_step<K: Data, V: Data>() -> Arc<Step<K, V, i64>> {
    Arc::new(|_, _, count: &mut Option<Held<i64>>| {
        *count = Some(Held::new(count.as_deref().copied().unwrap_or(0).saturating_add(1)));
        Ok(())
    })
}

/// Adds counts.
fn merge_counts() -> Arc<MergePanes<i64>> {
    Arc::new(|more, count: &mut Option<Held<i64>>| {
        *count = Some(Held::new(count.as_deref().copied().unwrap_or(0).saturating_add(*more)));
    })
}

/// Combines; the first value is the first aggregate.
fn reduce_step<K: Data, V: Data>(f: Arc<dyn Fn(V, V) -> V + Send + Sync>) -> Arc<Step<K, V, V>> {
    Arc::new(move |_, value, reduced: &mut Option<Held<V>>| {
        *reduced = Some(Held::new(match reduced.take() {
            Some(before) => f(before.into_inner(), value),
            None => value,
        }));
        Ok(())
    })
}

/// Adds to what is there, or to what `init` makes.
fn aggregate_step<K: Data, V: Data, A: Data>(
    init: Arc<dyn Fn() -> A + Send + Sync>,
    f: impl Fn(&K, V, &mut A) + Send + Sync + 'static,
) -> Arc<Step<K, V, A>> {
    Arc::new(move |key, value, aggregate: &mut Option<Held<A>>| {
        f(key, value, aggregate.get_or_insert_with(|| Held::new(init())).make_mut());
        Ok(())
    })
}
