import java.util.*;
import java.util.function.Consumer;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.test.TestRecord;

/**
 * Pipes random records through topologies and writes what comes in ({@code >}) and what comes out.
 * With kafka-streams-test-utils and its dependencies on the class path:
 * java ResultVectors > vectors.txt
 */
public final class ResultVectors {
    static final Consumed<String, Long> IN = Consumed.with(Serdes.String(), Serdes.Long());
    static final Produced<String, String> OUT = Produced.with(Serdes.String(), Serdes.String());
    static final Grouped<String, Long> GROUP = Grouped.with("group", Serdes.String(), Serdes.Long());

    static <V> Materialized<String, V, org.apache.kafka.streams.state.KeyValueStore<org.apache.kafka.common.utils.Bytes, byte[]>> store(String name, Serde<V> serde) {
        return Materialized.<String, V, org.apache.kafka.streams.state.KeyValueStore<org.apache.kafka.common.utils.Bytes, byte[]>>as(name)
            .withKeySerde(Serdes.String()).withValueSerde(serde);
    }

    static <V> void out(KTable<String, V> table, String topic) {
        table.toStream().mapValues(v -> v == null ? null : v.toString()).to(topic, OUT);
    }

    static <V> void out(KStream<String, V> stream, String topic) {
        stream.mapValues(v -> v == null ? null : v.toString()).to(topic, OUT);
    }

    static String show(Object left, Object right) {
        return (left == null ? "-" : left) + "+" + (right == null ? "-" : right);
    }

    public static void main(String[] args) {
        one("table joins", true, true, b -> {
            KTable<String, Long> l = b.table("left", IN), r = b.table("right", IN);
            out(l.join(r, ResultVectors::show), "a");
            out(l.leftJoin(r, ResultVectors::show), "b");
            out(l.outerJoin(r, ResultVectors::show), "c");
        });
        one("table joins with stores", true, true, b -> {
            KTable<String, Long> l = b.table("left", IN), r = b.table("right", IN);
            out(l.join(r, ResultVectors::show, store("inner", Serdes.String())), "a");
            out(l.leftJoin(r, ResultVectors::show, store("left-join", Serdes.String())), "b");
            out(l.outerJoin(r, ResultVectors::show, store("outer", Serdes.String())), "c");
        });
        one("joins of joins, through filters", true, true, b -> {
            KTable<String, Long> l = b.table("left", IN), r = b.table("right", IN);
            KTable<String, Long> even = l.filter((k, v) -> v % 2 == 0).mapValues(v -> v * 10);
            KTable<String, String> joined = even.join(r.mapValues((k, v) -> k + v), ResultVectors::show);
            out(joined.outerJoin(r.filterNot((k, v) -> v > 4), ResultVectors::show), "a");
            out(joined.leftJoin(l, ResultVectors::show), "b");
            out(even.outerJoin(r.filter((k, v) -> v > 4), ResultVectors::show), "c");
        });
        one("filters, with and without stores", true, false, b -> {
            KTable<String, Long> l = b.table("left", IN);
            out(l.filter((k, v) -> v > 4), "a");
            out(l.filter((k, v) -> v > 4, store("filtered", Serdes.Long())), "b");
            out(l.mapValues(v -> v % 3).filterNot((k, v) -> v == 0), "c");
        });
        one("filters that know old values", true, false, b -> {
            KTable<String, Long> l = b.table("left", IN);
            KTable<String, Long> f = l.filter((k, v) -> v > 4);
            f.groupBy((k, v) -> KeyValue.pair("g" + v % 2, v), GROUP).count(store("counts", Serdes.Long())).toStream().mapValues(Object::toString).to("a", OUT);
            out(f, "b");
            KTable<String, Long> s = l.filter((k, v) -> v > 6, store("filtered", Serdes.Long()));
            s.groupBy((k, v) -> KeyValue.pair("g" + v % 2, v), Grouped.with("group2", Serdes.String(), Serdes.Long())).count(store("counts2", Serdes.Long()));
            out(s, "c");
        });
        one("aggregates", false, false, b -> {
            KGroupedStream<String, Long> g = b.stream("left", IN).groupByKey();
            out(g.count(store("counts", Serdes.Long())), "a");
            out(g.reduce(Long::sum, store("sums", Serdes.Long())), "b");
            out(b.stream("left", IN).groupBy((k, v) -> "g" + v % 3, GROUP)
                .aggregate(() -> "", (k, v, a) -> v == 8 ? null : a + v, store("texts", Serdes.String())), "c");
        });
        one("grouped tables", true, false, b -> {
            KGroupedTable<String, Long> g = b.table("left", IN).groupBy((k, v) -> KeyValue.pair("g" + v % 3, v), GROUP);
            out(g.count(store("counts", Serdes.Long())), "a");
            out(g.reduce(Long::sum, (x, y) -> x - y, store("sums", Serdes.Long())), "b");
            out(g.aggregate(() -> "", (k, v, a) -> a + "+" + v, (k, v, a) -> a + "-" + v, store("texts", Serdes.String())), "c");
        });
        one("grouped joins", true, true, b -> {
            KTable<String, Long> l = b.table("left", IN), r = b.table("right", IN);
            KTable<String, Long> sums = l.outerJoin(r, (x, y) -> (x == null ? 0 : x) + (y == null ? 0 : y));
            out(sums.groupBy((k, v) -> KeyValue.pair("g" + v % 2, v), GROUP).reduce(Long::sum, (x, y) -> x - y, store("sums", Serdes.Long())), "a");
            KTable<String, Long> inner = l.join(r, Long::sum);
            out(inner.groupBy((k, v) -> KeyValue.pair("g" + v % 2, v), Grouped.with("group2", Serdes.String(), Serdes.Long())).count(store("counts", Serdes.Long())), "b");
            KTable<String, Long> left = l.leftJoin(r, (x, y) -> x + (y == null ? 0 : y), store("joined", Serdes.Long()));
            out(left.groupBy((k, v) -> KeyValue.pair("g" + v % 2, v), Grouped.with("group3", Serdes.String(), Serdes.Long())).count(store("counts2", Serdes.Long())), "c");
        });
        one("stream table joins", false, true, b -> {
            KStream<String, Long> l = b.stream("left", IN);
            KTable<String, Long> r = b.table("right", IN);
            out(l.join(r, ResultVectors::show), "a");
            out(l.leftJoin(r.filter((k, v) -> v > 4), ResultVectors::show), "b");
            out(l.selectKey((k, v) -> v % 2 == 0 ? "a" : "b").leftJoin(r, ResultVectors::show, Joined.with(Serdes.String(), Serdes.Long(), Serdes.Long(), "joined")), "c");
        });
        one("streams as tables", true, true, b -> {
            KTable<String, Long> l = b.stream("left", IN).toTable(store("table", Serdes.Long()));
            KTable<String, Long> r = b.table("right", IN);
            out(l.leftJoin(r, ResultVectors::show), "a");
            out(l.toStream().filter((k, v) -> v != null).groupByKey(Grouped.with(Serdes.String(), Serdes.Long())).count(store("counts", Serdes.Long())).join(r, ResultVectors::show), "b");
            out(l, "c");
        });
    }

