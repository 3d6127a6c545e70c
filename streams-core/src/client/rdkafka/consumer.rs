//! A librdkafka consumer that several fetchers share: partitions are assigned one by one, each
//! with a queue of its own.
//!
//! It is driven through the calls that start and stop single partitions, not through a consumer
//! group's assignment: those need no group id (so no right on a group), never rebalance, and never
//! pause or purge the other partitions when one comes or goes.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::{c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};

use rdkafka_sys as sys;
use sys::rd_kafka_resp_err_t as Code;

use super::config::RdkafkaSettings;
use super::errors;
use super::native::{self, Client, Queue, Side};
use super::ready::ReadySet;
use crate::client::error::{ClientError, ClientErrorKind};
use crate::client::seam::{FetcherOptions, TopicPartition};

/// How long one wait for events lasts; dropping the consumer interrupts it.
const EVENTS_WAIT_MS: c_int = 1000;

/// The consumers of one kind of options. A partition can be read once per consumer; when two
/// fetchers of the process read the same one (a restore beside a main reader), there are two.
pub(super) struct ConsumerPool {
    settings: Arc<RdkafkaSettings>,
    options: FetcherOptions,
    consumers: Mutex<Vec<Weak<SharedConsumer>>>,
}

impl ConsumerPool {
    pub(super) fn new(settings: Arc<RdkafkaSettings>, options: FetcherOptions) -> Self {
        Self { settings, options, consumers: Mutex::default() }
    }

    pub(super) fn options(&self) -> &FetcherOptions {
        &self.options
    }

    /// A consumer that lives; made if there is none.
    pub(super) fn any(&self) -> Result<Arc<SharedConsumer>, ClientError> {
        let mut consumers = lock(&self.consumers);
        match consumers.iter().find_map(Weak::upgrade) {
            Some(consumer) => Ok(consumer),
            None => self.start(&mut consumers),
        }
    }

    /// A consumer on which nobody reads that partition.
    pub(super) fn claim(&self, partition: &TopicPartition) -> Result<Claim, ClientError> {
        let mut consumers = lock(&self.consumers);
        let free = consumers.iter().filter_map(Weak::upgrade).find_map(|it| it.claim(partition));
        if let Some(claim) = free {
            return Ok(claim);
        }
        let consumer = self.start(&mut consumers)?;
        Ok(consumer.claim(partition).expect("nobody else knows a consumer that was just made"))
    }

    fn start(
        &self,
        consumers: &mut Vec<Weak<SharedConsumer>>,
    ) -> Result<Arc<SharedConsumer>, ClientError> {
        let consumer = SharedConsumer::start(&self.settings, &self.options)?;
        consumers.retain(|consumer| consumer.strong_count() > 0);
        consumers.push(Arc::downgrade(&consumer));
        Ok(consumer)
    }
}

/// A partition that nobody else reads on this consumer, until this is dropped.
pub(super) struct Claim {
    pub(super) consumer: Arc<SharedConsumer>,
    pub(super) partition: TopicPartition,
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.consumer.claimed).remove(&self.partition);
    }
}

/// One librdkafka consumer and the thread that serves its events.
pub(super) struct SharedConsumer {
    client: Arc<Client>,
    troubles: Arc<Troubles>,
    claimed: Mutex<BTreeSet<TopicPartition>>,
    events: Arc<Queue>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SharedConsumer {
    fn start(
        settings: &RdkafkaSettings,
        options: &FetcherOptions,
    ) -> Result<Arc<Self>, ClientError> {
        let troubles = Arc::new(Troubles::default());
        let conf = settings.consumer(options)?;
        // SAFETY: `conf` is live; the pointer stays good, because the instance keeps `troubles`.
        unsafe {
            sys::rd_kafka_conf_set_opaque(conf.as_ptr(), native::opaque(&troubles));
            sys::rd_kafka_conf_set_error_cb(conf.as_ptr(), Some(on_error));
        }
        let client = Arc::new(Client::start(Side::Consumer, conf, troubles.clone())?);
        let events = Arc::new(Queue::main(&client));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = serve_events(client.clone(), stop.clone())?;
        Ok(Arc::new(Self {
            client,
            troubles,
            claimed: Mutex::default(),
            events,
            stop,
            thread: Some(thread),
        }))
    }

    pub(super) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Tells `ready` of troubles that no partition is to blame for.
    pub(super) fn listen(&self, ready: &Arc<ReadySet>) {
        let mut listeners = lock(&self.troubles.listeners);
        listeners.retain(|listener| listener.strong_count() > 0);
        if !listeners.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(ready))) {
            listeners.push(Arc::downgrade(ready));
        }
    }

    fn claim(self: Arc<Self>, partition: &TopicPartition) -> Option<Claim> {
        let free = lock(&self.claimed).insert(partition.clone());
        free.then(|| Claim { partition: partition.clone(), consumer: self })
    }
}

