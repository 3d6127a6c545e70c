import java.time.*;
import java.util.*;
import java.util.function.*;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.state.*;
import org.apache.kafka.streams.test.TestRecord;

/**
 * Joins as Kafka Streams describes and processes them. With kafka-streams-test-utils and its
 * dependencies on the class path: java JoinVectors descriptions > descriptions.txt;
 * java JoinVectors results > results.txt. What comes in stands behind {@code >}.
 */
public final class JoinVectors {
    static final Consumed<String, Long> IN = Consumed.with(Serdes.String(), Serdes.Long());
    static final Produced<String, String> OUT = Produced.with(Serdes.String(), Serdes.String());
    static boolean results;

    static KTable<String, Long> table(StreamsBuilder b, String topic) { return b.table(topic, IN); }
    static KStream<String, Long> stream(StreamsBuilder b, String topic) { return b.stream(topic, IN); }
    static <V> void out(KTable<String, V> table, String topic) {
        table.toStream().mapValues(v -> v == null ? null : v.toString()).to(topic, OUT);
    }
    static <V> void out(KStream<String, V> stream, String topic) {
        stream.mapValues(v -> v == null ? null : v.toString()).to(topic, OUT);
    }
    static String show(Object left, Object right) {
        return (left == null ? "-" : left) + "+" + (right == null ? "-" : right);
    }
    static <V> Materialized<String, V, KeyValueStore<Bytes, byte[]>> store(String name, Serde<V> serde) {
        return Materialized.<String, V, KeyValueStore<Bytes, byte[]>>as(name).withKeySerde(Serdes.String()).withValueSerde(serde);
    }
    static String fk(long v) { return v % 4 == 3 ? null : String.valueOf((char) ('a' + v % 4)); }
    static JoinWindows within(long ms) { return JoinWindows.ofTimeDifferenceWithNoGrace(Duration.ofMillis(ms)); }
    static JoinWindows within(long ms, long grace) { return JoinWindows.ofTimeDifferenceAndGrace(Duration.ofMillis(ms), Duration.ofMillis(grace)); }
    static StreamJoined<String, Long, Long> joined() { return StreamJoined.with(Serdes.String(), Serdes.Long(), Serdes.Long()); }
    static final Joined<String, Long, Long> JOINED = Joined.with(Serdes.String(), Serdes.Long(), Serdes.Long());

    static void foreignKeys() {
        one("foreign keys", b -> {
            KTable<String, Long> l = table(b, "left"), r = table(b, "right");
            out(l.join(r, JoinVectors::fk, JoinVectors::show), "a");
            out(l.leftJoin(r, JoinVectors::fk, JoinVectors::show, TableJoined.as("fk")), "b");
            out(l.join(r, (k, v) -> k, JoinVectors::show, TableJoined.as("same"), store("joined", Serdes.String())), "c");
        });
        one("foreign keys with filters and stores", b -> {
            KTable<String, Long> l = table(b, "left"), r = table(b, "right");
            KTable<String, String> j = l.filter((k, v) -> v > 2).leftJoin(r.mapValues(v -> v * 10, store("tens", Serdes.Long())), JoinVectors::fk, JoinVectors::show, store("joined", Serdes.String()));
            out(j, "a");
            out(j.join(r, JoinVectors::show), "b");
            out(j.filter((k, v) -> v.endsWith("0")), "c");
        });
    }

