package oracle;

import org.apache.kafka.streams.processor.StateStore;
import org.apache.kafka.streams.state.ReadOnlyKeyValueStore;
import org.apache.kafka.streams.state.ReadOnlySessionStore;
import org.apache.kafka.streams.state.ReadOnlyWindowStore;
import org.apache.kafka.streams.state.ValueAndTimestamp;

/** All rows of a store, in its order. */
final class StoreRows {
    static void show(String name, StateStore store, StringBuilder text) {
        if (store instanceof ReadOnlySessionStore<?, ?> sessions) {
            try (var rows = sessions.fetch(null, null)) {
                while (rows.hasNext()) row(name, rows.next(), text);
            }
        } else if (store instanceof ReadOnlyWindowStore<?, ?> windows) {
            try (var rows = windows.all()) {
                while (rows.hasNext()) row(name, rows.next(), text);
            }
        } else if (store instanceof ReadOnlyKeyValueStore<?, ?> rows) {
            try (var all = rows.all()) {
                while (all.hasNext()) row(name, all.next(), text);
            }
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
