//! What the leader of the group does between join and sync: find out which tasks exist, make the
//! internal topics that are missing, and share the tasks out.
//!
//! If something is wrong that only people can change, every member is told so in its assignment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::config::{Backoff, MembershipConfig};
use super::messages::{AssignmentError, AssignmentMessage, MessageError, Subscription};
use super::share_out::{GroupView, share_out};
use crate::assignment::partition_counts::{Counts, internal_topics, source_topics};
use crate::assignment::{GroupTopology, PartitionPlan, PlanError};
use crate::client::{
    Admin, Call, ClientError, ClientErrorKind, Each, NewTopic, TopicDescription, TopicPartition,
};
use crate::time::Instant;

/// The members of a generation and what each one said.
pub type Subscriptions = BTreeMap<Arc<str>, Result<Subscription, MessageError>>;

/// The leader's work in one generation.
pub struct LeaderRound {
    /// As it was declared.
    declared: Arc<GroupTopology>,
    /// With the topics that its patterns match.
    topology: Arc<GroupTopology>,
    subscriptions: Subscriptions,
    standby_replicas: usize,
    work: Work,
    backoff: Backoff,
    retry_at: Option<Instant>,
    give_up_at: Instant,
    /// Topics that were made, or that somebody else was making.
    made: BTreeSet<Arc<str>>,
    /// What stood in the way last.
    obstacle: String,
}

/// How far the leader is.
pub enum LeaderProgress {
    /// It waits for answers, or until [`next`](LeaderRound::next).
    Waiting,
    /// It is done.
    Done(LeaderResult),
    /// Kafka did not answer for too long: the group has to start over.
    GaveUp(String),
}

/// What the leader puts into its sync.
#[derive(Default)]
pub struct LeaderResult {
    /// Each member's assignment.
    pub assignments: Vec<(String, Vec<u8>)>,
    /// The partitions that each member's active tasks read.
    pub partitions: BTreeMap<String, Vec<TopicPartition>>,
}

enum Work {
    List(Option<Call<Vec<Arc<str>>>>),
    Describe(Option<(Vec<Arc<str>>, Call<Each<TopicDescription>>)>),
    Create(Vec<NewTopic>, Option<Call<Each<()>>>),
}

/// Why a step did not lead on.
enum Setback {
    Retry(String),
    Refuse(AssignmentError, String),
}

impl LeaderRound {
    /// The round of a generation whose members said `members`.
    pub fn new(config: &MembershipConfig, members: &[(String, Vec<u8>)], now: Instant) -> Self {
        let decode =
            |(id, bytes): &(String, Vec<u8>)| (Arc::from(id.as_str()), Subscription::decode(bytes));
        Self {
            declared: config.topology.clone(),
            topology: config.topology.clone(),
            subscriptions: members.iter().map(decode).collect(),
            standby_replicas: config.standby_replicas,
            work: Work::List(None),
            backoff: Backoff::new(config),
            retry_at: None,
            give_up_at: now + config.max_poll_interval / 2,
            made: BTreeSet::new(),
            obstacle: "no answer".to_owned(),
        }
    }

    /// Goes on as far as it can.
    pub fn step(&mut self, admin: &mut dyn Admin, now: Instant) -> LeaderProgress {
        if self.subscriptions.values().flatten().any(|subscription| subscription.shutdown) {
            let text = "a member of the group asked for a shutdown of the application";
            return self.refuse_all(AssignmentError::Shutdown, text);
        }
        loop {
            if now >= self.give_up_at {
                return LeaderProgress::GaveUp(self.obstacle.clone());
            }
            if self.retry_at.is_some_and(|at| now < at) {
                return LeaderProgress::Waiting;
            }
            self.retry_at = None;
            let step = match &mut self.work {
                Work::List(_) => self.list(admin),
                Work::Describe(_) => self.describe(admin),
                Work::Create(..) => self.create(admin),
            };
            match step {
                Ok(Some(done)) => return done,
                Ok(None) => {}
                Err(Setback::Refuse(error, text)) => return self.refuse_all(error, &text),
                Err(Setback::Retry(obstacle)) => {
                    self.work = Work::List(None);
                    self.obstacle = obstacle;
                    self.retry_at = Some(now + self.backoff.wait());
                }
            }
        }
    }

    /// When to step again, if no answer comes before.
    pub fn next(&self) -> Option<Instant> {
        Some(self.retry_at.map_or(self.give_up_at, |at| at.min(self.give_up_at)))
    }

    /// Finds the topics that patterns match, if there are patterns.
    fn list(&mut self, admin: &mut dyn Admin) -> Result<Option<LeaderProgress>, Setback> {
        if self.declared.has_patterns() {
            let Work::List(started) = &mut self.work else { return Ok(None) };
            let call = started.get_or_insert_with(|| admin.list_topics());
            let Some(answer) = call.try_take() else {
                return Ok(Some(LeaderProgress::Waiting));
            };
            let topics = answer.map_err(|e| setback("list topics", &e))?;
            self.declared.check_patterns(topics.iter())?;
            self.topology = Arc::new(self.declared.resolved(topics.iter()));
        }
        self.work = Work::Describe(None);
        Ok(None)
    }

