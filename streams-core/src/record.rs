//! Records, time and headers.

use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::sync::Arc;
use std::time::Duration;

/// Milliseconds since 1970, as Kafka has it. Event time, so it may lie in the future.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since 1970.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// Saturates at the end of time; less than a millisecond is nothing.
impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

/// Saturates at the beginning of time; less than a millisecond is nothing.
impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }
}

impl AddAssign<Duration> for Timestamp {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl SubAssign<Duration> for Timestamp {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Headers of a record: copy on write, no allocation when empty, a clone is a count.
///
/// A name may occur more than once, and a value may be null, as in Kafka.
#[derive(Clone, Default)]
pub struct Headers(Option<Arc<Vec<Header>>>);

type Header = (Box<str>, Option<Box<[u8]>>);

impl Headers {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    /// How many, names that occur twice counted twice.
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// In the order of the record; a value may be null.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, Option<&[u8]>)> + Clone {
        self.entries().iter().map(|(name, value)| (&**name, value.as_deref()))
    }

    /// The last value of that name, as Kafka's `lastHeader`; `None` too when that value is null.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.entries().iter().rev().find(|(n, _)| &**n == name).and_then(|(_, v)| v.as_deref())
    }

    /// All values of that name, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Option<&'a [u8]>> {
        self.iter().filter(move |(n, _)| *n == name).map(|(_, value)| value)
    }

    /// Whether there is one of that name, be its value null or not.
    pub fn contains(&self, name: &str) -> bool {
        self.entries().iter().any(|(n, _)| &**n == name)
    }

    /// Appends a header.
    pub fn push(&mut self, name: impl Into<Box<str>>, value: impl AsRef<[u8]>) -> &mut Self {
        self.push_entry(name.into(), Some(value.as_ref().into()))
    }

    /// Appends a header whose value is null.
    pub fn push_null(&mut self, name: impl Into<Box<str>>) -> &mut Self {
        self.push_entry(name.into(), None)
    }

    /// Replaces all headers of that name by one.
    pub fn set(&mut self, name: impl Into<Box<str>>, value: impl AsRef<[u8]>) -> &mut Self {
        let name = name.into();
        self.remove(&name);
        self.push_entry(name, Some(value.as_ref().into()))
    }

    /// Removes all headers of that name; whether there were any.
    pub fn remove(&mut self, name: &str) -> bool {
        if !self.contains(name) {
            return false;
        }
        if let Some(shared) = &mut self.0 {
            Arc::make_mut(shared).retain(|(n, _)| &**n != name);
        }
        if self.is_empty() {
            self.0 = None;
        }
        true
    }

    fn entries(&self) -> &[Header] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }

    fn push_entry(&mut self, name: Box<str>, value: Option<Box<[u8]>>) -> &mut Self {
        Arc::make_mut(self.0.get_or_insert_default()).push((name, value));
        self
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.entries() == other.entries()
    }
}

impl Eq for Headers {}

/// Values as text where they are text.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<Box<[u8]>>| {
            value.as_ref().map(|bytes| bytes.escape_ascii().to_string())
        };
        f.debug_list().entries(self.entries().iter().map(|(n, v)| (n, text(v)))).finish()
    }
}

impl<N: Into<Box<str>>, B: AsRef<[u8]>> Extend<(N, Option<B>)> for Headers {
    fn extend<I: IntoIterator<Item = (N, Option<B>)>>(&mut self, headers: I) {
        for (name, value) in headers {
            self.push_entry(name.into(), value.map(|bytes| bytes.as_ref().into()));
        }
    }
}

impl<N: Into<Box<str>>, B: AsRef<[u8]>> FromIterator<(N, Option<B>)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, Option<B>)>>(headers: I) -> Self {
        let mut all = Self::new();
        all.extend(headers);
        all
    }
}

/// Where a record came from. Absent in punctuators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    /// The source topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: i32,
    /// The record's place in the partition.
    pub offset: i64,
}

impl fmt::Display for RecordMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}@{}", self.topic, self.partition, self.offset)
    }
}

/// What travels beside key and value: by reference, never moved per hop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordContext {
    timestamp: Timestamp,
    headers: Headers,
    metadata: Option<RecordMetadata>,
}

impl RecordContext {
    /// Of a record that came from nowhere: of a punctuator, of a test.
    pub fn new(timestamp: Timestamp, headers: Headers) -> Self {
        Self { timestamp, headers, metadata: None }
    }

    /// Of a record that was read at `metadata`.
    pub fn from_source(timestamp: Timestamp, headers: Headers, metadata: RecordMetadata) -> Self {
        Self { timestamp, headers, metadata: Some(metadata) }
    }