    static void streams() {
        one("stream joins", b -> {
            KStream<String, Long> l = stream(b, "left"), r = stream(b, "right");
            out(l.join(r, JoinVectors::show, within(50), joined()), "a");
            out(l.leftJoin(r, JoinVectors::show, within(50), joined()), "b");
            out(l.outerJoin(r, JoinVectors::show, within(50), joined()), "c");
        });
        one("stream joins with grace and uneven windows", b -> {
            KStream<String, Long> l = stream(b, "left"), r = stream(b, "right");
            out(l.join(r, JoinVectors::show, within(30, 40).before(Duration.ofMillis(60)), joined().withName("i").withStoreName("is")), "a");
            out(l.leftJoin(r, JoinVectors::show, within(30, 40).after(Duration.ofMillis(0)), joined().withName("l")), "b");
            out(l.outerJoin(r, JoinVectors::show, within(30, 40).before(Duration.ofMillis(10)), joined().withName("o").withStoreName("os")), "c");
        });
        one("stream joins that look into the future", b -> {
            KStream<String, Long> l = stream(b, "left"), r = stream(b, "right");
            JoinWindows future = within(40, 20).before(Duration.ofMillis(-10)), past = within(40, 20).after(Duration.ofMillis(-10));
            out(l.join(r, JoinVectors::show, future, joined()), "a");
            out(l.leftJoin(r, JoinVectors::show, past, joined()), "b");
            out(l.outerJoin(r, JoinVectors::show, future, joined()), "c");
        });
        one("repartitioned stream joins", b -> {
            KStream<String, Long> l = stream(b, "left").selectKey((k, v) -> v % 2 == 0 ? "a" : "b"), r = stream(b, "right");
            out(l.join(r, JoinVectors::show, within(50), joined()), "a");
            out(l.leftJoin(r.selectKey((k, v) -> k), JoinVectors::show, within(50), joined().withName("named")), "b");
            out(l.outerJoin(r, JoinVectors::show, within(50), joined().withStoreName("s")), "c");
        });
        one("self joins", b -> {
            KStream<String, Long> l = stream(b, "left");
            out(l.join(l, JoinVectors::show, within(50), joined()), "a");
            out(l.leftJoin(l, JoinVectors::show, within(50), joined()), "b");
            out(l.filter((k, v) -> v % 2 == 0).join(l, JoinVectors::show, within(50), joined()), "c");
        });
        one("self joins, optimized", b -> {
            KStream<String, Long> l = stream(b, "left");
            out(l.join(l, JoinVectors::show, within(50), joined()), "a");
            out(l.join(l, JoinVectors::show, within(20, 30).before(Duration.ofMillis(40)), joined().withName("n").withStoreName("s")), "b");
            out(l.leftJoin(l, JoinVectors::show, within(50), joined()), "c");
        });
        one("joins of stream joins", b -> {
            KStream<String, Long> l = stream(b, "left"), r = stream(b, "right");
            KStream<String, Long> sums = l.outerJoin(r, (x, y) -> (x == null ? 0 : x) + (y == null ? 0 : y), within(20, 10), joined());
            out(sums.leftJoin(r, JoinVectors::show, within(50), joined()), "a");
            out(sums.join(l, JoinVectors::show, within(10, 50), joined()), "b");
        });
    }

    static void globals() {
        one("global tables", b -> {
            GlobalKTable<String, Long> g = b.globalTable("right", IN);
            KStream<String, Long> l = stream(b, "left");
            out(l.join(g, (k, v) -> k, JoinVectors::show), "a");
            out(l.leftJoin(g, (k, v) -> fk(v), JoinVectors::show), "b");
            out(l.join(g, (k, v) -> "abc".substring((int) (v % 3), (int) (v % 3) + 1), JoinVectors::show, Named.as("named")), "c");
        });
        if (!results) one("global tables with stores", b -> {
            GlobalKTable<String, Long> g = b.globalTable("right", IN, Materialized.as("global-store"));
            GlobalKTable<String, Long> h = b.globalTable("third", IN.withName("source"));
            KStream<String, Long> l = stream(b, "left");
            out(l.join(g, (k, v) -> k, JoinVectors::show).leftJoin(h, (k, v) -> k, JoinVectors::show), "a");
        });
    }

