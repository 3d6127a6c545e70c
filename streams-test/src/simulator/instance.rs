//! One instance of the application: a process with a disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use state_stores::{StateDirectory, StoreSpec, TaskKey};
use streams_core::config::State;
use streams_core::runtime::global_part::GlobalPart;
use streams_core::runtime::instance::{Instance, InstanceShared, InstanceWakes};
use streams_core::runtime::mailbox::Postbox;
use streams_core::runtime::stream_thread::{StreamThread, ThreadCommand};
use streams_core::time::{ClockRef, Instant};
use streams_core::{ResolvedConfig, StreamsError, Topology};
use uuid::Uuid;

use super::part::{Flag, Machine, Part};
use crate::embedded::{Alive, EmbeddedCluster};

/// How long a process that was told to stop takes at most.
const STOP_MAX: Duration = Duration::from_secs(30);

/// A process that runs, is frozen, or is dead.
pub(super) struct Process {
    /// Survives the process.
    pub(super) directory: Arc<StateDirectory>,
    pub(super) parts: Vec<Part>,
    /// The parts of former lives.
    dead: Vec<Part>,
    commands: Vec<Postbox<ThreadCommand>>,
    stop_global: Option<Postbox<()>>,
    shared: Option<Arc<InstanceShared>>,
    alive: Alive,
    /// When a process that was told to stop exits, whatever is left to do.
    exits_at: Option<Instant>,
    pub(super) frozen: bool,
    pub(super) failure: Option<StreamsError>,
}

impl Process {
    pub(super) fn new(number: usize) -> Self {
        let id = Uuid::from_u128(number as u128 + 1);
        Self {
            directory: StateDirectory::in_memory_as(id),
            parts: Vec::new(),
            dead: Vec::new(),
            commands: Vec::new(),
            stop_global: None,
            shared: None,
            alive: Alive::new(false.into()),
            exits_at: None,
            frozen: false,
            failure: None,
        }
    }

    pub(super) fn start(
        &mut self,
        topology: &Topology,
        config: &ResolvedConfig,
        cluster: &EmbeddedCluster,
        clock: &ClockRef,
    ) -> Result<(), StreamsError> {
        if self.parts.iter().any(|part| part.is_at_work()) {
            // It has exited without waiting for its members to leave.
            self.kill();
        }
        self.parts.clear();
        let directory = Some(self.directory.clone());
        let shared =
            InstanceShared::new(topology.clone(), config.clone(), clock.clone(), directory)?;
        let threads: Vec<_> = (0..shared.thread_count()).map(|_| Flag::new()).collect();
        let members: Vec<_> = threads.iter().map(|_| Flag::new()).collect();
        let (restorer, worker, global) = (Flag::new(), Flag::new(), Flag::new());
        let wakes = InstanceWakes {
            threads: threads.iter().map(Flag::wake_ref).collect(),
            members: members.iter().map(Flag::wake_ref).collect(),
            restorer: restorer.wake_ref(),
            worker: worker.wake_ref(),
            global: global.wake_ref(),
        };
        self.alive.store(false, Ordering::SeqCst);
        self.alive = Alive::new(true.into());
        self.exits_at = None;
        let clients = cluster.for_process(self.alive.clone());
        let instance = Instance::new(shared.clone(), &clients, &wakes)?;
        self.commands = instance.threads.iter().map(StreamThread::commands).collect();
        for (thread, flag) in instance.threads.into_iter().zip(&threads) {
            self.parts.push(Part::new(Machine::Thread(Box::new(thread)), flag));
        }
        for (member, flag) in instance.members.into_iter().zip(&members) {
            self.parts.push(Part::new(Machine::Member(Box::new(member)), flag));
        }
        self.parts.push(Part::new(Machine::Restorer(Box::new(instance.restorer)), &restorer));
        self.parts.push(Part::new(Machine::Worker(Box::new(instance.worker)), &worker));
        self.stop_global = instance.global.as_ref().map(GlobalPart::stopper);
        if let Some(part) = instance.global {
            self.parts.push(Part::new(Machine::Global(Box::new(part)), &global));
        }
        self.shared = Some(shared);
        self.frozen = false;
        self.failure = None;
        Ok(())
    }

    /// kill -9: nothing runs any more, and what the engine had not flushed is gone.
    pub(super) fn kill(&mut self) {
        self.alive.store(false, Ordering::SeqCst);
        let _ = self.directory.crash();
        // Dropping a machine now would let it do what a killed process cannot do.
        self.dead.append(&mut self.parts);
        self.commands.clear();
        self.stop_global = None;
        self.shared = None;
    }

    /// The disk is gone too.
    pub(super) fn wipe(&mut self, number: usize) {
        self.directory = StateDirectory::in_memory_as(Uuid::from_u128(number as u128 + 1));
    }

    pub(super) fn stop(&mut self, now: Instant) {
        let deadline = now + STOP_MAX;
        self.exits_at = Some(deadline);
        for commands in &self.commands {
            commands.send(ThreadCommand::Stop { deadline, leave_group: true });
        }
        if let Some(stop) = &self.stop_global {
            stop.send(());
        }
    }

    /// The state of the application, if the process lives.
    pub(super) fn state(&self) -> Option<State> {
        self.shared.as_ref().map(|shared| shared.state())
    }

    /// Whether its global stores have everything before `end_of` each partition.
    pub(super) fn has_read_globals(&self, end_of: impl Fn(&str, i32) -> i64) -> bool {
        self.parts.iter().all(|part| match &part.machine {
            Machine::Global(global) => global.has_read(&end_of),
            _ => true,
        })
    }

    /// Whoever has ended lets go of what it has read.
    pub(super) fn release_globals(&self) {
        if let Some(shared) = &self.shared {
            shared.release_globals();
        }
    }

    pub(super) fn applied_offset(
        &self,
        (subtopology, partition): (u32, i32),
        store: &str,
    ) -> Option<i64> {
        let task = TaskKey { subtopology, partition };
        let metadata = self.directory.store_metadata(task, store).ok().flatten();
        metadata.map(|metadata| metadata.next_offset)
    }

    /// Whether its threads have ended, and its members have left or there is no time for it.
    pub(super) fn has_ended(&self, now: Instant) -> bool {
        let is_late = self.exits_at.is_some_and(|at| at <= now);
        let goes_on = |part: &Part| {
            part.is_at_work() && !(is_late && matches!(part.machine, Machine::Member(_)))
        };
        !self.parts.iter().any(goes_on)
    }

    pub(super) fn flush_store(&self, spec: &StoreSpec) {
        let _ = self.directory.flush_store(spec);
    }

    pub(super) fn flush_disk(&self) {
        let _ = self.directory.flush_all();
    }
}
