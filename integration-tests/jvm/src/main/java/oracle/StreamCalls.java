package oracle;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.BranchedKStream;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.GlobalKTable;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.ValueJoinerWithKey;

/** Calls of streams. */
final class StreamCalls {
    static KStream<Object, Object> source(StreamsBuilder builder, Scenario.Op op) {
        List<String> topics = Arrays.asList(op.need("topic").split(","));
        return op.get("name") == null ? builder.stream(topics) : builder.stream(topics, Consumed.as(op.get("name")));
    }

    static Object call(KStream<Object, Object> s, Object other, Scenario.Op op) {
        return switch (op.call()) {
            case "filter" -> s.filter(new Expr(op.need("p"))::holds, Calls.named(op));
            case "filter_not" -> s.filterNot(new Expr(op.need("p"))::holds, Calls.named(op));
            case "drop_null_values" -> s.filter((k, v) -> v != null, Calls.named(op));
            case "drop_null_keys" -> s.filter((k, v) -> k != null, Calls.named(op));
            case "map_values" -> {
                Expr.Of f = Calls.function(op, "f");
                yield s.mapValues((k, v) -> f.of(k, null, v), Calls.named(op));
            }
            case "map" -> {
                Expr.Of f = Calls.function(op, "f");
                Expr key = new Expr(op.need("k"));
                yield s.map((k, v) -> KeyValue.pair(key.some(k, null, v), f.of(k, null, v)), Calls.named(op));
            }
            case "flat_map" -> {
                Expr f = new Expr(op.need("f"));
                Expr key = new Expr(op.need("k"));
                yield s.flatMap((k, v) -> {
                    List<KeyValue<Object, Object>> all = new ArrayList<>();
                    for (Object part : parts(f.some(k, null, v))) {
                        all.add(KeyValue.pair(key.some(k, v, part), part));
                    }
                    return all;
                }, Calls.named(op));
            }
            case "flat_map_values" -> {
                Expr f = new Expr(op.need("f"));
                yield s.flatMapValues((k, v) -> parts(f.some(k, null, v)), Calls.named(op));
            }
            case "select_key" -> {
                Expr.Of key = Calls.function(op, "k");
                yield s.selectKey((k, v) -> key.of(k, null, v), Calls.named(op));
            }
            case "peek" -> s.peek((k, v) -> { }, Calls.named(op));
            case "merge" -> s.merge(Calls.stream(other), Calls.named(op));
            case "split" -> split(s, op);
            case "repartition" -> op.get("name") == null
                ? s.repartition() : s.repartition(Repartitioned.as(op.get("name")));
            case "group_by" -> {
                Expr key = new Expr(op.need("k"));
                yield s.groupBy((k, v) -> key.some(k, null, v), grouped(op));
            }
            case "group_by_key" -> s.groupByKey(grouped(op));
            case "to_table" -> op.get("store") == null
                ? s.toTable(Calls.named(op)) : s.toTable(Calls.named(op), TableCalls.materialized(op));
            case "to" -> {
                s.to(op.need("topic"), op.get("name") == null ? Produced.with(null, null) : Produced.as(op.get("name")));
                yield null;
            }
            default -> join(s, other, op);
        };
    }

    /** With serdes: windowed keys are written by the serde of what is in them. */
    static Grouped<Object, Object> grouped(Scenario.Op op) {
        Serde<Object> text = Calls.cast(Serdes.String());
        return op.get("name") == null ? Grouped.with(text, text) : Grouped.with(op.get("name"), text, text);
    }

    private static List<Object> parts(String text) {
        List<Object> parts = new ArrayList<>();
        for (char c : text.toCharArray()) parts.add(String.valueOf(c));
        return parts;
    }

    private static Object split(KStream<Object, Object> s, Scenario.Op op) {
        BranchedKStream<Object, Object> split = op.get("name") == null ? s.split() : s.split(Calls.named(op));
        for (int n = 1; op.get("p" + n) != null; n++) split = split.branch(new Expr(op.get("p" + n))::holds);
        return op.yes("default") ? split.defaultBranch() : split.noDefaultBranch();
    }

    private static Object join(KStream<Object, Object> s, Object other, Scenario.Op op) {
        Expr f = new Expr(op.need("f"));
        ValueJoinerWithKey<Object, Object, Object, Object> joiner = f::some;
        switch (op.call()) {
            case "join_table", "left_join_table" -> {
                KTable<Object, Object> table = Calls.table(other);
                Joined<Object, Object, Object> joined = joined(op);
                return op.call().equals("join_table") ? s.join(table, joiner, joined) : s.leftJoin(table, joiner, joined);
            }
            case "join_global", "left_join_global" -> {
                GlobalKTable<Object, Object> table = Calls.global(other);
                Expr.Of key = Calls.function(op, "k");
                return op.call().equals("join_global")
                    ? s.join(table, (k, v) -> key.of(k, null, v), joiner, Calls.named(op))
                    : s.leftJoin(table, (k, v) -> key.of(k, null, v), joiner, Calls.named(op));
            }
            case "join_stream" -> {
                return s.join(Calls.stream(other), joiner, windows(op), streamJoined(op));
            }
            case "left_join_stream" -> {
                return s.leftJoin(Calls.stream(other), joiner, windows(op), streamJoined(op));
            }
            case "outer_join_stream" -> {
                return s.outerJoin(Calls.stream(other), joiner, windows(op), streamJoined(op));
            }
            default -> throw Calls.unknown(op);
        }
    }

    private static Joined<Object, Object, Object> joined(Scenario.Op op) {
        Joined<Object, Object, Object> joined =
            op.get("name") == null ? Joined.with(null, null, null) : Joined.as(op.get("name"));
        return op.get("grace") == null ? joined : joined.withGracePeriod(Duration.ofMillis(op.number("grace")));
    }

    private static JoinWindows windows(Scenario.Op op) {
        Duration before = Duration.ofMillis(op.number("before"));
        Duration after = Duration.ofMillis(op.number("after"));
        Duration larger = before.abs().compareTo(after.abs()) > 0 ? before.abs() : after.abs();
        return JoinWindows.ofTimeDifferenceAndGrace(larger, Duration.ofMillis(op.number("grace")))
            .before(before).after(after);
    }

    private static StreamJoined<Object, Object, Object> streamJoined(Scenario.Op op) {
        StreamJoined<Object, Object, Object> joined = StreamJoined.with(null, null, null);
        if (op.get("name") != null) joined = joined.withName(op.get("name"));
        if (op.get("store") != null) joined = joined.withStoreName(op.get("store"));
        if ("off".equals(op.get("log"))) joined = joined.withLoggingDisabled();
        return joined;
    }
}