    /// The record's time.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// The record's headers.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Where the record was read; `None` when no input record is being processed.
    pub fn metadata(&self) -> Option<&RecordMetadata> {
        self.metadata.as_ref()
    }

    /// Sets the record's time.
    pub fn set_timestamp(&mut self, timestamp: Timestamp) {
        self.timestamp = timestamp;
    }

    /// The next record of the same partition; what it came from must be known already.
    pub(crate) fn advance(&mut self, timestamp: Timestamp, headers: Headers, offset: i64) {
        self.timestamp = timestamp;
        self.headers = headers;
        if let Some(metadata) = &mut self.metadata {
            metadata.offset = offset;
        }
    }

    /// For writing the headers; those of other holders stay as they are.
    pub fn headers_mut(&mut self) -> &mut Headers {
        &mut self.headers
    }

    /// The same at another time.
    pub fn with_timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = timestamp;
        self
    }

    /// The same with other headers.
    pub fn with_headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }
}

/// An owned record: what `map_record` takes and returns, what the test topics read and write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<K, V> {
    /// `Option` or `()` where it may be null.
    pub key: K,
    /// `Option` where it may be null.
    pub value: V,
    /// Event time.
    pub timestamp: Timestamp,
    /// Shared until written.
    pub headers: Headers,
}

impl<K, V> Record<K, V> {
    /// Without headers.
    pub fn new(key: K, value: V, timestamp: Timestamp) -> Self {
        Self { key, value, timestamp, headers: Headers::new() }
    }

    /// Appends a header.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// The same with another key.
    pub fn with_key<K2>(self, key: K2) -> Record<K2, V> {
        Record { key, value: self.value, timestamp: self.timestamp, headers: self.headers }
    }

    /// The same with another value.
    pub fn with_value<V2>(self, value: V2) -> Record<K, V2> {
        Record { key: self.key, value, timestamp: self.timestamp, headers: self.headers }
    }

    /// The same at another time.
    pub fn with_timestamp(self, timestamp: Timestamp) -> Self {
        Self { timestamp, ..self }
    }

    /// The same with other headers.
    pub fn with_headers(self, headers: Headers) -> Self {
        Self { headers, ..self }
    }
}

/// A record that is only looked at: topic extractors, partitioners, timestamp extractors,
/// predicates.
#[derive(Debug)]
pub struct RecordRef<'a, K, V> {
    /// Its key.
    pub key: &'a K,
    /// Its value.
    pub value: &'a V,
    /// Its time, headers and origin.
    pub context: &'a RecordContext,
}

impl<K, V> Clone for RecordRef<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for RecordRef<'_, K, V> {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times_saturate() {
        let end = Timestamp::from_millis(i64::MAX);
        assert_eq!(end + Duration::MAX, end);
        assert_eq!(
            Timestamp::from_millis(10) - Duration::from_millis(30),
            Timestamp::from_millis(-20)
        );
        assert_eq!(Timestamp::from_millis(5).since(Timestamp::from_millis(9)), Duration::ZERO);
        assert_eq!(
            end.since(Timestamp::from_millis(i64::MIN)),
            Duration::from_millis(i64::MAX as u64)
        );
    }

    #[test]
    fn the_last_header_of_a_name_counts() {
        let mut headers = Headers::new();
        headers.push("a", "1").push("b", b"2").push("a", [3_u8]).push_null("n");
        assert_eq!(headers.get("a"), Some(&[3][..]));
        assert_eq!(headers.get_all("a").collect::<Vec<_>>(), [Some(&b"1"[..]), Some(&[3][..])]);
        assert_eq!(headers.get("n"), None);
        assert!(headers.contains("n") && !headers.contains("z"));
        assert_eq!(headers.len(), 4);
        headers.set("a", "4");
        assert_eq!(headers.get_all("a").collect::<Vec<_>>(), [Some(&b"4"[..])]);
    }

    #[test]
    fn a_clone_does_not_see_later_writes() {
        let mut one = Headers::from_iter([("a", Some("1"))]);
        let other = one.clone();
        assert!(one.remove("a") && !one.remove("a"));
        assert_eq!(other.get("a"), Some(&b"1"[..]));
        assert!(one.is_empty());
        assert_eq!(one, Headers::new());
        assert_eq!(format!("{other:?}"), r#"[("a", Some("1"))]"#);
    }

    #[test]
    fn beside_a_record_travel_48_bytes() {
        assert_eq!(size_of::<RecordContext>(), 48);
        assert_eq!(size_of::<Headers>(), 8);
    }
}