    static void others() {
        one("filters below stores", b -> {
            KTable<String, Long> l = b.table("left", IN, store("rows", Serdes.Long())), r = table(b, "right");
            out(l.filter((k, v) -> v > 4), "a");
            out(l.mapValues(v -> v * 2).filter((k, v) -> v > 8).filterNot((k, v) -> v == 10, store("f", Serdes.Long())), "b");
            out(r.filter((k, v) -> v > 4).leftJoin(l, JoinVectors::show).filter((k, v) -> v.endsWith("-")), "c");
        });
        one("filters before and after a store is needed, of tables", b -> {
            KTable<String, Long> l = table(b, "left"), r = table(b, "right");
            out(l.filter((k, v) -> v > 4), "a");
            KTable<String, String> j = r.join(l, JoinVectors::show);
            out(l.filter((k, v) -> v > 4), "b");
            out(l.toStream().filter((k, v) -> v != null).groupByKey(Grouped.with(Serdes.String(), Serdes.Long())).reduce(Long::sum, store("sums", Serdes.Long())).filter((k, v) -> v % 2 == 0), "c");
        });
        one("transformed values", b -> {
            KTable<String, Long> l = table(b, "left"), r = table(b, "right");
            ValueTransformerWithKeySupplier<String, Long, String> t = () -> new ValueTransformerWithKey<>() {
                public void init(org.apache.kafka.streams.processor.ProcessorContext c) { }
                public String transform(String k, Long v) { return v == null || v % 3 == 0 ? null : k + v; }
                public void close() { }
            };
            out(l.transformValues(t), "a");
            out(l.transformValues(t, store("transformed", Serdes.String())), "b");
            out(l.transformValues(t).join(r, JoinVectors::show), "c");
        });
        one("versioned tables", b -> {
            Materialized<String, Long, KeyValueStore<Bytes, byte[]>> v = Materialized.<String, Long>as(Stores.persistentVersionedKeyValueStore("versioned", Duration.ofMillis(60))).withKeySerde(Serdes.String()).withValueSerde(Serdes.Long());
            KTable<String, Long> r = b.table("right", IN, v);
            KStream<String, Long> l = stream(b, "left");
            out(l.join(r, JoinVectors::show, JOINED), "a");
            out(l.leftJoin(r, JoinVectors::show, JOINED), "b");
            out(r.filter((k, x) -> x % 3 != 0).mapValues(x -> x + 1), "c");
        });
        one("versioned tables among tables", b -> {
            Materialized<String, Long, KeyValueStore<Bytes, byte[]>> v = Materialized.<String, Long>as(Stores.persistentVersionedKeyValueStore("versioned", Duration.ofMillis(60))).withKeySerde(Serdes.String()).withValueSerde(Serdes.Long());
            KTable<String, Long> r = b.table("right", IN, v), l = table(b, "left");
            out(l.outerJoin(r, JoinVectors::show), "a");
            out(r.groupBy((k, x) -> KeyValue.pair("g" + x % 2, x), Grouped.with("group", Serdes.String(), Serdes.Long())).reduce(Long::sum, (x, y) -> x - y, store("sums", Serdes.Long())), "b");
            out(l.leftJoin(r, JoinVectors::fk, JoinVectors::show), "c");
        });
        one("joins with grace", b -> {
            Materialized<String, Long, KeyValueStore<Bytes, byte[]>> v = Materialized.<String, Long>as(Stores.persistentVersionedKeyValueStore("versioned", Duration.ofMillis(100))).withKeySerde(Serdes.String()).withValueSerde(Serdes.Long());
            KTable<String, Long> r = b.table("right", IN, v);
            KStream<String, Long> l = stream(b, "left");
            out(l.join(r, JoinVectors::show, Joined.with(Serdes.String(), Serdes.Long(), Serdes.Long(), "inner", Duration.ofMillis(30))), "a");
            out(l.leftJoin(r, JoinVectors::show, Joined.with(Serdes.String(), Serdes.Long(), Serdes.Long(), null, Duration.ofMillis(60))), "b");
        });
    }

    public static void main(String[] args) {
        results = args[0].equals("results");
        foreignKeys();
        streams();
        globals();
        others();
    }

    private static void one(String title, Consumer<StreamsBuilder> calls) {
        Properties properties = new Properties();
        properties.put("application.id", "test");
        properties.put("bootstrap.servers", "localhost:9092");
        if (title.endsWith("optimized")) properties.put("topology.optimization", "single.store.self.join");
        StreamsBuilder builder = new StreamsBuilder();
        calls.accept(builder);
        System.out.println("# " + title);
        Topology topology = builder.build(properties);
        if (!results) { System.out.print(topology.describe()); return; }
        properties.put("statestore.cache.max.bytes", "0");
        properties.put("state.dir", "/tmp/join-vectors/" + title.hashCode());
        boolean tables = title.startsWith("foreign") || title.startsWith("trans") || title.startsWith("filters") || title.endsWith("among tables");
        boolean both = !title.startsWith("self");
        Random random = new Random(title.hashCode());
        try (TopologyTestDriver driver = new TopologyTestDriver(topology, properties, Instant.ofEpochMilli(1704067200000L))) {
            var left = driver.createInputTopic("left", new StringSerializer(), new LongSerializer());
            var right = both ? driver.createInputTopic("right", new StringSerializer(), new LongSerializer()) : null;
            for (int n = 0; n < 200; n++) {
                if (random.nextInt(6) == 0) {
                    int clock = random.nextInt(1500);
                    driver.advanceWallClockTime(Duration.ofMillis(clock));
                    System.out.println("> clock " + clock);
                }
                boolean isLeft = !both || random.nextBoolean();
                String key = String.valueOf((char) ('a' + random.nextInt(3)));
                boolean canBeNull = tables || (!title.contains("stream") && !title.contains("self") && !isLeft && both && !title.startsWith("self"));
                Long value = random.nextInt(4) == 0 && canBeNull ? null : (long) random.nextInt(10);
                long time = 10L * n + random.nextInt(60) + (random.nextInt(20) == 0 ? 150 : 0);
                if (random.nextInt(4) == 0) time -= time % 20;
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
