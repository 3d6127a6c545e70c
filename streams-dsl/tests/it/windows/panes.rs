//! Hopping windows whose counts share panes until a commit: the same results as without, record for
//! record.

use proptest::prelude::*;
use streams_dsl::WindowKind;
use streams_dsl::core::task::DropReason;
use streams_dsl::prelude::*;
use streams_test::TopologyTestDriver;

use super::{ms, pipe, timed};

/// How the results come.
#[derive(Clone, Copy, Debug)]
enum Emit {
    OnCommit,
    OnClose,
}

/// Counts once as everybody does, and once so that no panes can be shared.
fn topology(windows: &TimeWindows, emit: Emit) -> Topology {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>("in").group_by_key();
    let strategy = match emit {
        Emit::OnCommit => EmitStrategy::OnWindowUpdate,
        Emit::OnClose => EmitStrategy::OnWindowClose,
    };
    let windowed = stream.windowed_by(windows.clone()).emit(strategy);
    let store = |name: &str| Materialized::from(name).emit_on_commit(true);
    windowed.count(store("shared")).to("shared");
    let one = |_: &String, _: String, count: &mut Option<i64>| {
        *count = Some(count.unwrap_or(0) + 1);
    };
    windowed.aggregate_option(one, store("alone")).to("alone");
    builder.build().unwrap()
}

#[derive(Clone, Debug)]
enum Action {
    Record { key: u8, time: i64 },
    Commit,
    Abort,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let record = (0..3_u8, 0..200_i64).prop_map(|(key, time)| Action::Record { key, time });
    // Time goes on, with records that are late now and then.
    let action = prop_oneof![8 => record, 1 => Just(Action::Commit), 1 => Just(Action::Abort)];
    prop::collection::vec(action, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_comes_of_panes_is_what_comes_of_windows(
        actions in actions(),
        (advance, overlaps) in (1..30_i64, 2..6_i64),
        grace in 0..60_u64,
        on_close: bool,
    ) {
        let size = ms((advance * overlaps) as u64);
        let windows = TimeWindows::hopping(size, ms(advance as u64)).grace(ms(grace));
        let emit = if on_close { Emit::OnClose } else { Emit::OnCommit };
        let driver = TopologyTestDriver::new(&topology(&windows, emit)).manual_commit();
        let (mut at, mut records) = (0, 0);
        for action in actions {
            match action {
                Action::Record { key, time } => {
                    records += 1;
                    at = (at + time / 8).max(time);
                    let time = (at - time / 3).max(0);
                    let value = records.to_string();
                    pipe(&driver, &[(&key.to_string(), &value, time)]);
                }
                Action::Commit => driver.commit(),
                Action::Abort => driver.abort(),
            }
        }
        driver.commit();
        let written = |topic| timed::<i64>(&driver, topic, size.as_millis() as u64);
        prop_assert_eq!(written("shared"), written("alone"));
    }
}

#[test]
fn a_closed_window_gets_nothing_of_a_pane() {
    let windows = TimeWindows::hopping(ms(10), ms(5)).grace(ms(0));
    let driver = TopologyTestDriver::new(&topology(&windows, Emit::OnCommit)).manual_commit();
    pipe(&driver, &[("a", "", 7), ("a", "", 8), ("a", "", 12), ("a", "", 9), ("a", "", 4)]);
    driver.commit();
    // When 9 comes, 0/10 is closed; when 4 comes, it is as well.
    let expected = ["a@0/10=2 t8", "a@10/20=1 t12", "a@5/15=4 t12"];
    assert_eq!(timed::<i64>(&driver, "shared", 10), expected);
    assert_eq!(timed::<i64>(&driver, "alone", 10), expected);
    // Both aggregations have dropped 9 from one window, and 4 from its only one.
    assert_eq!(driver.dropped_count(DropReason::Late), 4);
}

/// Who else reads the store would see it without what lies in panes: here a join, before the commit.
#[test]
fn a_store_that_others_read_is_always_up_to_date() {
    let joined = |count: fn(&Words, Materialized<String, i64, WindowKind>) -> Counts| {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<String, String>("in").group_by_key();
        let windowed = stream.windowed_by(TimeWindows::hopping(ms(10), ms(5)));
        let counts = count(&windowed, Materialized::from("counts").emit_on_commit(true));
        let lengths = windowed.aggregate(|| 0, |_, v, n| *n += v.len() as i64, "lengths");
        counts.join(&lengths, |_, count, length| count * 1000 + length).to("joined");
        let driver = TopologyTestDriver::new(&builder.build().unwrap()).manual_commit();
        pipe(&driver, &[("a", "x", 7), ("a", "y", 8), ("a", "z", 12)]);
        driver.commit();
        timed::<i64>(&driver, "joined", 10)
    };
    let shared = joined(|windowed, store| windowed.count(store));
    let alone = joined(|windowed, store| {
        windowed.aggregate_option(|_, _, n| *n = Some(n.unwrap_or(0) + 1), store)
    });
    assert_eq!(shared, alone);
    assert_eq!(shared.first().unwrap(), "a@0/10=1001 t7");
}

type Words = TimeWindowedKStream<String, String>;
type Counts = KTable<Windowed<String>, i64>;
