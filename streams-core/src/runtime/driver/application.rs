//! One application on operating system threads: a thread per stream thread, one for all
//! memberships, one that restores, one that writes state.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::io_runtime::IoRuntime;
use super::notifier::Notifier;
use super::threads::spawn;
use crate::client::{ClientSupplier, KafkaClients, WakeRef};
use crate::config::{ResolvedConfig, State};
use crate::error::StreamsError;
use crate::membership::{Member, NextStep};
use crate::reaction::ThreadReaction;
use crate::runtime::global_part::GlobalPart;
use crate::runtime::instance::{Instance, InstanceShared, InstanceWakes, stream_thread};
use crate::runtime::mailbox::{Mailbox, Postbox};
use crate::runtime::restorer::Restorer;
use crate::runtime::state::StateCell;
use crate::runtime::step::Next;
use crate::runtime::store_worker::{StoreWorker, WorkerRequest};
use crate::runtime::stream_thread::{RestorePostboxes, StreamThread, ThreadCommand};
use crate::time::{ClockRef, Instant};
use crate::topology::Topology;

/// An application that runs.
pub struct Application {
    inner: Arc<Inner>,
}

struct Inner {
    /// Lives as long as any thread: a last commit needs its connections.
    io: IoRuntime,
    shared: Arc<InstanceShared>,
    clients: Arc<dyn ClientSupplier>,
    /// Of each stream thread that lives or is being replaced.
    commands: Mutex<Vec<Postbox<ThreadCommand>>>,
    new_members: Postbox<MemberCommand>,
    member_wake: WakeRef,
    restores: RestorePostboxes,
    worker: Postbox<WorkerRequest>,
    stop_restorer: Postbox<()>,
    stop_worker: Postbox<()>,
    stop_global: Option<Postbox<()>>,
    /// Stream threads that live, and what feeds the global stores.
    threads: AtomicUsize,
    /// All threads that live.
    parts: AtomicUsize,
    failure: Mutex<Option<StreamsError>>,
}

enum MemberCommand {
    Add(Box<Member>),
    /// No stream thread lives any more.
    End,
}

impl Application {
    /// Makes the parts and starts their threads.
    ///
    /// # Errors
    /// What the configuration or the state directory lacks.
    pub fn start(
        topology: Topology,
        config: ResolvedConfig,
        clock: ClockRef,
    ) -> Result<Self, StreamsError> {
        let io = IoRuntime::new().map_err(|error| thread_error(&error))?;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let clients = clients(&config, &io)?;
        let shared = InstanceShared::new(topology, config, clock, None)?;
        let notifiers: Vec<_> = (0..shared.thread_count()).map(|_| Notifier::new()).collect();
        let (members, restorer, worker) = (Notifier::new(), Notifier::new(), Notifier::new());
        let global = Notifier::new();
        let wakes = InstanceWakes {
            threads: notifiers.iter().map(|notifier| notifier.clone() as WakeRef).collect(),
            members: notifiers.iter().map(|_| members.clone() as WakeRef).collect(),
            restorer: restorer.clone(),
            worker: worker.clone(),
            global: global.clone(),
        };
        let instance = Instance::new(shared.clone(), &clients, &wakes)?;
        let new_members = Mailbox::new(members.clone());
        let processing = instance.threads.len() + usize::from(instance.global.is_some());
        let inner = Arc::new(Inner {
            io,
            clients,
            commands: Mutex::new(instance.threads.iter().map(StreamThread::commands).collect()),
            new_members: new_members.postbox(),
            member_wake: members.clone(),
            restores: RestorePostboxes {
                jobs: instance.restorer.jobs(),
                cancels: instance.restorer.cancels(),
            },
            worker: instance.worker.requests(),
            stop_restorer: instance.restorer.stopper(),
            stop_worker: instance.worker.stopper(),
            stop_global: instance.global.as_ref().map(GlobalPart::stopper),
            threads: AtomicUsize::new(processing),
            parts: AtomicUsize::new(processing + 3),
            failure: Mutex::new(None),
            shared,
        });
        let Instance {
            threads,
            members: machines,
            restorer: restoring,
            worker: writing,
            global: feeding,
            ..
        } = instance;
        inner.shared.states.set(State::Rebalancing);
        inner.spawn_worker(writing, worker)?;
        inner.spawn_restorer(restoring, restorer)?;
        inner.spawn_members(machines, new_members, members)?;
        if let Some(feeding) = feeding {
            inner.spawn_global_part(feeding, global)?;
        }
        for (thread, notifier) in threads.into_iter().zip(notifiers) {
            inner.spawn_stream_thread(thread, notifier)?;
        }
        Ok(Self { inner })
    }

