//! What `build()` refuses: all mistakes at once, each with the user's call.

use std::time::Duration;

use streams_dsl::prelude::*;
use streams_dsl::topology::TimestampExtractor;

/// The messages of all mistakes, each with the line of its call.
fn mistakes(builder: StreamsBuilder) -> Vec<(String, u32)> {
    let Err(error) = builder.build() else { panic!("there is a mistake") };
    let mistake = |m: &streams_dsl::topology::Mistake| {
        assert!(m.location.file().ends_with("validation.rs"), "{m}");
        (m.message.clone(), m.location.line())
    };
    error.mistakes.iter().map(mistake).collect()
}

#[test]
fn a_changed_key_needs_a_name() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, i64>("in");
    let mapped = stream.map(|k, v| (k, v));
    let changed = line!() - 1;
    let counts = mapped.filter(|_, _| true).group_by_key().count("counts");
    let grouped = line!() - 1;
    counts.to("out");
    let [(message, line)] = &mistakes(builder)[..] else { panic!("one mistake") };
    assert_eq!(*line, grouped);
    let wanted = format!(
        "group_by_key() after map() at {}:{changed} needs a repartition topic, which needs a name: \
         use group_by_key_with(\"name\"), or put .repartition(\"name\") before it",
        file!()
    );
    assert_eq!(*message, wanted);
}

#[test]
fn joins_and_tables_need_a_name_too() {
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, i64>("t", "store");
    let stream = builder.stream::<String, i64>("in").select_key(|k, _| k.clone());
    stream.left_join_table(&table, |_, a, _| a).to("a");
    stream.to_table("latest").to("b");
    let found = mistakes(builder);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].0.contains("use left_join_table_with(.., \"name\")"), "{found:?}");
    assert!(found[1].0.contains("put .repartition(\"name\") before it"), "{found:?}");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, i64>("in");
    stream.filter(|_, _| true).named("twice").to("a");
    stream.filter(|_, _| true).named("twice").to("b");
    let second = line!() - 1;
    stream.map_values(|v| v).named("not a name").to("c");
    let found = mistakes(builder);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].0.starts_with("the name \"twice\" was already given to filter() at"));
    assert_eq!(found[0].1, second);
    assert!(found[1].0.contains("\"not a name\" holds ' '"), "{found:?}");
}

#[test]
fn stores_and_repartition_topics_are_unique() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, i64>("in");
    stream.group_by(|k, _| k.clone(), "again").count("one").to("a");
    stream.map_values(|v| v).group_by(|k, _| k.clone(), "again").count("one").to("b");
    let found = mistakes(builder);
    let all = found.iter().map(|(message, _)| message.as_str()).collect::<Vec<_>>().join("\n");
    assert!(all.contains("the store \"one\" already belongs to count() at"), "{all}");
    assert!(
        all.contains("the repartition topic \"again-repartition\" was already made by"),
        "{all}"
    );
}

#[test]
fn a_topic_is_read_once() {
    let builder = StreamsBuilder::new();
    builder.table::<String, i64>("t", "store").to("a");
    builder.stream::<String, i64>("t").to("b");
    builder.stream::<String, i64>("s").to("c");
    builder.stream::<String, String>("s").to("d");
    builder.stream::<String, i64>(["s", "r"]).to("e");
    let found = mistakes(builder);
    let all = found.iter().map(|(message, _)| message.as_str()).collect::<Vec<_>>().join("\n");
    assert_eq!(found.len(), 3, "{all}");
    assert!(all.contains("the topic \"t\" is already read by table() at"), "{all}");
    assert!(all.contains("as (alloc::string::String, i64), here as"), "{all}");
    assert!(all.contains("together with other topics"), "{all}");
}

#[test]
fn values_of_a_table_are_not_null() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, Option<i64>>("in").to_table("store").to_stream().for_each(|_, _| {});
    let found = mistakes(builder);
    assert!(found[0].0.contains("makes a table of core::option::Option<i64>"), "{found:?}");
    assert!(found[0].0.contains("to_table_from_updates()"), "{found:?}");
}

#[derive(Clone, Debug, PartialEq)]
struct NoSerde(i64);

