//! A librdkafka producer that one or several handles share, and its two threads: one serves
//! events (delivery reports, errors, answers), one makes the calls that block (flush,
//! transactions).

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use rdkafka_sys as sys;

use super::config::{RdkafkaSettings, transaction_timeout};
use super::consumer::{cannot_spawn, lock, trouble};
use super::delivery::{Deliveries, HandleId, Ticket};
use super::native::{self, Client, Queue, Side};
use super::partitions::{PartitionCounts, REFRESH_AFTER};
use super::transaction::{EndTxnCount, Transactions};
use crate::client::call::{Reply, WakeRef};
use crate::client::error::{ClientError, ClientErrorKind};
use crate::client::seam::{CommitOutcome, GroupMetadata, OffsetToCommit, ProducerOptions};
use crate::runtime::CommitSteps;
use crate::time::{Clock, SystemClock};

/// How long one wait for events lasts; dropping the connection interrupts it.
const EVENTS_WAIT_MS: c_int = 1000;
/// `linger.ms` is ignored only while a flush runs; then it looks whether somebody still waits.
const FLUSH_SLICE_MS: c_int = 20;
/// A full queue is looked at again at least so often.
const SPACE_WAIT: Duration = Duration::from_millis(20);
/// How long a dropped connection waits for its threads, and how often it looks.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
const CLOSE_POLL: Duration = Duration::from_millis(5);
/// Delivery reports taken at a time.
const REPORTS: usize = 512;

/// A call for the thread that may block.
pub(super) enum Command {
    Flush,
    /// Learn a topic's partition count.
    LookUp(Arc<str>),
    /// Learn all counts anew, if they are due.
    Refresh,
    Init(Reply<()>),
    Commit(Vec<OffsetToCommit>, GroupMetadata, Reply<CommitOutcome>),
    Abort(Reply<()>),
}

/// One librdkafka producer and its threads.
pub(super) struct Connection {
    shared: Arc<Shared>,
    transactional: bool,
    commands: Option<Sender<Command>>,
    threads: Vec<JoinHandle<()>>,
}

/// What handles and threads share.
pub(super) struct Shared {
    client: Arc<Client>,
    events: Queue,
    counts: PartitionCounts,
    handles: Mutex<HashMap<HandleId, Arc<Deliveries>, FixedState>>,
    next_handle: AtomicU32,
    flushes_open: Arc<AtomicUsize>,
    space: (Mutex<()>, Condvar),
    stop: Arc<AtomicBool>,
    trouble: Arc<Trouble>,
    dead: Mutex<Option<ClientError>>,
}

/// An error that waiting does not cure, as wrong credentials. Troubles are numbered: each handle
/// tells each of them once, and who waits gives up at the next one.
#[derive(Default)]
pub(super) struct Trouble {
    number: AtomicU64,
    error: Mutex<Option<ClientError>>,
}

impl Trouble {
    fn tell(&self, error: ClientError) {
        *lock(&self.error) = Some(error);
        self.number.fetch_add(1, Ordering::AcqRel);
    }

    /// The latest one, if it is newer than `seen`.
    #[inline]
    pub(super) fn newer_than(&self, seen: &mut u64) -> Option<ClientError> {
        let newest = self.number.load(Ordering::Acquire);
        if newest == *seen {
            return None;
        }
        *seen = newest;
        lock(&self.error).clone()
    }
}

