package oracle;

import java.time.Duration;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.GlobalKTable;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.Suppressed.BufferConfig;
import org.apache.kafka.streams.kstream.TableJoined;
import org.apache.kafka.streams.kstream.ValueJoiner;
import org.apache.kafka.streams.kstream.ValueTransformerWithKey;
import org.apache.kafka.streams.kstream.ValueTransformerWithKeySupplier;
import org.apache.kafka.streams.processor.ProcessorContext;
import org.apache.kafka.streams.processor.StateStore;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** Calls of tables. */
final class TableCalls {
    static KTable<Object, Object> source(StreamsBuilder builder, Scenario.Op op) {
        Consumed<Object, Object> consumed =
            op.get("name") == null ? Consumed.with(null, null) : Consumed.as(op.get("name"));
        return op.get("store") == null
            ? builder.table(op.need("topic"), consumed)
            : builder.table(op.need("topic"), consumed, TableCalls.materialized(op));
    }

    static GlobalKTable<Object, Object> globalSource(StreamsBuilder builder, Scenario.Op op) {
        Consumed<Object, Object> consumed =
            op.get("name") == null ? Consumed.with(null, null) : Consumed.as(op.get("name"));
        return op.get("store") == null
            ? builder.globalTable(op.need("topic"), consumed)
            : builder.globalTable(op.need("topic"), consumed, TableCalls.materialized(op));
    }

    /** The store that an operator's options ask for. */
    static <S extends StateStore, V> Materialized<Object, V, S> materialized(Scenario.Op op) {
        Materialized<Object, V, S> materialized;
        if (op.get("versioned") != null) {
            Duration history = Duration.ofMillis(op.number("versioned"));
            materialized = Calls.cast(Materialized.as(Stores.persistentVersionedKeyValueStore(op.need("store"), history)));
        } else {
            materialized = op.get("store") == null ? Materialized.with(null, null) : Materialized.as(op.get("store"));
        }
        if (op.get("retention") != null) {
            materialized = materialized.withRetention(Duration.ofMillis(op.number("retention")));
        }
        if ("off".equals(op.get("cache"))) materialized = materialized.withCachingDisabled();
        if ("off".equals(op.get("log"))) materialized = materialized.withLoggingDisabled();
        return materialized;
    }

    private static Materialized<Object, Object, KeyValueStore<Bytes, byte[]>> rows(Scenario.Op op, Serde<Object> values) {
        return TableCalls.<KeyValueStore<Bytes, byte[]>, Object>materialized(op).withValueSerde(values);
    }

    static Object call(KTable<Object, Object> t, Object other, boolean numbers, Scenario.Op op) {
        boolean stored = op.get("store") != null;
        Serde<Object> serde = numbers ? Calls.cast(Serdes.Long()) : Calls.cast(Serdes.String());
        return switch (op.call()) {
            case "filter" -> {
                Expr p = new Expr(op.need("p"));
                yield stored
                    ? t.filter(p::holds, Calls.named(op), rows(op, serde))
                    : t.filter(p::holds, Calls.named(op));
            }
            case "filter_not" -> {
                Expr p = new Expr(op.need("p"));
                yield stored
                    ? t.filterNot(p::holds, Calls.named(op), rows(op, serde))
                    : t.filterNot(p::holds, Calls.named(op));
            }
            case "map_values" -> {
                Expr.Of f = Calls.function(op, "f");
                // Deletions do not come here, whatever the function makes of null.
                yield stored
                    ? t.mapValues((k, v) -> v == null ? null : (Object) f.of(k, null, v), Calls.named(op), materialized(op))
                    : t.mapValues((k, v) -> v == null ? null : (Object) f.of(k, null, v), Calls.named(op));
            }
            case "transform_values" -> {
                Expr f = new Expr(op.need("f"));
                ValueTransformerWithKeySupplier<Object, Object, Object> made = () -> new Transform(f);
                yield stored
                    ? t.transformValues(made, materialized(op), Calls.named(op))
                    : t.transformValues(made, Calls.named(op));
            }
            case "unwindow" -> t.toStream().selectKey((k, v) -> Expr.text(k));
            case "to_stream" -> t.toStream(Calls.named(op));
            case "to" -> {
                t.toStream().to(op.need("topic"),
                    op.get("name") == null ? Produced.with(null, null) : Produced.as(op.get("name")));
                yield null;
            }
            case "group_by" -> {
                Expr key = new Expr(op.need("k"));
                Expr value = new Expr(op.need("f"));
                yield t.groupBy((k, v) -> KeyValue.pair(key.some(k, null, v), value.some(k, null, v)), StreamCalls.grouped(op));
            }
            case "suppress" -> suppress(Calls.cast(t), op);
            case "join_on", "left_join_on" -> joinOn(t, Calls.table(other), op);
            default -> join(t, Calls.table(other), op);
        };
    }