    /// The application's state.
    pub fn states(&self) -> &StateCell {
        &self.inner.shared.states
    }

    /// Asks all threads to stop. The states tell when they have.
    pub fn stop(&self, timeout: Duration, leave_group: bool) {
        self.states().set(State::PendingShutdown);
        self.inner.stop(timeout, leave_group);
    }

    /// Stops or resumes processing.
    pub fn pause(&self, pause: bool) {
        for commands in self.inner.commands().iter() {
            commands.send(if pause { ThreadCommand::Pause } else { ThreadCommand::Resume });
        }
    }

    /// What it failed with, once.
    pub fn take_failure(&self) -> Option<StreamsError> {
        self.inner.failure().take()
    }

    /// Ready when the process is asked to stop.
    pub fn stop_signal(&self) -> impl Future<Output = ()> + use<> {
        self.inner.io.stop_signal()
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.stop(Duration::from_secs(30), true);
    }
}

impl Inner {
    fn stop(&self, timeout: Duration, leave_group: bool) {
        let deadline = self.shared.clock.now() + timeout;
        for commands in self.commands().iter() {
            commands.send(ThreadCommand::Stop { deadline, leave_group });
        }
        if let Some(stop) = &self.stop_global {
            stop.send(());
        }
    }

    fn spawn_stream_thread(
        self: &Arc<Self>,
        mut thread: StreamThread,
        notifier: Arc<Notifier>,
    ) -> Result<(), StreamsError> {
        let (inner, panicked) = (self.clone(), self.clone());
        let (index, name) = (thread.index(), thread.name().to_owned());
        let mut running = Some(move |now| thread.step(now));
        let step = move |now| {
            let Some(step) = running.as_mut() else { return Next::Done };
            match step(now) {
                Ok(Next::Done) => {
                    running = None;
                    inner.thread_ended();
                    Next::Done
                }
                Ok(next) => next,
                Err(error) => {
                    running = None;
                    inner.thread_failed(index, error);
                    Next::Done
                }
            }
        };
        let on_panic = move |message| {
            let error = StreamsError::fatal(format!("a stream thread panicked: {message}"));
            panicked.thread_failed(index, error);
        };
        let clock = self.shared.clock.clone();
        spawn(name, notifier, clock, step, on_panic).map(drop).map_err(|e| thread_error(&e))
    }

    fn thread_failed(self: &Arc<Self>, index: usize, error: StreamsError) {
        let name = self.shared.thread_name(index);
        tracing::error!(thread = %name, error = ?error, "a stream thread has died");
        let reaction = (self.shared.config.handlers.thread)(&error);
        if reaction == ThreadReaction::ReplaceThread
            && self.shared.states.get() != State::PendingShutdown
        {
            match self.replace_thread(index) {
                Ok(()) => return,
                Err(error) => tracing::error!(thread = %name, %error, "it cannot be replaced"),
            }
        }
        self.fail(error);
        self.thread_ended();
    }

    fn fail(&self, error: StreamsError) {
        self.failure().get_or_insert(error);
        self.shared.states.set(State::PendingError);
        self.stop(Duration::from_secs(10), true);
    }

    /// Nobody can take the place of what feeds the global stores: whatever the handler says, the
    /// instance ends.
    fn spawn_global_part(
        self: &Arc<Self>,
        part: GlobalPart,
        notifier: Arc<Notifier>,
    ) -> Result<(), StreamsError> {
        let (inner, panicked) = (self.clone(), self.clone());
        let name = part.name().to_owned();
        let mut running = Some(part);
        let step = move |now| {
            let Some(part) = running.as_mut() else { return Next::Done };
            match part.step(now) {
                Ok(Next::Done) => {
                    running = None;
                    inner.thread_ended();
                    Next::Done
                }
                Ok(next) => next,
                Err(error) => {
                    running = None;
                    inner.global_part_failed(error);
                    Next::Done
                }
            }
        };
        let on_panic = move |message| {
            let message = format!("what feeds the global stores panicked: {message}");
            panicked.global_part_failed(StreamsError::fatal(message));
        };
        let clock = self.shared.clock.clone();
        spawn(name, notifier, clock, step, on_panic).map(drop).map_err(|e| thread_error(&e))
    }