impl Connection {
    pub(super) fn start(
        settings: &RdkafkaSettings,
        options: &ProducerOptions,
        steps: &CommitSteps,
    ) -> Result<Self, ClientError> {
        let conf = settings.producer(options)?;
        let transactional_id = options.transactional_id.as_deref();
        let timeout = transaction_timeout(&conf);
        let wire = Arc::new(EndTxnCount::new(steps.clone()));
        if transactional_id.is_some() {
            wire.attach(&conf);
        }
        let events = sys::RD_KAFKA_EVENT_DR | sys::RD_KAFKA_EVENT_ERROR;
        // SAFETY: the configuration is live.
        unsafe { sys::rd_kafka_conf_set_events(conf.as_ptr(), events) };
        let client = Arc::new(Client::start(Side::Producer, conf, wire.clone())?);
        let shared = Arc::new(Shared::new(client.clone()));
        let (commands, received) = mpsc::channel();
        let mut connection = Self {
            shared: shared.clone(),
            transactional: transactional_id.is_some(),
            commands: Some(commands),
            threads: Vec::new(),
        };
        let transactions = Transactions::new(
            client,
            wire,
            shared.stop.clone(),
            shared.trouble.clone(),
            timeout,
            transactional_id.unwrap_or_default(),
        );
        let serving = shared.clone();
        connection.spawn("kafka-produce", move || serving.serve_events())?;
        connection.spawn("kafka-calls", move || shared.make_calls(&received, transactions))?;
        Ok(connection)
    }