    /** Sees deletions, too. */
    private record Transform(Expr f) implements ValueTransformerWithKey<Object, Object, Object> {
        @Override
        public void init(ProcessorContext context) { }

        @Override
        public Object transform(Object key, Object value) {
            return f.of(key, null, value);
        }

        @Override
        public void close() { }
    }

    private static KTable<Object, Object> join(KTable<Object, Object> t, KTable<Object, Object> other, Scenario.Op op) {
        Expr f = new Expr(op.need("f"));
        ValueJoiner<Object, Object, Object> joiner = (a, b) -> f.some(null, a, b);
        if (op.get("store") == null) {
            return switch (op.call()) {
                case "join" -> t.join(other, joiner, Calls.named(op));
                case "left_join" -> t.leftJoin(other, joiner, Calls.named(op));
                case "outer_join" -> t.outerJoin(other, joiner, Calls.named(op));
                default -> throw Calls.unknown(op);
            };
        }
        return switch (op.call()) {
            case "join" -> t.join(other, joiner, Calls.named(op), materialized(op));
            case "left_join" -> t.leftJoin(other, joiner, Calls.named(op), materialized(op));
            case "outer_join" -> t.outerJoin(other, joiner, Calls.named(op), materialized(op));
            default -> throw Calls.unknown(op);
        };
    }

    private static KTable<Object, Object> joinOn(KTable<Object, Object> t, KTable<Object, Object> other, Scenario.Op op) {
        Expr f = new Expr(op.need("f"));
        ValueJoiner<Object, Object, Object> joiner = (a, b) -> f.some(null, a, b);
        Expr key = new Expr(op.need("k"));
        TableJoined<Object, Object> joined =
            op.get("name") == null ? TableJoined.with(null, null) : TableJoined.as(op.get("name"));
        boolean left = op.call().equals("left_join_on");
        if (op.get("store") == null) {
            return left
                ? t.leftJoin(other, (k, v) -> (Object) key.of(k, null, v), joiner, joined)
                : t.join(other, (k, v) -> (Object) key.of(k, null, v), joiner, joined);
        }
        return left
            ? t.leftJoin(other, (k, v) -> (Object) key.of(k, null, v), joiner, joined, materialized(op))
            : t.join(other, (k, v) -> (Object) key.of(k, null, v), joiner, joined, materialized(op));
    }

    /** {@code until=close} or {@code until=<milliseconds>}; {@code max=} records, then {@code full=emit|fail}. */
    private static Object suppress(KTable<Object, Object> t, Scenario.Op op) {
        boolean close = op.need("until").equals("close");
        BufferConfig<?> buffer;
        if (op.get("max") == null) buffer = BufferConfig.unbounded();
        else if ("fail".equals(op.get("full"))) buffer = BufferConfig.maxRecords(op.number("max")).shutDownWhenFull();
        else buffer = BufferConfig.maxRecords(op.number("max"));
        Suppressed<Object> suppressed = close
            ? Calls.cast(Suppressed.untilWindowCloses(Calls.cast(buffer)))
            : Suppressed.untilTimeLimit(Duration.ofMillis(op.number("until")), Calls.cast(buffer));
        if (op.get("name") != null) suppressed = Calls.cast(suppressed.withName(op.get("name")));
        return t.suppress(suppressed);
    }
}
