package oracle;

import java.util.List;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.kstream.Aggregator;
import org.apache.kafka.streams.kstream.CogroupedKStream;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KGroupedTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Named;
import org.apache.kafka.streams.kstream.Reducer;
import org.apache.kafka.streams.state.KeyValueStore;

/** Aggregations without windows, and what leads to windows. */
final class GroupCalls {
    static Object stream(KGroupedStream<Object, Object> g, Scenario.Op op) {
        boolean stored = op.get("store") != null;
        Named named = Calls.named(op);
        return switch (op.call()) {
            case "count" -> op.yes("fresh") ? count(g, op)
                : stored ? g.count(named, TableCalls.materialized(op)) : g.count(named);
            case "reduce" -> g.reduce(reducer(op, "f"), named, materialized(op));
            case "aggregate" -> g.aggregate(() -> null, aggregator(op, "f"), named, materialized(op));
            default -> WindowCalls.windows(g, op);
        };
    }

    static Object table(KGroupedTable<Object, Object> g, Scenario.Op op) {
        boolean stored = op.get("store") != null;
        Named named = Calls.named(op);
        return switch (op.call()) {
            case "count" -> stored ? g.count(named, TableCalls.materialized(op)) : g.count(named);
            case "reduce" -> g.reduce(reducer(op, "f"), reducer(op, "minus"), named, materialized(op));
            case "aggregate" ->
                g.aggregate(() -> null, aggregator(op, "f"), aggregator(op, "minus"), named, materialized(op));
            default -> throw Calls.unknown(op);
        };
    }

    /** Several groups: the functions are {@code f}, {@code f2}, {@code f3}. */
    static Object cogroup(List<KGroupedStream<Object, Object>> groups, Scenario.Op op) {
        CogroupedKStream<Object, Object> all = null;
        for (int n = 0; n < groups.size(); n++) {
            var f = aggregator(op, n == 0 ? "f" : "f" + (n + 1));
            all = all == null ? groups.get(n).cogroup(f) : all.cogroup(groups.get(n), f);
        }
        return all;
    }

    static Object cogrouped(CogroupedKStream<Object, Object> c, Scenario.Op op) {
        return switch (op.call()) {
            case "aggregate" -> c.aggregate(() -> null, Calls.named(op), materialized(op));
            default -> WindowCalls.windows(c, op);
        };
    }

    static Reducer<Object> reducer(Scenario.Op op, String parameter) {
        Expr f = new Expr(op.need(parameter));
        return (a, b) -> f.some(null, a, b);
    }

    /**
     * Makes null only if the scenario says so: then the aggregate is deleted. An aggregate begins as
     * an empty text, but the initializer makes null: what it makes is sent on as the old value, as if
     * it had been there (docs/differences.md).
     */
    static Aggregator<Object, Object, Object> aggregator(Scenario.Op op, String parameter) {
        Expr.Of f = Calls.function(op, parameter);
        return (k, v, a) -> f.of(k, a == null ? "" : a, v);
    }

    /** As {@code count}, but that the first count of a key has no old value; see {@link #aggregator}. */
    private static Object count(KGroupedStream<Object, Object> g, Scenario.Op op) {
        Materialized<Object, Long, KeyValueStore<Bytes, byte[]>> store = TableCalls.materialized(op);
        return g.aggregate(() -> null, (k, v, n) -> n == null ? 1L : n + 1L, Calls.named(op),
            store.withValueSerde(Serdes.Long()));
    }

    private static Materialized<Object, Object, KeyValueStore<Bytes, byte[]>> materialized(Scenario.Op op) {
        return TableCalls.materialized(op);
    }
}
