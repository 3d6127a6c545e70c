//! Functions of scenarios to choose from: `expr` says what they mean.

pub(super) const MAPPINGS: &[&str] = &[
    "v",
    "v|upper",
    "v|add:x",
    "k.v",
    "v|first",
    "v|len",
    "v|mod:2",
    "v|rev",
    "k",
    "v|last|add:y",
];
pub(super) const KEYS: &[&str] = &["v|first", "v", "v|mod:2", "v|len", "k", "k.v", "v|last"];
pub(super) const FOREIGN_KEYS: &[&str] = &["v|first", "v|first|null_if:x", "k", "v|last|null_if:b"];
pub(super) const PREDICATES: &[&str] =
    &["v|has:a", "v|odd", "v|lt:b", "v|has:x", "k|is:a", "v|len|odd", "v|is:a", "k.v|odd"];
pub(super) const JOINERS: &[&str] = &["a+b", "max", "a+b|first", "b/a", "min"];
pub(super) const STREAM_JOINERS: &[&str] = &["a+b", "k:a+b", "max", "b"];
pub(super) const FOLDS: &[&str] = &["a+b", "max", "min", "b", "a"];
pub(super) const AGGREGATES: &[&str] = &["a+v", "max", "k/a/v", "v", "a|add:1"];
pub(super) const NULLING: &[&str] = &["|null_if:x", "|null_if:b", "|null_if:1"];
