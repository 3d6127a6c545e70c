//! Several members with their stream threads and one cluster, moved on step by step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use streams_core::TaskId;
use streams_core::assignment::{GroupTopology, InternalTopic, SubtopologyTopics};
use streams_core::client::{ClientSupplier, GroupMetadata, Wake};
use streams_core::membership::{
    Assignment, Member, MemberError, MemberEvent, MemberHandle, MembershipConfig, NextStep,
};
use streams_core::time::{Clock, Instant};
use streams_test::EmbeddedCluster;
use streams_test::embedded::VirtualClock;
use uuid::Uuid;

pub(crate) const SESSION: Duration = Duration::from_secs(6);
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(1);
pub(crate) const MAX_POLL: Duration = Duration::from_secs(20);

/// `in` (6 partitions) is counted by key after a repartition: tasks 0_0 to 0_5, 1_0 to 1_5.
pub(crate) fn topology() -> GroupTopology {
    let internal = |name: &str| BTreeMap::from([(Arc::from(name), InternalTopic::default())]);
    let reading = SubtopologyTopics {
        subtopology: 0,
        source_topics: BTreeSet::from(["in".into()]),
        repartition_sinks: BTreeSet::from(["app-by-key-repartition".into()]),
        ..SubtopologyTopics::default()
    };
    let counting = SubtopologyTopics {
        subtopology: 1,
        repartition_sources: internal("app-by-key-repartition"),
        changelogs: internal("app-counts-changelog"),
        ..SubtopologyTopics::default()
    };
    GroupTopology { subtopologies: vec![reading, counting], ..GroupTopology::default() }
}

pub(crate) fn all_tasks() -> BTreeSet<TaskId> {
    (0..2).flat_map(|sub| (0..6).map(move |partition| TaskId::new(sub, partition))).collect()
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A member and a stream thread that does as it is told, in its own time.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) process: Uuid,
    pub(crate) instance: Option<String>,
    pub(crate) member: Member,
    pub(crate) handle: MemberHandle,
    member_woken: Arc<Flag>,
    next: NextStep,
    /// What the thread works on.
    pub(crate) owned: BTreeSet<TaskId>,
    pub(crate) assignment: Option<Assignment>,
    /// What is being stopped, and when that is done.
    releasing: Option<Instant>,
    pub(crate) release_takes: Duration,
    pub(crate) frozen: bool,
    /// The thread does not come back from the user's code.
    pub(crate) stuck: bool,
    pub(crate) left: bool,
    pub(crate) lost: Vec<String>,
    pub(crate) failed: Option<MemberError>,
    pub(crate) assigned: usize,
    acknowledged: bool,
}

impl Node {
    pub(crate) fn step_member(&mut self, now: Instant) {
        if !self.frozen {
            self.member_woken.0.store(false, Ordering::SeqCst);
            self.next = self.member.step(now);
        }
    }

    pub(crate) fn step_thread(&mut self, now: Instant) {
        if self.frozen || self.stuck {
            return;
        }
        self.handle.stamp_progress(now);
        while let Some(event) = self.handle.next_event() {
            match event {
                MemberEvent::Assigned(assignment) => self.take(assignment, now),
                MemberEvent::Lost { reason } => {
                    self.lost.push(reason);
                    self.owned.clear();
                    self.releasing = None;
                }
                MemberEvent::Failed(error) => {
                    self.failed = Some(error);
                    self.owned.clear();
                    self.releasing = None;
                }
            }
        }
        if self.releasing.is_some_and(|at| at <= now) {
            self.releasing = None;
            let active = self.assignment.iter().flat_map(|a| a.active.iter().copied());
            self.owned = active.collect();
            self.acknowledged = false;
        }
        if !self.acknowledged {
            self.acknowledged = true;
            self.handle.acknowledge(self.owned.iter().copied().collect());
        }
    }

    fn take(&mut self, assignment: Assignment, now: Instant) {
        self.assigned += 1;
        let active: BTreeSet<TaskId> = assignment.active.iter().copied().collect();
        self.releasing = (!self.owned.is_subset(&active)).then(|| now + self.release_takes);
        self.owned.extend(active);
        self.assignment = Some(assignment);
        self.acknowledged = false;
    }

    pub(crate) fn metadata(&self) -> GroupMetadata {
        let assignment = self.assignment.as_ref().unwrap();
        GroupMetadata {
            group: "app".into(),
            member_id: assignment.member_id.clone(),
            generation: assignment.generation,
        }
    }

    fn due(&self) -> Option<Instant> {
        let member = match self.next {
            _ if self.member_woken.0.load(Ordering::SeqCst) => Some(Instant::default()),
            NextStep::Ready => Some(Instant::default()),
            NextStep::At(at) => Some(at),
            NextStep::OnWake => None,
        };
        [member, self.releasing].into_iter().flatten().min().filter(|_| !self.frozen)
    }
}

