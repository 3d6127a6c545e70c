import java.util.*;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.*;
import org.apache.kafka.streams.state.*;

/**
 * Writes topologies, as calls and as Kafka Streams describes them. With kafka-streams and its
 * dependencies on the class path: java DescribeVectors 40 > vectors.txt
 */
public final class DescribeVectors {
    public static void main(String[] args) {
        Random random = new Random(20);
        for (int n = 0; n < Integer.parseInt(args[0]); n++) {
            one(random, n);
        }
    }

    private static void one(Random random, int n) {
        Topology topology = new Topology();
        List<String> names = new ArrayList<>();
        List<String> stores = new ArrayList<>();
        Map<String, StoreBuilder<?>> builders = new HashMap<>();
        Set<String> added = new HashSet<>();
        StringBuilder calls = new StringBuilder();
        int topics = 0;
        int nodes = 2 + random.nextInt(9);
        for (int i = 0; i < nodes; i++) {
            int kind = i == 0 ? 0 : random.nextInt(10);
            String name = name(random, i);
            if (kind < 2) {
                int count = 1 + random.nextInt(3);
                String[] read = new String[count];
                for (int t = 0; t < count; t++) read[t] = word(random) + topics++;
                topology.addSource(name, read);
                calls.append("source ").append(name).append(' ').append(String.join(",", read)).append('\n');
                names.add(name);
            } else if (kind < 8) {
                String[] parents = pick(random, names, 3);
                Set<String> used = new LinkedHashSet<>();
                for (int s = random.nextInt(3); s > 0; s--) {
                    if (!stores.isEmpty() && random.nextInt(3) == 0) {
                        used.add(stores.get(random.nextInt(stores.size())));
                    } else {
                        String store = word(random) + "-store-" + stores.size();
                        stores.add(store);
                        builders.put(store, Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(store), Serdes.String(), Serdes.String()));
                        used.add(store);
                    }
                }
                topology.addProcessor(name, new ProcessorSupplier<Object, Object, Object, Object>() {
                    public Processor<Object, Object, Object, Object> get() {
                        return new Processor<Object, Object, Object, Object>() {
                            public void process(org.apache.kafka.streams.processor.api.Record<Object, Object> record) { }
                        };
                    }
                }, parents);
                for (String store : used) {
                    if (added.add(store)) topology.addStateStore(builders.get(store), name);
                    else topology.connectProcessorAndStateStores(name, store);
                }
                calls.append("processor ").append(name).append(' ').append(String.join(",", parents))
                    .append(' ').append(used.isEmpty() ? "-" : String.join(",", used)).append('\n');
                names.add(name);
            } else {
                String[] parents = pick(random, names, 3);
                topology.addSink(name, "out" + i, parents);
                calls.append("sink ").append(name).append(' ').append(String.join(",", parents)).append(" out" + i + "\n");
            }
        }
        System.out.println("# " + n);
        System.out.print(calls);
        System.out.println("=");
        System.out.print(topology.describe());
    }

    private static String[] pick(Random random, List<String> names, int max) {
        Set<String> parents = new LinkedHashSet<>();
        for (int p = 1 + random.nextInt(max); p > 0; p--) parents.add(names.get(random.nextInt(names.size())));
        return parents.toArray(new String[0]);
    }

    private static String name(Random random, int i) {
        switch (random.nextInt(3)) {
            case 0: return String.format("KSTREAM-%s-%010d", word(random).toUpperCase(), i);
            case 1: return word(random) + "-" + i;
            default: return (char) ('a' + random.nextInt(26)) + "" + i;
        }
    }

    private static String word(Random random) {
        String[] words = {"filter", "map", "count", "orders", "join", "words", "x", "lines", "enriched", "peek"};
        return words[random.nextInt(words.length)];
    }
}