    #[allow(clippy::disallowed_methods, reason = "librdkafka's own driver")]
    fn spawn(
        &mut self,
        name: &str,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), ClientError> {
        #[allow(clippy::disallowed_methods, reason = "drives librdkafka, whose calls block")]
        let thread = thread::Builder::new().name(name.to_owned()).spawn(body);
        self.threads.push(thread.map_err(cannot_spawn)?);
        Ok(())
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn is_transactional(&self) -> bool {
        self.transactional
    }

    /// Has the call made on the thread that may block. A reply that is dropped says so itself.
    pub(super) fn call(&self, command: Command) {
        if let Some(commands) = &self.commands {
            let _ = commands.send(command);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.commands = None;
        self.shared.events.interrupt();
        let deadline = SystemClock.now() + CLOSE_WAIT;
        for thread in self.threads.drain(..) {
            while !thread.is_finished() && SystemClock.now() < deadline {
                self.shared.wait(CLOSE_POLL);
            }
            // Some calls of librdkafka may never return. The thread closes the instance, if that
            // one does; nobody waits for it.
            if !thread.is_finished() {
                tracing::warn!("a call of librdkafka does not return: its producer is left to it");
                continue;
            }
            // They panic nowhere, and there would be nothing to do about it.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn new(client: Arc<Client>) -> Self {
        Self {
            events: Queue::main(&client),
            client,
            counts: PartitionCounts::new(),
            handles: Mutex::default(),
            next_handle: AtomicU32::new(0),
            flushes_open: Arc::default(),
            space: (Mutex::default(), Condvar::new()),
            stop: Arc::default(),
            trouble: Arc::default(),
            dead: Mutex::default(),
        }
    }

    pub(super) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    pub(super) fn counts(&self) -> &PartitionCounts {
        &self.counts
    }

    pub(super) fn register(&self, wake: WakeRef) -> (HandleId, Arc<Deliveries>) {
        let id = HandleId(self.next_handle.fetch_add(1, Ordering::Relaxed));
        let deliveries = Deliveries::new(wake, self.flushes_open.clone());
        lock(&self.handles).insert(id, deliveries.clone());
        (id, deliveries)
    }

    pub(super) fn deregister(&self, id: HandleId) {
        lock(&self.handles).remove(&id);
    }

    /// Waits until the queue may have space again.
    pub(super) fn wait_for_space(&self) {
        self.wait(SPACE_WAIT);
    }

    /// Waits for the next event, at most so long.
    pub(super) fn wait(&self, at_most: Duration) {
        let guard = lock(&self.space.0);
        let waited = self.space.1.wait_timeout(guard, at_most);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// What only the configuration helps against.
    pub(super) fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    /// What killed the producer, if something did.
    pub(super) fn dead(&self) -> Option<ClientError> {
        lock(&self.dead).clone()
    }

    fn serve_events(&self) {
        let mut reports = [std::ptr::null(); REPORTS];
        while !self.stop.load(Ordering::Acquire) {
            // SAFETY: the queue is live; the event is destroyed below, once.
            let event = unsafe { sys::rd_kafka_queue_poll(self.events.as_ptr(), EVENTS_WAIT_MS) };
            if event.is_null() {
                continue;
            }
            // SAFETY: the event is live and of the type that is asked.
            unsafe {
                match sys::rd_kafka_event_type(event) {
                    sys::RD_KAFKA_EVENT_DR => self.take_reports(event, &mut reports),
                    sys::RD_KAFKA_EVENT_ERROR => self.take_error(event),
                    _ => {}
                }
                sys::rd_kafka_event_destroy(event);
            }
            // Records count as queued until their report is destroyed.
            self.space.1.notify_all();
        }
    }

    /// # Safety
    /// The event is live and of delivery reports.
    unsafe fn take_reports(
        &self,
        event: *mut sys::rd_kafka_event_t,
        reports: &mut [*const sys::rd_kafka_message_t; REPORTS],
    ) {
        loop {
            // SAFETY: the event is live; the array has the size that is passed.
            let count =
                unsafe { sys::rd_kafka_event_message_array(event, reports.as_mut_ptr(), REPORTS) };
            if count == 0 {
                return;
            }
            // SAFETY: reports live as long as their event.
            let handle_of = |report: &*const sys::rd_kafka_message_t| unsafe {
                Ticket::from_opaque((**report)._private).handle
            };
            for run in reports[..count].chunk_by(|a, b| handle_of(a) == handle_of(b)) {
                let handle = lock(&self.handles).get(&handle_of(&run[0])).cloned();
                if let Some(handle) = handle {
                    // SAFETY: live reports of the event.
                    unsafe { handle.report(run) };
                }
            }
        }
    }

    /// # Safety
    /// The event is live and of an error.
    unsafe fn take_error(&self, event: *mut sys::rd_kafka_event_t) {
        // SAFETY: live (the caller's promise).
        let (code, text) = unsafe {
            (
                native::rd_kafka_event_error(event),
                native::text(sys::rd_kafka_event_error_string(event)),
            )
        };
        if let Some(error) = self.client.fatal_error() {
            self.die(&error);
        } else if let Some(error) = trouble(self.client.as_ptr(), code, &text) {
            if error.kind == ClientErrorKind::Retriable {
                // Records wait in the queue for the brokers to come back: nothing to tell.
                tracing::warn!(target: "librdkafka", "{error}");
                return;
            }
            self.trouble.tell(error);
        }
    }

    /// Nothing but a new producer helps: nobody waits for this one any more.
    pub(super) fn die(&self, error: &ClientError) {
        lock(&self.dead).get_or_insert_with(|| error.clone());
        let handles: Vec<_> = lock(&self.handles).values().cloned().collect();
        for handle in handles {
            handle.die(error);
        }
        self.space.1.notify_all();
    }

    fn make_calls(&self, commands: &Receiver<Command>, mut transactions: Transactions) {
        loop {
            let command = match commands.recv_timeout(REFRESH_AFTER) {
                Ok(command) => command,
                Err(RecvTimeoutError::Timeout) => Command::Refresh,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if self.stop.load(Ordering::Acquire) {
                return;
            }
            match command {
                Command::Flush => self.flush(),
                Command::LookUp(topic) => self.counts.look_up(&self.client, &topic),
                Command::Refresh => {}
                Command::Init(reply) => reply.send(transactions.init()),
                Command::Commit(offsets, group, reply) => {
                    reply.send(Ok(transactions.commit(&offsets, &group)));
                }
                Command::Abort(reply) => reply.send(transactions.abort()),
            }
            // After each call, because a busy producer never runs into the timeout.
            self.counts.refresh(&self.client);
        }
    }

    /// Sends what lingers as long as somebody waits; the reports answer who waits.
    fn flush(&self) {
        while self.flushes_open.load(Ordering::Acquire) > 0 && !self.stop.load(Ordering::Acquire) {
            // SAFETY: the instance is live. Reports are events, which the other thread serves, so
            // this only waits.
            unsafe { sys::rd_kafka_flush(self.client.as_ptr(), FLUSH_SLICE_MS) };
        }
    }
}