    fn global_part_failed(&self, error: StreamsError) {
        tracing::error!(error = ?error, "the global stores cannot be fed any more");
        let _ = (self.shared.config.handlers.thread)(&error);
        self.fail(error);
        self.thread_ended();
    }

    fn replace_thread(self: &Arc<Self>, index: usize) -> Result<(), StreamsError> {
        let notifier = Notifier::new();
        let wake: WakeRef = notifier.clone();
        let (thread, member) = stream_thread(
            &self.shared,
            &self.clients,
            index,
            (&wake, &self.member_wake),
            (self.restores.clone(), self.worker.clone()),
        )?;
        self.commands()[index] = thread.commands();
        self.new_members.send(MemberCommand::Add(Box::new(member)));
        self.spawn_stream_thread(thread, notifier)
    }

    fn thread_ended(&self) {
        if self.threads.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.new_members.send(MemberCommand::End);
            self.stop_restorer.send(());
            self.stop_worker.send(());
        }
        self.part_ended();
    }

    /// The last one closes the state directory and tells the world.
    fn part_ended(&self) {
        if self.parts.fetch_sub(1, Ordering::SeqCst) > 1 {
            return;
        }
        self.shared.close_directory();
        self.shared.states.set(match self.shared.states.get() {
            State::PendingError => State::Error,
            _ => State::NotRunning,
        });
    }

    fn spawn_members(
        self: &Arc<Self>,
        mut members: Vec<Member>,
        commands: Mailbox<MemberCommand>,
        notifier: Arc<Notifier>,
    ) -> Result<(), StreamsError> {
        let mut ending = false;
        let step = move |now: Instant| {
            while let Some(command) = commands.take() {
                match command {
                    MemberCommand::Add(member) => members.push(*member),
                    MemberCommand::End => ending = true,
                }
            }
            let next = members.iter_mut().fold(Next::Wait, |next, member| {
                next.earliest(match member.step(now) {
                    NextStep::Ready => Next::Ready,
                    NextStep::At(at) => Next::WaitUntil(at),
                    NextStep::OnWake => Next::Wait,
                })
            });
            members.retain(|member| !member.is_ended());
            if ending && members.is_empty() { Next::Done } else { next }
        };
        self.spawn_part("streams-membership", notifier, step)
    }

    fn spawn_restorer(
        self: &Arc<Self>,
        mut restorer: Restorer,
        notifier: Arc<Notifier>,
    ) -> Result<(), StreamsError> {
        self.spawn_part("streams-restore", notifier, move |now| restorer.step(now))
    }

    fn spawn_worker(
        self: &Arc<Self>,
        mut worker: StoreWorker,
        notifier: Arc<Notifier>,
    ) -> Result<(), StreamsError> {
        self.spawn_part("streams-state", notifier, move |now| worker.step(now))
    }

    fn spawn_part(
        self: &Arc<Self>,
        name: &str,
        notifier: Arc<Notifier>,
        step: impl FnMut(Instant) -> Next + Send + 'static,
    ) -> Result<(), StreamsError> {
        let ended = self.clone();
        let mut running = Some(step);
        let step = move |now| {
            let Some(step) = running.as_mut() else { return Next::Done };
            let next = step(now);
            if next == Next::Done {
                running = None;
                ended.part_ended();
            }
            next
        };
        let (inner, part) = (self.clone(), name.to_owned());
        let on_panic = move |message| {
            let error = StreamsError::fatal(format!("{part} panicked: {message}"));
            tracing::error!(error = ?error, "a thread of the library has died");
            inner.fail(error);
            inner.part_ended();
        };
        let clock = self.shared.clock.clone();
        spawn(name.to_owned(), notifier, clock, step, on_panic)
            .map(drop)
            .map_err(|error| thread_error(&error))
    }

    // No foreign code runs under these locks.
    fn commands(&self) -> MutexGuard<'_, Vec<Postbox<ThreadCommand>>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self) -> MutexGuard<'_, Option<StreamsError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn clients(
    config: &ResolvedConfig,
    io: &IoRuntime,
) -> Result<Arc<dyn ClientSupplier>, StreamsError> {
    if let Some(clients) = &config.client {
        return Ok(clients.clone());
    }
    let clients = KafkaClients::new(config, io.handle()).map_err(|error| {
        StreamsError::from_client(error, "make the clients", &config.bootstrap_servers)
    })?;
    Ok(Arc::new(clients))
}

fn thread_error(error: &std::io::Error) -> StreamsError {
    StreamsError::fatal(format!("cannot start a thread: {error}"))
}
