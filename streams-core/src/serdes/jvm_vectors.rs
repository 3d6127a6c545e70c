//! Bytes that the JVM's serializers wrote.
