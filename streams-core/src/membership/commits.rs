//! Commits of input positions under way to the coordinator.

use std::sync::Arc;

use super::handle::Commit;
use crate::client::{Call, ClientError, Each, GroupTransport, Reply};
use crate::time::Instant;

#[derive(Default)]
pub(super) struct Commits(Vec<Pending>);

struct Pending {
    call: Call<Each<()>>,
    reply: Reply<Each<()>>,
    sent: Instant,
    member_id: Arc<str>,
    generation: i32,
}

/// What a commit that was answered says about the membership.
pub(super) struct Done {
    pub(super) sent: Instant,
    pub(super) member_id: Arc<str>,
    pub(super) generation: i32,
    /// That of the whole request.
    pub(super) error: Option<ClientError>,
}

impl Commits {
    pub(super) fn start(
        &mut self,
        transport: &mut dyn GroupTransport,
        commit: Commit,
        now: Instant,
    ) {
        let Commit { member, offsets, reply } = commit;
        let (member_id, generation) = (member.member_id.clone(), member.generation);
        let call = transport.commit_offsets(member, offsets);
        self.0.push(Pending { call, reply, sent: now, member_id, generation });
    }

    /// Passes the answers on that have come.
    pub(super) fn poll(&mut self) -> Vec<Done> {
        let mut done = Vec::new();
        let mut waiting = Vec::new();
        for mut pending in std::mem::take(&mut self.0) {
            let Some(answer) = pending.call.try_take() else {
                waiting.push(pending);
                continue;
            };
            let Pending { reply, sent, member_id, generation, .. } = pending;
            done.push(Done { sent, member_id, generation, error: answer.as_ref().err().cloned() });
            reply.send(answer);
        }
        self.0 = waiting;
        done
    }
}
