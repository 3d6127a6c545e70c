//! A mock cluster, clients of it, and ways to wait.

use std::ffi::CString;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rdkafka_sys as sys;

use crate::client::call::{Call, Wake, WakeRef};
use crate::client::error::ClientError;
use crate::client::rdkafka::native::{Client, Conf, Side};
use crate::client::rdkafka::{RdkafkaClients, RdkafkaSettings};
use crate::client::seam::{FetchRole, FetcherOptions, Isolation};
use crate::time::{Clock, SystemClock};

pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// A cluster inside a librdkafka instance.
pub(super) struct Mock {
    cluster: *mut sys::rd_kafka_mock_cluster_t,
    _host: Client,
}

impl Mock {
    pub(super) fn start() -> Self {
        let host = Client::start(Side::Producer, Conf::new(), Arc::new(())).unwrap();
        // SAFETY: the host lives longer than the cluster.
        let cluster = unsafe { sys::rd_kafka_mock_cluster_new(host.as_ptr(), 1) };
        assert!(!cluster.is_null());
        Self { cluster, _host: host }
    }

    pub(super) fn with_topic(self, name: &str, partitions: i32) -> Self {
        let name = CString::new(name).unwrap();
        // SAFETY: the cluster is live, the name is copied.
        let code =
            unsafe { sys::rd_kafka_mock_topic_create(self.cluster, name.as_ptr(), partitions, 1) };
        assert_eq!(code, sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
        self
    }

    /// The next requests of that kind fail.
    pub(super) fn fail(&self, key: i16, errors: &[sys::rd_kafka_resp_err_t]) {
        // SAFETY: the cluster is live, the array has the length that is passed.
        unsafe {
            sys::rd_kafka_mock_push_request_errors_array(
                self.cluster,
                key,
                errors.len(),
                errors.as_ptr(),
            );
        }
    }

    pub(super) fn set_down(&self, down: bool) {
        // SAFETY: the cluster is live, and has a broker 1.
        unsafe {
            if down {
                sys::rd_kafka_mock_broker_set_down(self.cluster, 1);
            } else {
                sys::rd_kafka_mock_broker_set_up(self.cluster, 1);
            }
        }
    }

    pub(super) fn clients(&self) -> RdkafkaClients {
        self.clients_with(&[])
    }

    pub(super) fn clients_with(&self, more: &[(&str, &str)]) -> RdkafkaClients {
        // SAFETY: the cluster is live, the string lives as long.
        let servers = unsafe {
            crate::client::rdkafka::native::text(sys::rd_kafka_mock_cluster_bootstraps(
                self.cluster,
            ))
        };
        let mut settings =
            vec![("bootstrap.servers", servers.as_str()), ("consumer.fetch.wait.max.ms", "5")];
        settings.extend_from_slice(more);
        RdkafkaClients::new(RdkafkaSettings::new(settings).unwrap())
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        // SAFETY: destroyed once, before its host.
        unsafe { sys::rd_kafka_mock_cluster_destroy(self.cluster) };
    }
}

pub(super) fn options() -> FetcherOptions {
    FetcherOptions {
        client_id: "test".to_owned(),
        role: FetchRole::Main,
        isolation: Isolation::ReadUncommitted,
        buffer_bytes_per_partition: 1 << 20,
    }
}

/// Counts wakes, and waits for them.
#[derive(Default)]
pub(super) struct Bell {
    woken: Mutex<bool>,
    condvar: Condvar,
    count: AtomicUsize,
}

impl Bell {
    pub(super) fn new() -> (Arc<Self>, WakeRef) {
        let bell = Arc::new(Self::default());
        (bell.clone(), bell)
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    pub(super) fn wait(&self) {
        let woken = self.woken.lock().unwrap();
        let (mut woken, _) =
            self.condvar.wait_timeout_while(woken, Duration::from_millis(50), |w| !*w).unwrap();
        *woken = false;
    }
}

impl Wake for Bell {
    fn wake(&self) {
        *self.woken.lock().unwrap() = true;
        self.count.fetch_add(1, Ordering::SeqCst);
        self.condvar.notify_all();
    }
}

/// Asks until there is an answer.
pub(super) fn until<T>(bell: &Bell, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = SystemClock.now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(SystemClock.now().since(start) < DEADLINE, "no {what} in time");
        bell.wait();
    }
}

pub(super) fn answer<T>(bell: &Bell, mut call: Call<T>) -> Result<T, ClientError> {
    until(bell, "answer", || call.try_take())
}
