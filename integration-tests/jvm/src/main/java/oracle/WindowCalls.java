package oracle;

import java.time.Duration;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.kstream.CogroupedKStream;
import org.apache.kafka.streams.kstream.EmitStrategy;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Merger;
import org.apache.kafka.streams.kstream.Named;
import org.apache.kafka.streams.kstream.SessionWindowedCogroupedKStream;
import org.apache.kafka.streams.kstream.SessionWindowedKStream;
import org.apache.kafka.streams.kstream.SessionWindows;
import org.apache.kafka.streams.kstream.SlidingWindows;
import org.apache.kafka.streams.kstream.TimeWindowedCogroupedKStream;
import org.apache.kafka.streams.kstream.TimeWindowedKStream;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.UnlimitedWindows;
import org.apache.kafka.streams.state.SessionStore;
import org.apache.kafka.streams.state.WindowStore;

/** Aggregations in windows. */
final class WindowCalls {
    static Object windows(KGroupedStream<Object, Object> g, Scenario.Op op) {
        return switch (op.call()) {
            case "time_windows" -> g.windowedBy(timeWindows(op)).emitStrategy(emit(op));
            case "sliding_windows" -> g.windowedBy(slidingWindows(op)).emitStrategy(emit(op));
            case "session_windows" -> g.windowedBy(sessionWindows(op)).emitStrategy(emit(op));
            case "unlimited_windows" -> g.windowedBy(UnlimitedWindows.of()
                .startOn(java.time.Instant.ofEpochMilli(op.number("start"))));
            default -> throw Calls.unknown(op);
        };
    }

    static Object windows(CogroupedKStream<Object, Object> c, Scenario.Op op) {
        return switch (op.call()) {
            case "time_windows" -> c.windowedBy(timeWindows(op));
            case "sliding_windows" -> c.windowedBy(slidingWindows(op));
            case "session_windows" -> c.windowedBy(sessionWindows(op));
            default -> throw Calls.unknown(op);
        };
    }

    static Object time(TimeWindowedKStream<Object, Object> w, Scenario.Op op) {
        boolean stored = op.get("store") != null;
        Named named = Calls.named(op);
        return switch (op.call()) {
            case "count" -> op.yes("fresh") ? count(w, op)
                : stored ? w.count(named, TableCalls.materialized(op)) : w.count(named);
            case "reduce" -> w.reduce(GroupCalls.reducer(op, "f"), named, window(op));
            case "aggregate" -> w.aggregate(() -> null, GroupCalls.aggregator(op, "f"), named, window(op));
            default -> throw Calls.unknown(op);
        };
    }

    /** As {@code count}, but that the first count of a window has no old value. */
    private static Object count(TimeWindowedKStream<Object, Object> w, Scenario.Op op) {
        Materialized<Object, Long, WindowStore<Bytes, byte[]>> store = TableCalls.materialized(op);
        return w.aggregate(() -> null, (k, v, n) -> n == null ? 1L : n + 1L, Calls.named(op),
            store.withKeySerde(Calls.cast(Serdes.String())).withValueSerde(Serdes.Long()));
    }

    static Object session(SessionWindowedKStream<Object, Object> w, Scenario.Op op) {
        boolean stored = op.get("store") != null;
        Named named = Calls.named(op);
        return switch (op.call()) {
            case "count" -> stored ? w.count(named, TableCalls.materialized(op)) : w.count(named);
            case "reduce" -> w.reduce(GroupCalls.reducer(op, "f"), named, sessions(op));
            case "aggregate" ->
                w.aggregate(() -> "", GroupCalls.aggregator(op, "f"), merger(op), named, sessions(op));
            default -> throw Calls.unknown(op);
        };
    }

    static Object cogroupTime(TimeWindowedCogroupedKStream<Object, Object> w, Scenario.Op op) {
        return w.aggregate(() -> null, Calls.named(op), window(op));
    }

    static Object cogroupSession(SessionWindowedCogroupedKStream<Object, Object> w, Scenario.Op op) {
        return w.aggregate(() -> "", merger(op), Calls.named(op), sessions(op));
    }

    private static Merger<Object, Object> merger(Scenario.Op op) {
        Expr f = new Expr(op.need("merge"));
        return f::some;
    }

    private static TimeWindows timeWindows(Scenario.Op op) {
        TimeWindows windows = TimeWindows.ofSizeAndGrace(millis(op, "size"), millis(op, "grace"));
        return op.get("advance") == null ? windows : windows.advanceBy(millis(op, "advance"));
    }

    private static SlidingWindows slidingWindows(Scenario.Op op) {
        return SlidingWindows.ofTimeDifferenceAndGrace(millis(op, "difference"), millis(op, "grace"));
    }

    private static SessionWindows sessionWindows(Scenario.Op op) {
        return SessionWindows.ofInactivityGapAndGrace(millis(op, "gap"), millis(op, "grace"));
    }

    private static EmitStrategy emit(Scenario.Op op) {
        return "close".equals(op.get("emit")) ? EmitStrategy.onWindowClose() : EmitStrategy.onWindowUpdate();
    }

    private static Duration millis(Scenario.Op op, String parameter) {
        return Duration.ofMillis(op.number(parameter));
    }

    private static Materialized<Object, Object, WindowStore<Bytes, byte[]>> window(Scenario.Op op) {
        Materialized<Object, Object, WindowStore<Bytes, byte[]>> store = TableCalls.materialized(op);
        return store.withKeySerde(Calls.cast(Serdes.String()));
    }

    private static Materialized<Object, Object, SessionStore<Bytes, byte[]>> sessions(Scenario.Op op) {
        Materialized<Object, Object, SessionStore<Bytes, byte[]>> store = TableCalls.materialized(op);
        return store.withKeySerde(Calls.cast(Serdes.String()));
    }
}