#[test]
fn serdes_that_are_inherited_must_be_there() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, i64>("in").map_values(NoSerde);
    let group = stream.group_by(|k, _| k.clone(), Grouped::inherit("group"));
    group.count("counts").to("a");
    group.reduce(|a, _| a, Materialized::inherit("latest")).to_stream().for_each(|_, _| {});
    let found = mistakes(builder);
    let all = found.iter().map(|(message, _)| message.as_str()).collect::<Vec<_>>().join("\n");
    assert!(all.contains("needs a serde of the keys for its repartition topic"), "{all}");
    assert!(all.contains("reduce() at"), "{all}");
    assert!(all.contains("for its store"), "{all}");
}

#[test]
fn handles_of_two_builders_do_not_mix() {
    let (one, other) = (StreamsBuilder::new(), StreamsBuilder::new());
    let stream = other.stream::<String, i64>("in");
    one.stream::<String, i64>("in").merge(&stream).to("out");
    let found = mistakes(one);
    assert_eq!(found[0].0, "the two handles come from different builders");
}

#[test]
fn an_empty_topology_is_refused() {
    let found = mistakes(StreamsBuilder::new());
    assert!(found[0].0.contains("the topology is empty"), "{found:?}");
}

#[test]
fn generated_names_can_be_forbidden() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, i64>("in");
    stream.group_by(|k, _| k.clone(), auto()).count(auto()).to("out");
    let config = StreamsConfig::new("app", "localhost:9092")
        .set("ensure.explicit.internal.resource.naming", true);
    let Err(error) = builder.build_with(&config) else { panic!("there is a mistake") };
    assert_eq!(error.mistakes.len(), 2, "{error}");
}

#[test]
#[should_panic(expected = "came after build()")]
fn an_operator_after_build_is_a_mistake_of_the_program() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, i64>("in");
    let _topology = builder.build();
    stream.to("out");
}

#[test]
fn mistakes_that_the_core_finds_name_the_users_call_too() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, i64>("in");
    stream.group_by_key().count("store").to("counts");
    let other = Stores::key_value::<String, String>("store");
    let processed = stream.process_values_fn(other, |_, k, v, ctx| ctx.forward(k, v));
    let line = line!() - 1;
    processed.to("out");
    stream.map_values(NoSerde).to(Produced::inherit("unknown"));
    let sink = line!() - 1;
    let found = mistakes(builder);
    let all = found.iter().map(|(message, _)| message.as_str()).collect::<Vec<_>>().join("\n");
    let lines: Vec<_> = found.iter().map(|(_, line)| *line).collect();
    assert_eq!(lines, [line, sink], "{all}");
    assert!(all.contains("two stores named `store`"), "{all}");
    assert!(all.contains("nobody to inherit serdes from"), "{all}");
}

#[test]
fn topics_that_no_broker_could_have_are_told_at_the_call() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, i64>("or ders");
    let source = line!() - 1;
    stream.to("");
    stream.group_by_key().count("c".repeat(201)).to("counts/all");
    let found = mistakes(builder);
    let lines: Vec<_> = found.iter().map(|(_, line)| line - source).collect();
    assert_eq!(found.len(), 4, "{found:?}");
    assert!([0, 2, 3].iter().all(|line| lines.contains(line)), "{found:?}");
    assert!(found.iter().any(|(told, _)| told.contains("the name of a store")), "{found:?}");
    assert!(found.iter().any(|(told, _)| told.contains("`counts/all`")), "{found:?}");
}

// ---- versioned tables -----------------------------------------------------------------------

const HISTORY: Duration = Duration::from_millis(100);

#[test]
fn updates_of_a_versioned_table_are_not_suppressed() {
    let builder = StreamsBuilder::new();
    let rows = builder.table::<String, i64>("in", Materialized::from("rows").versioned(HISTORY));
    let held = Suppressed::until_time_limit(HISTORY, Buffer::unbounded());
    rows.filter(|_, n| *n > 0).suppress(held).to("out");
    let suppressed = line!() - 1;
    let [(message, line)] = &mistakes(builder)[..] else { panic!("one mistake") };
    assert_eq!(*line, suppressed);
    assert!(message.starts_with("suppress() at"), "{message}");
    assert!(message.contains("the table of filter() at"), "{message}");
    assert!(message.contains("is versioned"), "{message}");
}

#[test]
fn what_has_a_store_of_its_own_may_be_suppressed() {
    let builder = StreamsBuilder::new();
    let rows = builder.table::<String, i64>("in", Materialized::from("rows").versioned(HISTORY));
    let held = Suppressed::until_time_limit(HISTORY, Buffer::unbounded());
    rows.filter(|_, n| *n > 0).materialize("latest").suppress(held).to("out");
    builder.build().unwrap();
}

