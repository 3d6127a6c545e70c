// Writes vectors.txt: what Kafka's own serializers and its partitioner make of some values.
// java -cp kafka-clients.jar:slf4j-api.jar SerdeVectors.java > vectors.txt

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.UUID;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.utils.Utils;

public class SerdeVectors {
    static <T> void put(String name, Serializer<T> serializer, T value) {
        byte[] bytes = serializer.serialize("topic", value);
        System.out.println(name + " " + (bytes == null ? "null" : HexFormat.of().formatHex(bytes)));
    }

    static <T> void list(String name, Serde<T> inner, List<T> values) {
        put(name, Serdes.ListSerde(ArrayList.class, inner).serializer(), values);
    }

    public static void main(String[] args) {
        put("text", Serdes.String().serializer(), "Grüße, 世界 🦀");
        put("text-empty", Serdes.String().serializer(), "");
        put("i16", Serdes.Short().serializer(), (short) -2);
        put("i32", Serdes.Integer().serializer(), -123456789);
        put("i64", Serdes.Long().serializer(), 1234567890123456789L);
        put("i64-min", Serdes.Long().serializer(), Long.MIN_VALUE);
        put("f32", Serdes.Float().serializer(), -1.5f);
        put("f64", Serdes.Double().serializer(), Math.PI);
        put("true", Serdes.Boolean().serializer(), true);
        put("false", Serdes.Boolean().serializer(), false);
        put("bytes", Serdes.ByteArray().serializer(), new byte[] {0, -1, 127});
        put("void", Serdes.Void().serializer(), null);
        UUID uuid = UUID.fromString("67E55044-10B1-426F-9247-BB680E5FE0C8");
        put("uuid", Serdes.UUID().serializer(), uuid);

        list("list-i64", Serdes.Long(), List.of(1L, -1L));
        list("list-i64-nulls", Serdes.Long(), Arrays.asList(null, 7L, null));
        list("list-i16", Serdes.Short(), List.of((short) 258));
        list("list-uuid", Serdes.UUID(), List.of(uuid));
        list("list-bool", Serdes.Boolean(), List.of(true, false));
        list("list-text", Serdes.String(), List.of("a", "", "bcd"));
        list("list-text-nulls", Serdes.String(), Arrays.asList("a", null));
        list("list-empty", Serdes.String(), List.of());
        list("list-i32-empty", Serdes.Integer(), List.of());
        Serde<List<Integer>> inner = Serdes.ListSerde(ArrayList.class, Serdes.Integer());
        list("list-list", inner, List.of(List.of(1), List.of()));

        for (int length = 0; length <= 17; length++) {
            byte[] key = new byte[length];
            for (int i = 0; i < length; i++) {
                key[i] = (byte) (200 + 37 * i);
            }
            System.out.println("murmur2-" + length + " " + Utils.murmur2(key) + " "
                + Utils.toPositive(Utils.murmur2(key)) % 12);
        }
    }
}