pub(crate) struct Harness {
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) cluster: EmbeddedCluster,
    pub(crate) nodes: Vec<Node>,
}

impl Harness {
    pub(crate) fn new() -> Self {
        let clock = VirtualClock::new(0);
        let cluster = EmbeddedCluster::with_clock(clock.clone());
        cluster.create_topic("in", 6).unwrap();
        Self { clock, cluster, nodes: Vec::new() }
    }

    pub(crate) fn config(process: u128) -> MembershipConfig {
        let mut config =
            MembershipConfig::new("app", Uuid::from_u128(process), Arc::new(topology()));
        config.session_timeout = SESSION;
        config.heartbeat_interval = HEARTBEAT;
        config.max_poll_interval = MAX_POLL;
        config
    }

    /// Starts a process with one thread, and returns its place.
    pub(crate) fn start(&mut self, process: u128) -> usize {
        self.start_with(Self::config(process))
    }

    pub(crate) fn start_with(&mut self, config: MembershipConfig) -> usize {
        let member_woken = Arc::new(Flag::default());
        let transport = self.cluster.group_transport("app", member_woken.clone()).unwrap();
        let admin = self.cluster.admin(member_woken.clone()).unwrap();
        let (process, instance) = (config.process, config.instance_id.clone());
        let thread = Arc::new(Flag::default());
        let (member, handle) = Member::new(config, transport, admin, member_woken.clone(), thread);
        self.nodes.push(Node {
            name: format!("node {} of process {}", self.nodes.len(), process.as_u128()),
            process,
            instance,
            member,
            handle,
            member_woken,
            next: NextStep::Ready,
            owned: BTreeSet::new(),
            assignment: None,
            releasing: None,
            release_takes: Duration::ZERO,
            frozen: false,
            stuck: false,
            left: false,
            lost: Vec::new(),
            failed: None,
            assigned: 0,
            acknowledged: true,
        });
        self.nodes.len() - 1
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Nobody proves to own what another proves to own.
    pub(crate) fn check(&self) {
        let now = self.now();
        let mut owners: BTreeMap<TaskId, &Node> = BTreeMap::new();
        for node in self.nodes.iter().filter(|node| now < node.handle.proven_until()) {
            for task in &node.owned {
                if let Some(other) = owners.insert(*task, node) {
                    panic!("{task} is owned by {} and by {} at {now:?}", other.name, node.name);
                }
            }
        }
    }

    /// Steps everything that is due, then lets time pass to the next thing, for `duration`.
    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now() + duration;
        self.run_to(end, |_| false);
    }

    /// Runs until `done`, and fails if that takes longer than `limit`. Returns how long it took.
    pub(crate) fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> Duration {
        let begin = self.now();
        assert!(self.run_to(begin + limit, &done), "not after {limit:?}: {}", self.describe());
        self.now().since(begin)
    }

    fn run_to(&mut self, end: Instant, done: impl Fn(&Self) -> bool) -> bool {
        for _ in 0..1_000_000 {
            let now = self.now();
            self.cluster.tick();
            for index in 0..self.nodes.len() {
                self.nodes[index].step_member(now);
                self.check();
                self.nodes[index].step_thread(now);
                self.check();
            }
            if done(self) {
                return true;
            }
            let due = self.nodes.iter().filter_map(Node::due).chain(self.cluster.next_timer());
            match due.min().filter(|at| *at <= end) {
                Some(at) if at <= now => {}
                Some(at) => self.clock.advance_to(at),
                None if now >= end => return false,
                None => self.clock.advance_to(end),
            }
        }
        panic!("it does not come to rest: {}", self.describe());
    }

    pub(crate) fn describe(&self) -> String {
        let node = |n: &Node| {
            let state = if n.frozen { ", frozen" } else { "" };
            format!("{}{state} owns {:?}", n.name, n.owned)
        };
        self.nodes.iter().map(node).collect::<Vec<_>>().join("; ")
    }

    /// Every task has one owner, and the shares are equal.
    pub(crate) fn settled(&self) -> bool {
        let live = || self.nodes.iter().filter(|n| !n.frozen && n.failed.is_none());
        let owned: Vec<TaskId> = live().flat_map(|n| n.owned.iter().copied()).collect();
        let loads = || live().map(|n| n.owned.len());
        let releasing = self.nodes.iter().any(|n| n.releasing.is_some());
        owned.len() == 12
            && owned.into_iter().collect::<BTreeSet<_>>() == all_tasks()
            && loads().max().unwrap_or(0) <= loads().min().unwrap_or(0) + 1
            && !releasing
    }
}

impl Harness {
    /// A handle whose member is gone.
    pub(crate) fn into_spare(mut self) -> MemberHandle {
        self.start(99);
        self.nodes.remove(0).handle
    }
}
