package oracle;

import org.apache.kafka.streams.processor.StateStore;
import org.apache.kafka.streams.state.ReadOnlyKeyValueStore;
import org.apache.kafka.streams.state.ValueAndTimestamp;

/** All rows of a key-value store, in its order. */
final class StoreRows {
    static void show(String name, StateStore store, StringBuilder text) {
        if (!(store instanceof ReadOnlyKeyValueStore<?, ?> rows)) return;
        try (var all = rows.all()) {
            while (all.hasNext()) row(name, all.next(), text);
        }
    }

    private static void row(String name, org.apache.kafka.streams.KeyValue<?, ?> row, StringBuilder text) {
        text.append("  ").append(name).append(' ').append(Bytes.show(Expr.text(row.key))).append(' ');
        if (row.value instanceof ValueAndTimestamp<?> value) {
            text.append(Bytes.show(Expr.text(value.value()))).append(" @").append(value.timestamp());
        } else {
            text.append(Bytes.show(Expr.text(row.value)));
        }
        text.append('\n');
    }
}