    private static void one(String title, boolean leftNulls, boolean both, Consumer<StreamsBuilder> calls) {
        Properties properties = new Properties();
        properties.put("application.id", "app");
        properties.put("bootstrap.servers", "localhost:9092");
        properties.put("statestore.cache.max.bytes", "0");
        StreamsBuilder builder = new StreamsBuilder();
        calls.accept(builder);
        Random random = new Random(title.hashCode());
        System.out.println("# " + title);
        try (TopologyTestDriver driver = new TopologyTestDriver(builder.build(), properties)) {
            var left = driver.createInputTopic("left", new StringSerializer(), new LongSerializer());
            var right = both ? driver.createInputTopic("right", new StringSerializer(), new LongSerializer()) : null;
            for (int n = 0; n < 80; n++) {
                boolean isLeft = !both || random.nextBoolean();
                String key = String.valueOf((char) ('a' + random.nextInt(3)));
                boolean isNull = random.nextInt(4) == 0 && (leftNulls || !isLeft);
                Long value = isNull ? null : (long) random.nextInt(10);
                long time = 10L * n + random.nextInt(40);
                (isLeft ? left : right).pipeInput(key, value, time);
                System.out.println("> " + (isLeft ? "left " : "right ") + key + " " + value + " " + time);
                for (String topic : List.of("a", "b", "c")) {
                    if (!driver.producedTopicNames().contains(topic)) continue;
                    var out = driver.createOutputTopic(topic, new StringDeserializer(), new StringDeserializer());
                    for (TestRecord<String, String> r : out.readRecordsToList()) {
                        System.out.println(topic + " " + r.key() + " " + r.value() + " " + r.timestamp());
                    }
                }
            }
        }
    }
}
