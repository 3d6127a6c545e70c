//! What a member does about an error of the coordinator.

use crate::client::{ClientError, ClientErrorKind, GroupError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// A rebalance is under way: join it with what is owned.
    Rejoin,
    /// The membership is over, and with it everything that was owned.
    Lost {
        /// The coordinator does not know our id.
        forget_id: bool,
    },
    /// The same again, a little later.
    Retry,
    /// Only people can help.
    Fail,
}

impl Reaction {
    /// Without a wildcard: a new kind of error does not compile before it has its reaction.
    pub(super) fn to(error: &ClientError) -> Self {
        match error.kind {
            ClientErrorKind::Group(error) => Self::to_group(error),
            ClientErrorKind::Retriable
            | ClientErrorKind::UnknownTopic
            | ClientErrorKind::TopicExists
            | ClientErrorKind::OffsetOutOfRange
            | ClientErrorKind::RecordTooLarge
            | ClientErrorKind::AbortTransaction
            | ClientErrorKind::ProducerFenced => Self::Retry,
            ClientErrorKind::Authentication
            | ClientErrorKind::Authorization
            | ClientErrorKind::Invalid
            | ClientErrorKind::Unsupported
            | ClientErrorKind::Fatal => Self::Fail,
        }
    }

    fn to_group(error: GroupError) -> Self {
        match error {
            GroupError::RebalanceInProgress => Self::Rejoin,
            GroupError::UnknownMember => Self::Lost { forget_id: true },
            GroupError::IllegalGeneration => Self::Lost { forget_id: false },
            // The id comes with the answer, and a transaction ends soon.
            GroupError::MemberIdRequired | GroupError::UnstableOffset => Self::Retry,
            GroupError::FencedInstance
            | GroupError::InconsistentProtocol
            | GroupError::GroupFull
            | GroupError::InvalidSessionTimeout => Self::Fail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::kafka_errors::{self, kind_of};

    fn reaction(code: i16) -> Reaction {
        Reaction::to(&ClientError::new(kind_of(code), "as planned"))
    }

    macro_rules! a_test_per_row {
        ($($name:ident: $code:literal => $reaction:expr,)*) => {
            $(#[test]
            fn $name() {
                assert_eq!(reaction($code), $reaction);
            })*

            /// The others mean nothing to a member.
            const ROWS: &[i16] = &[$($code),*];
        };
    }

    const LOST: Reaction = Reaction::Lost { forget_id: false };
    const UNKNOWN: Reaction = Reaction::Lost { forget_id: true };

    a_test_per_row! {
        a_coordinator_that_loads: 14 => Reaction::Retry,
        no_coordinator: 15 => Reaction::Retry,
        a_coordinator_that_moved: 16 => Reaction::Retry,
        illegal_generation: 22 => LOST,
        inconsistent_group_protocol: 23 => Reaction::Fail,
        unknown_member_id: 25 => UNKNOWN,
        invalid_session_timeout: 26 => Reaction::Fail,
        rebalance_in_progress: 27 => Reaction::Rejoin,
        topic_authorization_failed: 29 => Reaction::Fail,
        group_authorization_failed: 30 => Reaction::Fail,
        cluster_authorization_failed: 31 => Reaction::Fail,
        transactional_id_authorization_failed: 53 => Reaction::Fail,
        delegation_token_authorization_failed: 65 => Reaction::Fail,
        group_id_not_found: 69 => UNKNOWN,
        member_id_required: 79 => Reaction::Retry,
        group_max_size_reached: 81 => Reaction::Fail,
        fenced_instance_id: 82 => Reaction::Fail,
        unstable_offset_commit: 88 => Reaction::Retry,
        fenced_member_epoch: 110 => LOST,
        unreleased_instance_id: 111 => Reaction::Retry,
        unsupported_assignor: 112 => Reaction::Fail,
        stale_member_epoch: 113 => LOST,
        invalid_txn_state: 48 => Reaction::Fail,
        inconsistent_cluster_id: 104 => Reaction::Fail,
    }

    #[test]
    fn every_other_code_is_tried_again_or_the_configurations_fault() {
        for code in kafka_errors::codes().filter(|code| !ROWS.contains(code)) {
            let configuration = matches!(
                kind_of(code),
                ClientErrorKind::Authentication
                    | ClientErrorKind::Invalid
                    | ClientErrorKind::Unsupported
            );
            let expected = if configuration { Reaction::Fail } else { Reaction::Retry };
            assert_eq!(reaction(code), expected, "{code}");
        }
    }
}
