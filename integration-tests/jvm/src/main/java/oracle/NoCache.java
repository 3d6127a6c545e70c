package oracle;

import java.lang.reflect.Field;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.internals.InternalTopologyBuilder;
import org.apache.kafka.streams.processor.internals.StoreFactory;

/**
 * Switches the record caches of all stores off, as {@code Materialized.withCachingDisabled} does;
 * a cache of no bytes would still drop deletions of absent keys.
 */
final class NoCache {
    static void in(Topology topology) {
        try {
            Field field = Topology.class.getDeclaredField("internalTopologyBuilder");
            field.setAccessible(true);
            var builder = (InternalTopologyBuilder) field.get(topology);
            builder.stateStores().values().forEach(StoreFactory::withCachingDisabled);
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException(error);
        }
    }
}