    fn describe(&mut self, admin: &mut dyn Admin) -> Result<Option<LeaderProgress>, Setback> {
        let Work::Describe(started) = &mut self.work else { return Ok(None) };
        let (topics, call) = started.get_or_insert_with(|| {
            let internal = internal_topics(&self.topology);
            let all = source_topics(&self.topology).into_iter().chain(internal.into_keys());
            let topics: Vec<Arc<str>> = all.cloned().collect();
            (topics.clone(), admin.describe_topics(topics))
        });
        let Some(answer) = call.try_take() else {
            return Ok(Some(LeaderProgress::Waiting));
        };
        let topics = std::mem::take(topics);
        let existing =
            self.existing(topics, answer.map_err(|e| setback("describe topics", &e))?)?;
        let plan = PartitionPlan::new(&self.topology, &existing).map_err(Setback::from)?;
        let mut missing =
            plan.missing_internal(&self.topology, &existing).map_err(Setback::from)?;
        if missing.is_empty() {
            return Ok(Some(self.share_out(&plan)));
        }
        missing.retain(|topic| !self.made.contains(&topic.name));
        if missing.is_empty() {
            return Err(Setback::Retry("internal topics that were made are not seen yet".into()));
        }
        self.work = Work::Create(missing, None);
        Ok(None)
    }

    fn existing(
        &self,
        topics: Vec<Arc<str>>,
        answers: Each<TopicDescription>,
    ) -> Result<Counts, Setback> {
        let mut existing = Counts::new();
        for (topic, answer) in topics.into_iter().zip(answers) {
            match answer {
                Ok(description) => {
                    existing.insert(topic, description.partitions);
                }
                Err(error) if error.kind == ClientErrorKind::UnknownTopic => {}
                Err(error) => return Err(setback(&format!("describe topic {topic}"), &error)),
            }
        }
        Ok(existing)
    }

    fn create(&mut self, admin: &mut dyn Admin) -> Result<Option<LeaderProgress>, Setback> {
        let Work::Create(topics, started) = &mut self.work else { return Ok(None) };
        let call = started.get_or_insert_with(|| admin.create_topics(topics.clone()));
        let Some(answer) = call.try_take() else {
            return Ok(Some(LeaderProgress::Waiting));
        };
        let mut retry = None;
        for (topic, answer) in topics.iter().zip(answer.map_err(|e| setback("make topics", &e))?) {
            match answer {
                Ok(()) => tracing::info!(topic = %topic.name, topic.partitions, "made a topic"),
                Err(error) if error.kind == ClientErrorKind::TopicExists => {}
                Err(error) => match setback(&format!("make topic {}", topic.name), &error) {
                    Setback::Retry(obstacle) => {
                        retry = Some(obstacle);
                        continue;
                    }
                    Setback::Refuse(_, text) => {
                        return Err(Setback::Refuse(AssignmentError::InternalTopics, text));
                    }
                },
            }
            self.made.insert(topic.name.clone());
        }
        self.work = Work::Describe(None);
        retry.map_or(Ok(None), |obstacle| Err(Setback::Retry(obstacle)))
    }

    fn share_out(&self, plan: &PartitionPlan) -> LeaderProgress {
        let view = GroupView {
            topology: &self.topology,
            fingerprint: self.declared.fingerprint(),
            plan,
            subscriptions: &self.subscriptions,
            standby_replicas: self.standby_replicas,
        };
        let mut result = LeaderResult::default();
        for (id, message) in share_out(view) {
            result.partitions.insert(id.to_string(), view.partitions(&message.active));
            result.assignments.push((id.to_string(), message.encode()));
        }
        LeaderProgress::Done(result)
    }

    fn refuse_all(&self, error: AssignmentError, text: &str) -> LeaderProgress {
        let bytes = AssignmentMessage::refusal(error, text).encode();
        let members = self.subscriptions.keys();
        let assignments = members.map(|id| (id.to_string(), bytes.clone())).collect();
        LeaderProgress::Done(LeaderResult { assignments, ..LeaderResult::default() })
    }
}

fn setback(doing: &str, error: &ClientError) -> Setback {
    let text = format!("the leader of the group cannot {doing}: {error}");
    match error.kind {
        ClientErrorKind::Authentication
        | ClientErrorKind::Authorization
        | ClientErrorKind::Invalid
        | ClientErrorKind::Unsupported
        | ClientErrorKind::Fatal => Setback::Refuse(AssignmentError::LeaderFailed, text),
        _ => Setback::Retry(text),
    }
}

impl From<PlanError> for Setback {
    fn from(error: PlanError) -> Self {
        let code = match error {
            PlanError::MissingSourceTopics(_) => AssignmentError::MissingSourceTopics,
            PlanError::MatchedTwice { .. } => AssignmentError::LeaderFailed,
            PlanError::WrongInternalCount(_) => AssignmentError::InternalTopics,
            PlanError::NotCopartitioned { .. } | PlanError::Undetermined(_) => {
                AssignmentError::PartitionCounts
            }
        };
        Self::Refuse(code, error.to_string())
    }
}
