//! Membership in the consumer group: who we are to it, and which tasks it gives us.
//!
//! One [`Member`] per stream thread speaks the classic group protocol (any broker) through a
//! [`GroupTransport`](crate::client::GroupTransport). It is a state machine without thread, clock
//! or I/O of its own: a control driver calls [`Member::step`]; the stream thread holds the other
//! end, the [`MemberHandle`].
//!
//! Rebalances are cooperative. A task that has to move stays with its owner until the owner has
//! stopped it, committed it and handed over its storage; only then ([`MemberHandle::acknowledge`])
//! the member joins again, and the leader gives the task to somebody else. Tasks that do not
//! move are worked on all the time.
//!
//! Reading order: [`messages`] (what members and leader tell each other), [`leader`] (what the
//! leader does between join and sync), [`handle`] (the thread's end), [`member`].

pub mod config;
pub mod error;
pub mod handle;
pub mod leader;
pub mod member;
pub mod messages;

mod byte_codec;
mod commits;
mod heartbeat;
mod ownership;
mod proof;
mod reaction;
mod share_out;
mod topic_watch;

pub use config::MembershipConfig;
pub use error::{MemberError, MemberErrorKind};
pub use handle::{Assignment, HostTasks, MemberEvent, MemberHandle};
pub use member::{Member, NextStep};
pub use messages::{PROTOCOL_NAME, TaskState};
