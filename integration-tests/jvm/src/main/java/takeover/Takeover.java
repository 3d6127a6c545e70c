package takeover;

import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.Stores;

/**
 * An application whose twin is in {@code tests/takeover.rs}: one goes on where the other stopped.
 * Properties come as arguments, {@code name=value}. It says when it runs, and closes at the end of
 * its input.
 */
public final class Takeover {
    private static final Consumed<String, String> TEXT = Consumed.with(Serdes.String(), Serdes.String());

    public static void main(String[] args) throws Exception {
        Properties properties = new Properties();
        for (String arg : args) {
            int at = arg.indexOf('=');
            properties.put(arg.substring(0, at), arg.substring(at + 1));
        }
        KafkaStreams streams = new KafkaStreams(topology(), properties);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            System.exit(1);
            return null;
        });
        streams.setStateListener((now, before) -> System.out.println("STATE " + now));
        streams.start();
        while (System.in.read() >= 0) { }
        streams.close(new KafkaStreams.CloseOptions().leaveGroup(true).timeout(Duration.ofSeconds(60)));
        System.out.println("CLOSED");
    }

    static Topology topology() {
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, String> words = builder.stream("words", TEXT);
        words.groupBy((key, word) -> word, Grouped.with(Serdes.String(), Serdes.String()))
            .count()
            .toStream()
            .to("counts", Produced.with(Serdes.String(), Serdes.Long()));
        KTable<String, String> people = builder.table("people", TEXT);
        KTable<String, String> places = builder.table("places", TEXT, Materialized.as("places-store"));
        people.join(places, (person, place) -> person + " in " + place)
            .toStream()
            .to("rows", Produced.with(Serdes.String(), Serdes.String()));
        words.groupByKey(Grouped.with(Serdes.String(), Serdes.String()))
            .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofSeconds(10), Duration.ofMinutes(1)))
            .count()
            .toStream((windowed, count) -> windowed.key() + "@" + windowed.window().start())
            .to("windows", Produced.with(Serdes.String(), Serdes.Long()));
        KStream<String, String> orders = builder.stream("orders", TEXT);
        KStream<String, String> payments = builder.stream("payments", TEXT);
        JoinWindows near = JoinWindows.ofTimeDifferenceAndGrace(Duration.ofSeconds(5), Duration.ofHours(1));
        orders.join(payments, (order, payment) -> order + " by " + payment, near,
                StreamJoined.with(Serdes.String(), Serdes.String(), Serdes.String()))
            .to("pairs", Produced.with(Serdes.String(), Serdes.String()));
        KTable<String, String> prices = builder.table("prices", TEXT,
            Materialized.as(Stores.persistentVersionedKeyValueStore("prices-store", Duration.ofHours(1))));
        KStream<String, String> visits = builder.stream("visits", TEXT);
        Joined<String, String, String> late = Joined.with(Serdes.String(), Serdes.String(), Serdes.String());
        visits.join(prices, (visit, price) -> visit + " for " + price,
                late.withName("visit").withGracePeriod(Duration.ofSeconds(30)))
            .to("priced", Produced.with(Serdes.String(), Serdes.String()));
        return builder.build();
    }
}
