import java.util.Properties;
import java.util.function.Consumer;
import java.util.List;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.processor.api.*;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * Writes topologies of the DSL as Kafka Streams describes them. With kafka-streams and its
 * dependencies on the class path: java DslVectors > vectors.txt
 */
public final class DslVectors {
    static final Consumed<String, String> IN = Consumed.with(Serdes.String(), Serdes.String());

    public static void main(String[] args) {
        one("word count, generated names", b -> b.stream("lines", IN)
            .flatMapValues(v -> List.of(v)).groupBy((k, v) -> v).count().toStream().to("counts"));

        one("word count, given names", b -> b.stream("lines", IN)
            .flatMapValues(v -> List.of(v)).groupBy((k, v) -> v, Grouped.as("words"))
            .count(Materialized.as("counts")).toStream().to("counts-out"));

        one("group by key without a change", b -> {
            KGroupedStream<String, String> g = b.stream("in", IN).groupByKey();
            g.count().toStream().to("a");
            g.reduce((x, y) -> x).toStream().to("b");
            g.aggregate(() -> "", (k, v, a) -> a).toStream().to("c");
            g.count(Named.as("named"), Materialized.as("store")).toStream().to("d");
        });

        one("a named group with two aggregations", b -> {
            KGroupedStream<String, String> g = b.stream("in", IN).groupBy((k, v) -> v, Grouped.as("g"));
            g.count(Materialized.as("counts")).toStream().to("a");
            g.reduce((x, y) -> x, Materialized.as("firsts")).toStream().to("b");
        });

        one("an unnamed group with two aggregations", b -> {
            KGroupedStream<String, String> g = b.stream("in", IN).groupBy((k, v) -> v);
            g.count(Materialized.as("counts")).toStream().to("a");
            g.reduce((x, y) -> x).toStream().to("b");
        });

        one("stateless", b -> {
            KStream<String, String> s = b.stream("in", IN);
            KStream<String, String> t = s.filter((k, v) -> true).filterNot((k, v) -> false)
                .mapValues(v -> v).map(KeyValue::pair).flatMap((k, v) -> List.of(KeyValue.pair(k, v)))
                .flatMapValues(v -> List.of(v)).selectKey((k, v) -> v).peek((k, v) -> { });
            t.merge(s).foreach((k, v) -> { });
            t.print(Printed.toSysOut());
            t.filter((k, v) -> true, Named.as("named")).to("out");
            t.to("out2", Produced.as("sink"));
        });

        one("split", b -> {
            KStream<String, String> s = b.stream("in", IN);
            var m = s.split().branch((k, v) -> true).branch((k, v) -> true).defaultBranch();
            for (var e : new java.util.TreeMap<>(m).entrySet()) e.getValue().to("out" + e.getKey().charAt(e.getKey().length() - 1));
            var n = s.split(Named.as("region-")).branch((k, v) -> true, Branched.as("eu")).defaultBranch(Branched.as("other"));
            n.get("region-eu").to("eu");
            n.get("region-other").to("other");
        });

        one("repartition", b -> {
            KStream<String, String> s = b.stream("in", IN).selectKey((k, v) -> v);
            s.repartition(Repartitioned.as("by-value")).to("a");
            s.repartition().to("b");
            s.repartition(Repartitioned.as("again")).groupByKey().count(Materialized.as("counts")).toStream().to("c");
        });

        one("tables", b -> {
            b.table("plain", IN).toStream().to("a");
            b.table("named", IN, Materialized.as("store")).toStream().to("b");
            b.table("source-named", IN.withName("table"), Materialized.as("store2")).toStream().to("c");
        });

        one("table operators", b -> {
            KTable<String, String> t = b.table("in", IN);
            t.filter((k, v) -> true).toStream().to("a");
            t.filterNot((k, v) -> true).toStream().to("b");
            t.mapValues(v -> v).toStream().to("c");
            t.mapValues(v -> v, Materialized.as("mapped")).toStream().to("d");
            t.filter((k, v) -> true, Named.as("picked")).toStream().to("f");
        });

        one("table joins", b -> {
            KTable<String, String> l = b.table("left", IN);
            KTable<String, String> r = b.table("right", IN);
            l.join(r, (x, y) -> x).toStream().to("a");
            l.leftJoin(r, (x, y) -> x, Materialized.as("joined")).toStream().to("b");
            l.outerJoin(r, (x, y) -> x, Named.as("both")).toStream().to("c");
            l.filter((k, v) -> true).mapValues(v -> v).join(r.mapValues(v -> v), (x, y) -> x).toStream().to("d");
        });

        one("a join of a join", b -> {
            KTable<String, String> l = b.table("left", IN);
            KTable<String, String> r = b.table("right", IN);
            KTable<String, String> t = b.table("third", IN);
            l.join(r, (x, y) -> x).leftJoin(t, (x, y) -> x).toStream().to("out");
        });

        one("stream table joins", b -> {
            KTable<String, String> t = b.table("table", IN);
            KStream<String, String> s = b.stream("stream", IN);
            s.join(t, (x, y) -> x).to("a");
            s.leftJoin(t, (x, y) -> x).to("b");
            KStream<String, String> m = s.map(KeyValue::pair);
            m.join(t, (x, y) -> x).to("c");
            m.leftJoin(t, (x, y) -> x, Joined.as("enrich")).to("d");
            s.leftJoin(t.filter((k, v) -> true), (x, y) -> x).to("e");
        });

        one("to table", b -> {
            KStream<String, String> s = b.stream("in", IN);
            s.toTable().toStream().to("a");
            s.toTable(Materialized.as("store")).toStream().to("b");
            s.selectKey((k, v) -> v).toTable().toStream().to("c");
            s.toTable(Named.as("named"), Materialized.as("store2")).toStream().to("d");
        });

        one("grouped tables", b -> {
            KTable<String, String> t = b.table("in", IN);
            KGroupedTable<String, String> g = t.groupBy(KeyValue::pair, Grouped.as("groups"));
            g.count(Materialized.as("counts")).toStream().to("a");
            g.reduce((x, y) -> x, (x, y) -> x, Named.as("reduced"), Materialized.as("sums")).toStream().to("b");
            KGroupedTable<String, String> h = t.groupBy(KeyValue::pair);
            h.count().toStream().to("c");
            h.aggregate(() -> "", (k, v, a) -> a, (k, v, a) -> a).toStream().to("d");
        });

        one("a grouped table named at the aggregation", b -> b.table("in", IN).groupBy(KeyValue::pair)
            .count(Named.as("op"), Materialized.as("store")).toStream().to("a"));

        one("aggregates of aggregates", b -> b.stream("in", IN).groupBy((k, v) -> v).count()
            .groupBy((k, v) -> KeyValue.pair(k, k)).count().filter((k, v) -> true).toStream().to("out"));

        one("processors", b -> {
            KStream<String, String> s = b.stream("in", IN);
            ProcessorSupplier<String, String, String, String> p = () -> new Processor<>() {
                public void process(Record<String, String> record) { }
            };
            FixedKeyProcessorSupplier<String, String, String> f = () -> new FixedKeyProcessor<>() {
                public void process(FixedKeyRecord<String, String> record) { }
            };
            s.process(p).to("a");
            s.processValues(f).to("b");
            s.process(p).groupByKey(Grouped.as("g")).count(Materialized.as("c")).toStream().to("c");
            s.processValues(f, Named.as("fixed")).groupByKey().count(Materialized.as("d")).toStream().to("d");
        });

        one("shared sources and merges", b -> {
            KStream<String, String> x = b.stream("in", IN);
            KStream<String, String> y = b.stream("in", IN);
            KStream<String, String> z = b.stream(List.of("p", "o"), IN);
            x.merge(y.filter((k, v) -> true)).merge(z).groupByKey().count(Materialized.as("counts")).toStream().to("out");
        });

        one("a table of a stream joins a table", b -> {
            KTable<String, Long> counts = b.stream("in", IN).groupBy((k, v) -> v, Grouped.as("w")).count(Materialized.as("counts"));
            KTable<String, String> t = b.table("table", IN);
            counts.leftJoin(t, (x, y) -> "").toStream().to("a");
            b.stream("other", IN).selectKey((k, v) -> v).join(counts, (x, y) -> x, Joined.as("j")).to("b");
        });

        one("optimized: aggregations below one change of the key", b -> {
            KStream<String, String> s = b.stream("in", IN).selectKey((k, v) -> v);
            s.to("raw");
            s.groupByKey().count(Materialized.as("counts")).toStream().to("a");
            s.filter((k, v) -> true).groupByKey(Grouped.as("firsts")).reduce((x, y) -> x).toStream().to("b");
            s.peek((k, v) -> { }).groupByKey().aggregate(() -> "", (k, v, a) -> a).toStream().to("c");
        });

        one("optimized: a single topic moves up", b -> b.stream("in", IN).map(KeyValue::pair)
            .filter((k, v) -> true).peek((k, v) -> { }).groupByKey(Grouped.as("group")).count().toStream().to("out"));

        one("optimized: changed values keep the topic where it is", b -> {
            KStream<String, String> s = b.stream("in", IN).selectKey((k, v) -> v);
            s.mapValues(v -> v).groupByKey().count(Materialized.as("counts")).toStream().to("a");
            s.filter((k, v) -> true).groupByKey().count(Materialized.as("more")).toStream().to("b");
            s.groupByKey().count(Materialized.as("most")).toStream().to("c");
        });

        one("optimized: below a merge", b -> {
            KStream<String, String> x = b.stream("x", IN).selectKey((k, v) -> v);
            KStream<String, String> y = b.stream("y", IN).selectKey((k, v) -> k);
            KStream<String, String> m = x.merge(y);
            m.groupByKey().count(Materialized.as("counts")).toStream().to("a");
            m.filter((k, v) -> true).groupByKey().count(Materialized.as("more")).toStream().to("b");
        });

        one("optimized: an aggregation and a join", b -> {
            KTable<String, String> t = b.table("table", IN);
            KStream<String, String> s = b.stream("in", IN).map(KeyValue::pair);
            s.join(t, (x, y) -> x).to("a");
            s.filter((k, v) -> true).groupByKey().count(Materialized.as("counts")).toStream().to("b");
            s.repartition(Repartitioned.as("own")).groupByKey().count(Materialized.as("more")).toStream().to("c");
        });

        one("optimized: a change of the key below another", b -> {
            KStream<String, String> s = b.stream("in", IN).selectKey((k, v) -> v);
            s.groupByKey().count(Materialized.as("counts")).toStream().to("a");
            KStream<String, String> r = s.selectKey((k, v) -> k);
            r.groupByKey().count(Materialized.as("more")).toStream().to("b");
            r.filter((k, v) -> true).groupByKey().count(Materialized.as("most")).toStream().to("c");
        });

        one("optimized: tables that are read again from their topics", b -> {
            KTable<String, String> l = b.table("left", IN);
            KTable<String, String> r = b.table("right", IN, Materialized.as("rights"));
            l.join(r, (x, y) -> x).toStream().to("out");
        });
    }

    private static void one(String title, Consumer<StreamsBuilder> calls) {
        Properties properties = new Properties();
        properties.put("application.id", "app");
        properties.put("bootstrap.servers", "localhost:9092");
        properties.put("default.key.serde", Serdes.StringSerde.class);
        properties.put("default.value.serde", Serdes.StringSerde.class);
        StreamsBuilder builder = new StreamsBuilder();
        calls.accept(builder);
        if (title.startsWith("optimized: ")) properties.put("topology.optimization", "all");
        System.out.print("# " + title + "\n" + builder.build(properties).describe());
    }
}