#[test]
fn grace_asks_for_a_history_that_is_as_long() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, i64>("in");
    let latest = builder.table::<String, i64>("latest", "latest");
    let short =
        builder.table::<String, i64>("short", Materialized::from("short").versioned(HISTORY));
    let both = short.join(&short, |_, a, b| a + b);
    let filtered = short.filter(|_, n| *n > 0);
    let grace = |name: &str, ms| Joined::from(name).grace(Duration::from_millis(ms));
    stream.join_table_with(&latest, |_, a, b| a + b, grace("a", 1)).to("a");
    let first = line!() - 1;
    stream.left_join_table_with(&short, |_, a, _| a, grace("b", 101)).to("b");
    stream.join_table_with(&both, |_, a, b| a + b, grace("c", 1)).to("c");
    stream.join_table_with(&filtered, |_, a, b| a + b, grace("d", 100)).to("d");
    let found = mistakes(builder);
    let lines: Vec<_> = found.iter().map(|(_, line)| line - first).collect();
    assert_eq!(lines, [0, 2, 3], "{found:?}");
    assert!(found[0].0.contains("has only the latest"), "{found:?}");
    assert!(
        found[1].0.contains("a grace period of 101 ms, but the table of table() at"),
        "{found:?}"
    );
    assert!(found[1].0.contains("for 100 ms only"), "{found:?}");
    assert!(found[2].0.contains("the table of join() at"), "{found:?}");
}

#[test]
fn the_buffer_of_a_join_needs_serdes_and_a_name() {
    #[derive(Clone)]
    struct Opaque;
    let builder = StreamsBuilder::new();
    let rows = builder.table::<String, i64>("rows", Materialized::from("rows").versioned(HISTORY));
    let stream = builder.stream::<String, i64>("in").map_values(|_| Opaque);
    let options = Joined::inherit("joined").grace(HISTORY);
    stream.join_table_with(&rows, |_, Opaque, n| *n, options).to("out");
    let [(message, _)] = &mistakes(builder)[..] else { panic!("one mistake") };
    assert!(message.contains("use Joined::with"), "{message}");

    let builder = StreamsBuilder::new();
    let rows = builder.table::<String, i64>("rows", Materialized::from("rows").versioned(HISTORY));
    let stream = builder.stream::<String, i64>("in");
    stream.join_table_with(&rows, |_, a, b| a + b, Joined::from(auto()).grace(HISTORY)).to("out");
    let config = StreamsConfig::new("app", "localhost:9092")
        .set("ensure.explicit.internal.resource.naming", true);
    let Err(error) = builder.build_with(&config) else { panic!("the name is generated") };
    let message = error.to_string();
    assert!(message.contains("KSTREAM-JOIN-0000000003-Buffer: name it"), "{message}");
}

#[test]
fn versions_are_neither_cached_nor_cut_into_nothing() {
    let builder = StreamsBuilder::new();
    let versioned = |name: &str| Materialized::from(name).versioned(HISTORY);
    builder.table::<String, i64>("a", versioned("a").emit_on_commit(true)).to("x");
    let cut = Materialized::from("b").versioned_in_segments(HISTORY, Duration::ZERO);
    builder.stream::<String, i64>("b").group_by_key().count(cut).to("y");
    let found = mistakes(builder);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].0.contains("emit_on_commit(true)"), "{found:?}");
    assert!(found[1].0.starts_with("count() at"), "{found:?}");
}

#[test]
fn a_processor_that_expects_the_latest_values_is_told() {
    let builder = StreamsBuilder::new();
    let rows = builder.table::<String, i64>("rows", Materialized::from("rows").versioned(HISTORY));
    let stream = builder.stream::<String, i64>("in");
    stream.process_values_fn(&rows, |_, key, n, ctx| ctx.forward(key, n)).to("out");
    let [(message, _)] = &mistakes(builder)[..] else { panic!("one mistake") };
    println!("{message}");
    assert!(message.contains("rows"), "{message}");
}

// ---- what cannot be written ------------------------------------------------------------------

