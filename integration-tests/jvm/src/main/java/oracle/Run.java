package oracle;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.TestInputTopic;
import org.apache.kafka.streams.TestOutputTopic;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.TopologyConfig;
import org.apache.kafka.streams.TopologyTestDriver;
import org.apache.kafka.streams.processor.StateStore;
import org.apache.kafka.streams.state.BuiltInDslStoreSuppliers;
import org.apache.kafka.streams.test.TestRecord;

/** One scenario, run. */
final class Run {
    private static final Path STATE = stateDirectory();
    private static final Map<Map<String, String>, Config> CONFIGS = new HashMap<>();

    private final Scenario scenario;
    private final StringBuilder text = new StringBuilder();
    private final Map<String, TestInputTopic<byte[], byte[]>> inputs = new HashMap<>();
    private final Map<String, TestOutputTopic<byte[], byte[]>> outputs = new HashMap<>();

    /** What a scenario's options say: read once, not for each scenario. */
    private record Config(Properties properties, TopologyConfig topology) { }

    Run(Scenario scenario) {
        this.scenario = scenario;
    }

    /** The description, then what was written after each step, then what is in the stores. */
    String result() {
        Config config = CONFIGS.computeIfAbsent(scenario.options, Run::config);
        Topology topology;
        try {
            StreamsBuilder builder = new StreamsBuilder(config.topology);
            Calls calls = new Calls(builder);
            scenario.ops.forEach(calls::call);
            topology = builder.build(config.properties);
            if (!"on".equals(scenario.options.get("cache"))) NoCache.in(topology);
            text.append("topology\n").append(topology.describe().toString().stripTrailing()).append('\n');
        } catch (RuntimeException error) {
            return "topology\nrefused: " + firstLine(error) + "\n";
        }
        try (TopologyTestDriver driver = new TopologyTestDriver(topology, config.properties, Instant.EPOCH)) {
            drive(driver);
        } catch (RuntimeException error) {
            // After a failure the driver cannot be closed in an orderly way.
            if (text.indexOf("failed: ") < 0) text.append("failed: ").append(firstLine(error)).append('\n');
        }
        return text.toString();
    }

    private void drive(TopologyTestDriver driver) {
        int number = 0;
        for (Scenario.Step step : scenario.steps) {
            number++;
            text.append("step ").append(number).append('\n');
            try {
                pipe(driver, step);
            } catch (RuntimeException error) {
                text.append("failed: ").append(firstLine(error)).append('\n');
                throw error;
            }
            for (String topic : new TreeSet<>(driver.producedTopicNames())) {
                var output = outputs.computeIfAbsent(topic, name ->
                    driver.createOutputTopic(name, new ByteArrayDeserializer(), new ByteArrayDeserializer()));
                while (!output.isEmpty()) show(topic, output.readRecord());
            }
        }
        text.append("stores\n");
        Map<String, StateStore> stores = new TreeMap<>(driver.getAllStateStores());
        for (Scenario.Op op : scenario.ops) {
            StateStore store = op.get("store") == null ? null : stores.get(op.get("store"));
            if (store != null) StoreRows.show(op.get("store"), store, text);
        }
    }

    private void pipe(TopologyTestDriver driver, Scenario.Step step) {
        if (step.topic() == null) {
            driver.advanceWallClockTime(Duration.ofMillis(step.at()));
            return;
        }
        var input = inputs.computeIfAbsent(step.topic(), name ->
            driver.createInputTopic(name, new ByteArraySerializer(), new ByteArraySerializer()));
        RecordHeaders headers = new RecordHeaders();
        for (String header : step.headers().isEmpty() ? new String[0] : step.headers().split(",")) {
            String[] parts = header.split(":", 2);
            headers.add(parts[0], bytes(Scenario.text(parts[1])));
        }
        input.pipeInput(new TestRecord<>(bytes(step.key()), bytes(step.value()), headers, step.at()));
    }

    private void show(String topic, TestRecord<byte[], byte[]> record) {
        text.append("  ").append(topic).append(' ').append(Bytes.show(record.key())).append(' ')
            .append(Bytes.show(record.value())).append(" @")
            .append(record.timestamp() == null ? "-" : record.timestamp().toString())
            .append(Bytes.show(record.headers())).append('\n');
    }

    private static byte[] bytes(String text) {
        return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
    }

    private static String firstLine(Throwable error) {
        Throwable cause = error;
        while (cause.getCause() != null) cause = cause.getCause();
        return (cause.getClass().getSimpleName() + ": " + cause.getMessage()).lines().findFirst().orElse("");
    }

    private static Config config(Map<String, String> options) {
        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, "app");
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, "localhost:9092");
        properties.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class.getName());
        properties.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class.getName());
        properties.put(StreamsConfig.STATE_DIR_CONFIG, STATE.toString());
        properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG,
            "on".equals(options.get("cache")) ? "10485760" : "0");
        if (!"rocksdb".equals(options.get("stores"))) {
            properties.put(StreamsConfig.DSL_STORE_SUPPLIERS_CLASS_CONFIG,
                BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers.class.getName());
        }
        // As in production; the test driver would switch it off.
        properties.put(StreamsConfig.InternalConfig.EMIT_INTERVAL_MS_KSTREAMS_WINDOWED_AGGREGATION, 1000L);
        properties.put(StreamsConfig.InternalConfig.EMIT_INTERVAL_MS_KSTREAMS_OUTER_JOIN_SPURIOUS_RESULTS_FIX, 1000L);
        if (options.containsKey("optimize")) {
            properties.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, options.get("optimize"));
        }
        return new Config(properties, new TopologyConfig(new StreamsConfig(properties)));
    }

    private static Path stateDirectory() {
        try {
            Path memory = Path.of("/dev/shm");
            Path directory = Files.isWritable(memory)
                ? Files.createTempDirectory(memory, "oracle") : Files.createTempDirectory("oracle");
            directory.toFile().deleteOnExit();
            return directory;
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
