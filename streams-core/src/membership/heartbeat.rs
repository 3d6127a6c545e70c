//! One heartbeat at a time, and when the next one is due.

use std::sync::Arc;
use std::time::Duration;

use super::config::MembershipConfig;
use crate::client::{Call, ClientError, GroupMetadata, GroupTransport};
use crate::time::Instant;

/// A heartbeat costs a broker some microseconds; waiting for one, tasks that nobody works on.
const HURRIED: Duration = Duration::from_millis(100);
/// After a rebalance.
const SETTLING: Duration = Duration::from_secs(5);

pub(super) struct Heartbeat {
    interval: Duration,
    /// Who waits longer for an answer does better to ask again.
    patience: Duration,
    retry: Duration,
    due: Instant,
    /// Until then a rebalance is to be expected, and looked for more often.
    hurried_until: Instant,
    session: Duration,
    in_flight: Option<InFlight>,
}

struct InFlight {
    call: Call<()>,
    sent: Instant,
    member_id: Arc<str>,
    generation: i32,
}

/// What the coordinator said about a heartbeat.
pub(super) struct Beaten {
    pub(super) sent: Instant,
    pub(super) member_id: Arc<str>,
    pub(super) generation: i32,
    pub(super) answer: Result<(), ClientError>,
}

impl Heartbeat {
    pub(super) fn new(config: &MembershipConfig) -> Self {
        Self {
            interval: config.heartbeat_interval.max(Duration::from_millis(1)),
            patience: (config.session_timeout / 3).max(Duration::from_millis(1)),
            retry: config.retry_backoff.max(Duration::from_millis(1)),
            due: Instant::default(),
            hurried_until: Instant::default(),
            session: config.session_timeout,
            in_flight: None,
        }
    }

    /// Something else has just shown that we live. Members come together, when an application
    /// starts or is deployed: after one rebalance the next is looked for more often for a while.
    pub(super) fn postpone(&mut self, now: Instant) {
        self.hurried_until = now + SETTLING;
        self.due = now + self.interval(now);
    }

    /// Others are about to ask for a rebalance, and only a heartbeat tells us that they have.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.hurried_until = now + self.session;
        self.due = now + self.interval(now);
    }

    fn interval(&self, now: Instant) -> Duration {
        if now < self.hurried_until { self.interval.min(HURRIED) } else { self.interval }
    }

    /// Whatever comes is about a membership that is no more.
    pub(super) fn forget(&mut self) {
        self.in_flight = None;
    }

    pub(super) fn poll(&mut self, now: Instant) -> Option<Beaten> {
        let in_flight = self.in_flight.as_mut()?;
        let answer = in_flight.call.try_take();
        if answer.is_none() && now < in_flight.sent + self.patience {
            return None;
        }
        let InFlight { sent, member_id, generation, .. } = self.in_flight.take()?;
        if !matches!(answer, Some(Ok(()))) {
            self.due = self.due.min(now + self.retry);
        }
        answer.map(|answer| Beaten { sent, member_id, generation, answer })
    }

    /// Sends one if it is time.
    pub(super) fn send(
        &mut self,
        transport: &mut dyn GroupTransport,
        member: impl FnOnce() -> GroupMetadata,
        now: Instant,
    ) {
        if self.in_flight.is_some() || now < self.due {
            return;
        }
        self.due = now + self.interval(now);
        let member = member();
        let (member_id, generation) = (member.member_id.clone(), member.generation);
        let call = transport.heartbeat(member);
        self.in_flight = Some(InFlight { call, sent: now, member_id, generation });
    }

    /// When there is something to do at the latest.
    pub(super) fn next(&self) -> Instant {
        self.in_flight.as_ref().map_or(self.due, |in_flight| in_flight.sent + self.patience)
    }
}