#[test]
fn what_a_join_keeps_or_sends_needs_serdes() {
    #[derive(Clone)]
    struct Opaque;
    let builder = StreamsBuilder::new();
    let rows = builder.table::<String, i64>("rows", "rows");
    let opaque = rows.map_values(|_| Opaque);
    opaque
        .join_on(&rows, |key, _| Some(key.clone()), |_, _, n| *n, TableJoined::inherit("by-key"))
        .to("by-foreign-key");
    let first = line!() - 2;
    let stream = builder.stream::<String, i64>("in");
    let windows = JoinWindows::within(HISTORY);
    let unwritten = stream.map_values(|_| Opaque);
    unwritten.join(&stream, |_, _, n| *n, windows, StreamJoined::inherit("pairs")).to("pairs-out");
    let second = line!() - 1;
    let keep = Materialized::inherit("sums");
    stream.group_by_key().aggregate(|| Opaque, |_, _, _| {}, keep).map_values(|_| 1).to("sums-out");
    let third = line!() - 1;
    let found = mistakes(builder);
    let lines: Vec<_> = found.iter().map(|(_, line)| *line).collect();
    assert_eq!(lines, [first, second, third], "{found:?}");
    assert!(found[0].0.starts_with("join_on() at"), "{found:?}");
    assert!(found[0].0.contains("use TableJoined::with"), "{found:?}");
    assert!(found[1].0.starts_with("join() at"), "{found:?}");
    assert!(found[1].0.contains("use StreamJoined::with"), "{found:?}");
    assert!(found[2].0.starts_with("aggregate() at"), "{found:?}");
    assert!(found[2].0.contains("use Materialized::with"), "{found:?}");
}

/// Both calls are one source, which reads in one way.
#[test]
fn a_topic_is_read_in_one_way() {
    let builder = StreamsBuilder::new();
    let wall_clock =
        || Consumed::<String, i64>::from("in").timestamp_extractor(TimestampExtractor::WallClock);
    builder.stream::<String, i64>("in").to("a");
    builder.stream(wall_clock()).to("b");
    let second = line!() - 1;
    let [(message, line)] = &mistakes(builder)[..] else { panic!("one mistake") };
    assert!(message.contains("with another timestamp_extractor"), "{message}");
    assert!(message.contains("is already read by stream() at"), "{message}");
    assert_eq!(*line, second);

    let builder = StreamsBuilder::new();
    builder.stream(wall_clock()).to("a");
    builder.stream(wall_clock()).to("b");
    builder.build().unwrap();

    let builder = StreamsBuilder::new();
    builder.stream::<String, i64>("in").to("a");
    builder.stream(Consumed::<String, i64>::from("in").skip_null_values()).to("b");
    assert!(mistakes(builder)[0].0.contains("other null records skipped"));
}

#[test]
fn repartition_topics_that_are_joined_have_equally_many_partitions() {
    let builder = StreamsBuilder::new();
    let keyed = |topic, name: &str, partitions| {
        let stream = builder.stream::<String, i64>(topic).select_key(|k, _| k.clone());
        stream.repartition(Repartitioned::from(name).partitions(partitions))
    };
    let (two, three) = (keyed("a", "two", 2), keyed("b", "three", 3));
    let windows = JoinWindows::within(Duration::from_secs(1));
    two.join(&three, |_, a, b| a + b, windows, "sums").to("out");
    let join = line!() - 1;
    let [(message, line)] = &mistakes(builder)[..] else { panic!("one mistake") };
    assert!(message.contains("have 2 and 3 partitions: give both the same number"), "{message}");
    assert_eq!(*line, join);
}

#[test]
fn numbers_that_cannot_be_meant() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, i64>("in");
    let year = Duration::from_secs(365 * 86_400);
    let grouped = stream.group_by_key();
    let hopping = TimeWindows::hopping(year, Duration::from_millis(1));
    let _ = grouped.windowed_by(hopping).count("hops");
    let for_ever = grouped
        .windowed_by(UnlimitedWindows::starting(Timestamp::from_millis(0)))
        .count("for-ever");
    let _ = for_ever.suppress(Suppressed::until_window_closes(Buffer::unbounded()));
    let full = Buffer::max_records(0).shut_down_when_full();
    let table = builder.table::<String, i64>("t", "store");
    let _ = table.suppress(Suppressed::until_time_limit(Duration::from_secs(1), full));
    let found = mistakes(builder);
    let all = found.iter().map(|(message, _)| message.as_str()).collect::<Vec<_>>().join("\n");
    let wanted = [
        "each record lies in 31536000000",
        "windows to close that never end",
        "a buffer without room",
    ];
    for wanted in wanted {
        assert!(all.contains(wanted), "{wanted}:\n{all}");
    }
    assert_eq!(found.len(), wanted.len(), "{all}");

    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, i64>("in");
    stream.repartition(Repartitioned::from("many").partitions(i32::MAX)).to("a");
    assert!(mistakes(builder)[0].0.contains("100000 is the most"));
}