impl Drop for SharedConsumer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.events.interrupt();
        if let Some(thread) = self.thread.take() {
            // It panics nowhere, and there would be nothing to do about it.
            let _ = thread.join();
        }
    }
}

/// Serves what librdkafka tells about the consumer as a whole: errors, authentication callbacks.
#[allow(clippy::disallowed_methods, reason = "librdkafka's own driver")]
fn serve_events(client: Arc<Client>, stop: Arc<AtomicBool>) -> Result<JoinHandle<()>, ClientError> {
    let serve = move || {
        while !stop.load(Ordering::Acquire) {
            // SAFETY: the instance is live as long as `client`.
            unsafe { sys::rd_kafka_poll(client.as_ptr(), EVENTS_WAIT_MS) };
        }
    };
    #[allow(clippy::disallowed_methods, reason = "drives librdkafka, whose calls block")]
    let thread = thread::Builder::new().name("kafka-fetch".to_owned()).spawn(serve);
    thread.map_err(cannot_spawn)
}

pub(super) fn cannot_spawn(error: std::io::Error) -> ClientError {
    ClientError::new(ClientErrorKind::Fatal, format!("cannot start a client thread: {error}"))
}

/// Errors of the consumer as a whole, on their way to its fetchers.
#[derive(Default)]
struct Troubles {
    listeners: Mutex<Vec<Weak<ReadySet>>>,
}

impl Troubles {
    fn tell(&self, error: &ClientError) {
        let listeners: Vec<_> = lock(&self.listeners).iter().filter_map(Weak::upgrade).collect();
        for listener in listeners {
            listener.trouble(error.clone());
        }
    }
}

thread_local! {
    /// Errors that a partition's queue holds come through the callback, on the thread that reads
    /// the queue, while it reads it: they are caught here.
    static CAUGHT: RefCell<Option<Vec<(i32, String)>>> = const { RefCell::new(None) };
}

/// Runs `read`, and gives the errors that came through the callback meanwhile.
pub(super) fn catch_errors<T>(read: impl FnOnce() -> T) -> (T, Vec<(i32, String)>) {
    CAUGHT.with_borrow_mut(|caught| *caught = Some(Vec::new()));
    let result = read();
    let caught = CAUGHT.with_borrow_mut(Option::take);
    (result, caught.unwrap_or_default())
}

unsafe extern "C" fn on_error(
    rk: *mut sys::rd_kafka_t,
    code: c_int,
    text: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: librdkafka passes a string that ends in zero.
    let text = unsafe { native::text(text) };
    let text = CAUGHT.with_borrow_mut(|caught| match caught {
        Some(caught) => {
            caught.push((code, text));
            None
        }
        None => Some(text),
    });
    let Some(text) = text else { return };
    // SAFETY: the pointer is what `start` set, and the instance keeps it alive.
    let troubles = unsafe { &*opaque.cast::<Troubles>() };
    if let Some(error) = trouble(rk, code, &text) {
        troubles.tell(&error);
    }
}

/// Which errors of an instance concern its users; single connections come and go by themselves.
pub(super) fn trouble(rk: *mut sys::rd_kafka_t, code: i32, text: &str) -> Option<ClientError> {
    if errors::is(code, Code::RD_KAFKA_RESP_ERR__FATAL) {
        let mut buffer = [0 as c_char; 512];
        // SAFETY: called from a callback or thread of the live instance; the size is right.
        let code = unsafe { native::rd_kafka_fatal_error(rk, buffer.as_mut_ptr(), buffer.len()) };
        return Some(errors::fatal(code, text));
    }
    let concerns = errors::is(code, Code::RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        || errors::kind(code) == ClientErrorKind::Authentication;
    if !concerns {
        tracing::debug!(target: "librdkafka", code, "{text}");
    }
    concerns.then(|| errors::with_text(code, "kafka", text))
}

// No holder of these locks can panic in between, so a poisoned lock guards a whole value.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
