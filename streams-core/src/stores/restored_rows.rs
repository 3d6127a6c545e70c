//! The records of changelogs as rows of their stores.

use state_stores::StoreNotes;

use super::changelog::stored_row;
use super::segmented::row::{HEAD_LEN, RowFormat, by_time_of, parts, write_head};

/// How the records of a store's changelog become its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangelogFormat(pub(super) Format);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// The row's key, and the time before the value.
    KeyValue,
    Segmented(RowFormat),
    /// Put by put: see `VersionedRows`.
    Versioned,
}

impl ChangelogFormat {
    /// Of key-value stores: the record's key, and its time before its value.
    pub const KEY_VALUE: Self = Self(Format::KeyValue);

    /// Of versioned stores: every put, in order.
    pub const VERSIONED: Self = Self(Format::Versioned);

    /// Whether the broker may delete records that are older than the store's retention.
    pub(crate) fn has_retention(&self) -> bool {
        matches!(self.0, Format::Segmented(_))
    }

    pub(crate) const fn segmented(format: RowFormat) -> Self {
        Self(Format::Segmented(format))
    }

    pub(crate) fn is_by_time(&self) -> bool {
        matches!(self.0, Format::Segmented(RowFormat { by_time: true, .. }))
    }

    /// The same rows, with an index by time.
    pub(super) fn by_time(self) -> Self {
        match self.0 {
            Format::Segmented(format) => Self::segmented(RowFormat { by_time: true, ..format }),
            Format::KeyValue | Format::Versioned => self,
        }
    }
}

/// Makes rows of records, in the order of the changelog.
pub(crate) struct RestoredRows {
    format: ChangelogFormat,
    notes: StoreNotes,
    key: Vec<u8>,
    value: Vec<u8>,
    malformed: u64,
}

impl RestoredRows {
    /// Goes on from what a store says of itself.
    pub(crate) fn new(format: ChangelogFormat, notes: StoreNotes) -> Self {
        Self { format, notes, key: Vec::new(), value: Vec::new(), malformed: 0 }
    }

    /// Gives the rows of one record to `push`.
    pub(crate) fn take(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        timestamp: i64,
        mut push: impl FnMut(&[u8], Option<&[u8]>),
    ) {
        match self.format.0 {
            Format::KeyValue => {
                self.notes.stream_time_ms = self.notes.stream_time_ms.max(timestamp);
                let value = value.map(|value| {
                    stored_row(timestamp, value, &mut self.value);
                    &*self.value
                });
                push(key, value);
            }
            Format::Segmented(format) => self.segmented(format, key, value, timestamp, push),
            Format::Versioned => unreachable!("versioned stores are restored put by put"),
        }
    }

    /// What the store says of itself after the records so far.
    pub(crate) fn notes(&self) -> StoreNotes {
        self.notes.clone()
    }

    fn segmented(
        &mut self,
        format: RowFormat,
        key: &[u8],
        value: Option<&[u8]>,
        timestamp: i64,
        mut push: impl FnMut(&[u8], Option<&[u8]>),
    ) {
        let Some(parts) = parts(key, format.rest_len) else {
            self.malformed += 1;
            if self.malformed.is_power_of_two() {
                let (bytes, count) = (key.len(), self.malformed);
                tracing::warn!(bytes, count, "a record of a changelog has no window: skipped");
            }
            return;
        };
        let segments = format.segments;
        self.notes.stream_time_ms = self.notes.stream_time_ms.max(parts.time);
        if format.has_sequence {
            // In the order of the log: the last one is where to go on.
            let sequence = u32::try_from(parts.rest).unwrap_or_default();
            self.notes.extra = sequence.to_be_bytes().to_vec();
        }
        let segment = segments.segment(parts.time);
        if segment < segments.oldest_live(self.notes.stream_time_ms) {
            return;
        }
        write_head(segment, &mut self.key);
        self.key.extend_from_slice(key);
        debug_assert_eq!(self.key.len(), HEAD_LEN + key.len());
        let value = match value {
            Some(value) if format.has_timestamp => {
                stored_row(timestamp, value, &mut self.value);
                Some(&*self.value)
            }
            value => value,
        };
        push(&self.key, value);
        if format.by_time {
            push(&by_time_of(&self.key, format.rest_len), value.map(|_| &[][..]));
        }
    }
}
