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
    pub(super) fn to(error: &ClientError) -> Self {
        match error.kind {
            ClientErrorKind::Group(GroupError::RebalanceInProgress) => Self::Rejoin,
            ClientErrorKind::Group(GroupError::UnknownMember) => Self::Lost { forget_id: true },
            ClientErrorKind::Group(GroupError::IllegalGeneration) => {
                Self::Lost { forget_id: false }
            }
            ClientErrorKind::Group(
                GroupError::FencedInstance
                | GroupError::InconsistentProtocol
                | GroupError::GroupFull
                | GroupError::InvalidSessionTimeout,
            )
            | ClientErrorKind::Authentication
            | ClientErrorKind::Authorization
            | ClientErrorKind::Invalid
            | ClientErrorKind::Unsupported
            | ClientErrorKind::Fatal => Self::Fail,
            _ => Self::Retry,
        }
    }
}
