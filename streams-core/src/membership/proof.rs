//! Until when a member is provably in the group.
//!
//! A coordinator keeps a member for a session after it last heard of it. Our side knows only when
//! it *sent* what was later answered, which is earlier: so the proof is on the safe side. It must
//! not outlive a suspension of the machine, which [`Instant`] guarantees.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::config::MembershipConfig;
use crate::time::Instant;

/// An instant that one thread writes and others read.
#[derive(Debug, Default)]
pub(super) struct SharedInstant(AtomicU64);

impl SharedInstant {
    pub(super) fn get(&self) -> Instant {
        Instant::from_origin(Duration::from_nanos(self.0.load(Ordering::SeqCst)))
    }

    pub(super) fn set(&self, instant: Instant) {
        self.0.store(nanos(instant), Ordering::SeqCst);
    }

    /// Never goes back.
    pub(super) fn raise(&self, instant: Instant) {
        self.0.fetch_max(nanos(instant), Ordering::SeqCst);
    }
}

fn nanos(instant: Instant) -> u64 {
    u64::try_from(instant.since_origin().as_nanos()).unwrap_or(u64::MAX)
}

/// What the coordinator's answers prove.
#[derive(Debug)]
pub(super) struct Proof {
    session: Duration,
    margin: Duration,
    rebalance: Duration,
    /// When we sent what was answered in any way that only a member gets.
    heard: Option<Instant>,
    /// The same, but without a rebalance under way. A rebalance that began after this ends a
    /// rebalance timeout after this at the earliest, for those who did not join.
    settled: Option<Instant>,
    published: Arc<SharedInstant>,
}

impl Proof {
    pub(super) fn new(config: &MembershipConfig, published: Arc<SharedInstant>) -> Self {
        Self {
            session: config.session_timeout,
            margin: config.session_timeout / 10,
            rebalance: config.max_poll_interval,
            heard: None,
            settled: None,
            published,
        }
    }

    /// The coordinator answered what was sent then, and there was no rebalance.
    pub(super) fn settled(&mut self, sent: Instant) {
        self.settled = self.settled.max(Some(sent));
        self.rebalancing(sent);
    }

    /// The coordinator answered what was sent then, and there was or may have been a rebalance.
    pub(super) fn rebalancing(&mut self, sent: Instant) {
        self.heard = self.heard.max(Some(sent));
        if let Some(until) = self.until() {
            self.published.set(until - self.margin);
        }
    }

    /// There is no membership any more. Whoever asks from now on is told so.
    pub(super) fn revoke(&mut self) {
        self.heard = None;
        self.settled = None;
        self.published.set(Instant::default());
    }

    /// From then on the coordinator may have given our tasks to others.
    pub(super) fn until(&self) -> Option<Instant> {
        Some((self.heard? + self.session).min(self.settled? + self.rebalance))
    }

    /// Whether nothing proves membership now.
    pub(super) fn expired(&self, now: Instant) -> bool {
        self.until().is_none_or(|until| now >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    fn proof() -> Proof {
        let mut config = MembershipConfig::new("g", uuid::Uuid::nil(), Arc::default());
        config.session_timeout = Duration::from_secs(10);
        config.max_poll_interval = Duration::from_secs(30);
        Proof::new(&config, Arc::default())
    }

    #[test]
    fn nothing_is_proven_before_the_first_answer_and_after_a_revocation() {
        let mut proof = proof();
        assert!(proof.expired(at(0)));
        proof.settled(at(5));
        assert_eq!(proof.published.get(), at(14));
        assert!(!proof.expired(at(14)) && proof.expired(at(15)));
        proof.revoke();
        assert!(proof.expired(at(6)));
        assert_eq!(proof.published.get(), at(0));
    }

    #[test]
    fn in_a_rebalance_it_ends_with_the_rebalance_timeout() {
        let mut proof = proof();
        proof.settled(at(0));
        for second in 1..29 {
            proof.rebalancing(at(second));
        }
        assert_eq!(proof.until(), Some(at(30)));
        proof.settled(at(29));
        assert_eq!(proof.until(), Some(at(39)));
    }
}
