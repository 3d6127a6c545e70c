package oracle;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.CogroupedKStream;
import org.apache.kafka.streams.kstream.GlobalKTable;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KGroupedTable;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Named;
import org.apache.kafka.streams.kstream.SessionWindowedCogroupedKStream;
import org.apache.kafka.streams.kstream.SessionWindowedKStream;
import org.apache.kafka.streams.kstream.TimeWindowedCogroupedKStream;
import org.apache.kafka.streams.kstream.TimeWindowedKStream;
import org.apache.kafka.streams.kstream.internals.NamedInternal;

/**
 * Makes the calls of a scenario. Types are erased: whatever travels, {@link Expr} shows it as text.
 */
final class Calls {
    private final StreamsBuilder builder;
    private final Map<String, Object> made = new HashMap<>();
    /** Tables of numbers: their stores have to be told so. */
    private final Set<String> numbers = new HashSet<>();

    Calls(StreamsBuilder builder) {
        this.builder = builder;
    }

    void call(Scenario.Op op) {
        Object result = result(op);
        if (result instanceof Map<?, ?> branches) {
            branches.forEach((name, branch) -> {
                String text = (String) name;
                made.put(op.id() + "." + text.charAt(text.length() - 1), branch);
            });
        } else if (op.id() != null) {
            made.put(op.id(), result);
            if (op.call().equals("count") || keepsNumbers(op)) numbers.add(op.id());
        }
    }

    private boolean keepsNumbers(Scenario.Op op) {
        boolean keeps = List.of("filter", "filter_not", "suppress").contains(op.call());
        return keeps && op.parents().stream().anyMatch(numbers::contains);
    }

    private Object result(Scenario.Op op) {
        switch (op.call()) {
            case "stream": return StreamCalls.source(builder, op);
            case "table": return TableCalls.source(builder, op);
            case "global_table": return TableCalls.globalSource(builder, op);
            default:
        }
        Object first = parent(op, 0);
        if (op.call().equals("cogroup")) {
            List<KGroupedStream<Object, Object>> groups = new ArrayList<>();
            for (int n = 0; n < op.parents().size(); n++) groups.add(cast(parent(op, n)));
            return GroupCalls.cogroup(groups, op);
        }
        Object second = op.parents().size() > 1 ? parent(op, 1) : null;
        if (first instanceof KStream<?, ?>) return StreamCalls.call(cast(first), second, op);
        if (first instanceof KTable<?, ?>) {
            return TableCalls.call(cast(first), second, keepsNumbers(op), op);
        }
        if (first instanceof KGroupedStream<?, ?>) return GroupCalls.stream(cast(first), op);
        if (first instanceof KGroupedTable<?, ?>) return GroupCalls.table(cast(first), op);
        if (first instanceof CogroupedKStream<?, ?>) return GroupCalls.cogrouped(cast(first), op);
        if (first instanceof TimeWindowedKStream<?, ?>) return WindowCalls.time(cast(first), op);
        if (first instanceof SessionWindowedKStream<?, ?>) return WindowCalls.session(cast(first), op);
        if (first instanceof TimeWindowedCogroupedKStream<?, ?>) return WindowCalls.cogroupTime(cast(first), op);
        if (first instanceof SessionWindowedCogroupedKStream<?, ?>) {
            return WindowCalls.cogroupSession(cast(first), op);
        }
        throw unknown(op);
    }

    private Object parent(Scenario.Op op, int n) {
        Object parent = made.get(op.parents().get(n));
        if (parent == null) throw new IllegalArgumentException(op.call() + ": there is no " + op.parents().get(n));
        return parent;
    }

    static IllegalArgumentException unknown(Scenario.Op op) {
        return new IllegalArgumentException("no call " + op.call() + " of that");
    }

    /** {@code Named} as it is if no name was given, too. */
    static Named named(Scenario.Op op) {
        return op.get("name") == null ? NamedInternal.empty() : Named.as(op.get("name"));
    }

    /** A function whose result is null only if the scenario says so. */
    static Expr.Of function(Scenario.Op op, String parameter) {
        Expr expr = new Expr(op.need(parameter));
        return op.yes("null") ? expr::of : expr::some;
    }

    @SuppressWarnings("unchecked")
    static <T> T cast(Object object) {
        return (T) object;
    }

    static KStream<Object, Object> stream(Object object) {
        return cast(object);
    }

    static KTable<Object, Object> table(Object object) {
        return cast(object);
    }

    static GlobalKTable<Object, Object> global(Object object) {
        return cast(object);
    }
}
