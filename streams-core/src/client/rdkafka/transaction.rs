//! Transactions: the blocking calls of librdkafka, and what their errors mean for the outcome.
//!
//! Whether a failed commit is known not to have happened is decided by what was on the wire: the
//! requests that end the transaction (EndTxn) are counted when they are sent and when they are
//! answered. None sent: it did not happen. One sent and refused by the broker: it did not happen.
//! Everything else, as a second attempt whose first answer was lost, is unknown: the first one may
//! have been obeyed.

use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rdkafka_sys as sys;
use sys::rd_kafka_resp_err_t as Code;

use super::connection::Trouble;
use super::errors::{self, NativeError};
use super::native::{self, Client, Conf, PartitionList};
use crate::client::error::{ClientError, ClientErrorKind};
use crate::client::seam::{CommitOutcome, GroupMetadata, OffsetToCommit};
use crate::runtime::{CommitStep, CommitSteps};
use crate::time::{Clock, Instant, SystemClock};

/// One blocking call lasts at most this long, then goes on where it was: so a producer that is
/// dropped does not keep its thread.
const SLICE: Duration = Duration::from_millis(500);
/// Fencing an earlier producer waits for the end of its transaction.
const INIT_DEADLINE: Duration = Duration::from_secs(60);
const END_TXN: i16 = 26;

/// The transactions of one producer. Lives on the thread that makes its blocking calls.
pub(super) struct Transactions {
    client: Arc<Client>,
    wire: Arc<EndTxnCount>,
    stop: Arc<AtomicBool>,
    trouble: Arc<Trouble>,
    timeout: Duration,
    id: String,
    // A commit passed its offsets and may have been sent: offsets must not be added any more.
    ending: bool,
}

impl Transactions {
    pub(super) fn new(
        client: Arc<Client>,
        wire: Arc<EndTxnCount>,
        stop: Arc<AtomicBool>,
        trouble: Arc<Trouble>,
        timeout: Duration,
        id: &str,
    ) -> Self {
        Self { client, wire, stop, trouble, timeout, id: id.to_owned(), ending: false }
    }

    pub(super) fn init(&mut self) -> Result<(), ClientError> {
        let rk = self.client.as_ptr();
        // A trouble of before counts too: nothing was connected successfully yet.
        let (mut seen, mut trouble) = (0, None);
        let result = self.repeat(INIT_DEADLINE, |ms| {
            // Without a connection librdkafka looks for the coordinator half a second later.
            wait_for_broker(&self.client, ms);
            // SAFETY: the instance is live; the error is ours.
            let result = unsafe { NativeError::take(sys::rd_kafka_init_transactions(rk, ms)) };
            trouble = self.trouble.newer_than(&mut seen);
            result.map_err(|error| NativeError {
                retriable: error.retriable && trouble.is_none(),
                ..error
            })
        });
        self.ending &= result.is_err();
        result.map_err(|error| {
            trouble.unwrap_or_else(|| {
                error.into_client_error(&format!("taking the transactional id {}", self.id))
            })
        })
    }

    pub(super) fn commit(
        &mut self,
        offsets: &[OffsetToCommit],
        group: &GroupMetadata,
    ) -> CommitOutcome {
        if !self.ending {
            if let Err(outcome) = self.add_offsets(offsets, group) {
                return outcome;
            }
            self.wire.reset();
            self.ending = true;
            self.wire.steps.reached(CommitStep::PositionsAdded);
        }
        let rk = self.client.as_ptr();
        // SAFETY: the instance is live; the error is ours.
        let result = self.repeat(self.timeout, |ms| unsafe {
            NativeError::take(sys::rd_kafka_commit_transaction(rk, ms))
        });
        match result {
            Ok(()) => {
                self.ending = false;
                CommitOutcome::Committed
            }
            Err(error) => self.failed_commit(error),
        }
    }

    pub(super) fn abort(&mut self) -> Result<(), ClientError> {
        let rk = self.client.as_ptr();
        // SAFETY: the instance is live; the error is ours.
        let result = self.repeat(self.timeout, |ms| unsafe {
            NativeError::take(sys::rd_kafka_abort_transaction(rk, ms))
        });
        self.ending &= result.is_err();
        result.map_err(|error| error.into_client_error("aborting a transaction"))
    }

    /// Nothing that fails here was committed: the end of the transaction was not sent yet.
    fn add_offsets(
        &self,
        offsets: &[OffsetToCommit],
        group: &GroupMetadata,
    ) -> Result<(), CommitOutcome> {
        let list = offset_list(offsets).map_err(CommitOutcome::Aborted)?;
        let metadata = NativeGroup::new(group).map_err(CommitOutcome::Aborted)?;
        let rk = self.client.as_ptr();
        // SAFETY: instance, list and group are live; the error is ours.
        let result = self.repeat(self.timeout, |ms| unsafe {
            NativeError::take(sys::rd_kafka_send_offsets_to_transaction(
                rk,
                list.as_ptr(),
                metadata.0,
                ms,
            ))
        });
        result.map_err(|error| {
            let fatal = error.fatal;
            let error = error.into_client_error("adding offsets to a transaction");
            if fatal { CommitOutcome::Fatal(error) } else { CommitOutcome::Aborted(error) }
        })
    }

    fn failed_commit(&mut self, error: NativeError) -> CommitOutcome {
        let (fatal, abort) = (error.fatal, error.requires_abort);
        let happened_not = match self.wire.seen() {
            (0, _) => true,
            // An answer is seen twice, on its way through librdkafka's threads.
            (1, 1..) => is_refusal(error.code),
            _ => false,
        };
        let error = error.into_client_error("committing a transaction");
        if !happened_not || !(fatal || abort) {
            return CommitOutcome::Unknown(error);
        }
        self.ending = false;
        if fatal { CommitOutcome::Fatal(error) } else { CommitOutcome::Aborted(error) }
    }

    /// Repeats a call that can be resumed, until it has an answer or the deadline is over.
    fn repeat(
        &self,
        deadline: Duration,
        mut call: impl FnMut(c_int) -> Result<(), NativeError>,
    ) -> Result<(), NativeError> {
        let end: Instant = SystemClock.now() + deadline;
        loop {
            let left = end.since(SystemClock.now());
            let slice = left.min(SLICE).max(Duration::from_millis(1));
            match call(slice.as_millis() as c_int) {
                Err(error)
                    if error.retriable
                        && !error.fatal
                        && !error.requires_abort
                        && left > SLICE
                        && !self.stop.load(Ordering::Acquire) => {}
                result => return result,
            }
        }
    }
}

/// Returns when some broker has answered, or when the time is over.
fn wait_for_broker(client: &Client, ms: c_int) {
    let mut answer: *const sys::rd_kafka_metadata_t = ptr::null();
    // SAFETY: the instance is live; no topic is asked for; the answer is ours, destroyed once.
    unsafe {
        let code =
            native::rd_kafka_metadata(client.as_ptr(), 0, ptr::null_mut(), &raw mut answer, ms);
        if code == 0 && !answer.is_null() {
            sys::rd_kafka_metadata_destroy(answer);
        }
    }
}

/// Begins a transaction. Local, so it runs on the caller's thread.
pub(super) fn begin(client: &Client) -> Result<(), ClientError> {
    // SAFETY: the instance is live; the error is ours.
    let result = unsafe { NativeError::take(sys::rd_kafka_begin_transaction(client.as_ptr())) };
    result.map_err(|error| error.into_client_error("beginning a transaction"))
}

/// A broker that answers so has not ended the transaction. Others, as "unknown server error", say
/// nothing.
fn is_refusal(code: i32) -> bool {
    [
        Code::RD_KAFKA_RESP_ERR__FENCED,
        Code::RD_KAFKA_RESP_ERR_PRODUCER_FENCED,
        Code::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
        Code::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING,
        Code::RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,
        Code::RD_KAFKA_RESP_ERR_INVALID_TXN_STATE,
        Code::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        Code::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
    ]
    .into_iter()
    .any(|refusal| errors::is(code, refusal))
}

fn offset_list(offsets: &[OffsetToCommit]) -> Result<PartitionList, ClientError> {
    let mut list = PartitionList::with_capacity(offsets.len());
    for commit in offsets {
        let topic = native::c_string(&commit.partition.topic, "the name of a topic")?;
        let entry = list.add(&topic, commit.partition.partition);
        entry.offset = commit.offset;
        if !commit.metadata.is_empty() {
            // SAFETY: librdkafka frees the copy with the list, by the same allocator.
            unsafe { copy_metadata(entry, commit.metadata.as_bytes()) };
        }
        if commit.leader_epoch >= 0 {
            // SAFETY: the entry is live.
            unsafe { sys::rd_kafka_topic_partition_set_leader_epoch(entry, commit.leader_epoch) };
        }
    }
    Ok(list)
}

/// # Safety
/// The entry has no metadata yet.
unsafe fn copy_metadata(entry: &mut sys::rd_kafka_topic_partition_t, metadata: &[u8]) {
    // SAFETY: the memory has the size that is copied into it. A null pointer is not written to.
    unsafe {
        let copy = sys::rd_kafka_mem_malloc(ptr::null_mut(), metadata.len()).cast::<u8>();
        if !copy.is_null() {
            ptr::copy_nonoverlapping(metadata.as_ptr(), copy, metadata.len());
            entry.metadata = copy.cast();
            entry.metadata_size = metadata.len();
        }
    }
}

/// librdkafka's form of a member's identity.
struct NativeGroup(*mut sys::rd_kafka_consumer_group_metadata_t);

impl NativeGroup {
    /// A member without id or with a negative generation would be accepted without fencing.
    fn new(group: &GroupMetadata) -> Result<Self, ClientError> {
        if group.member_id.is_empty() || group.generation < 0 {
            let message = format!(
                "group {}: a transaction needs a member id and a generation, or it fences nobody",
                group.group
            );
            return Err(ClientError::new(ClientErrorKind::Invalid, message));
        }
        let name: CString = native::c_string(&group.group, "the name of a group")?;
        let member = native::c_string(&group.member_id, "a member id")?;
        // SAFETY: both strings live through the call, which copies them; no instance id is null.
        let metadata = unsafe {
            sys::rd_kafka_consumer_group_metadata_new_with_genid(
                name.as_ptr(),
                group.generation,
                member.as_ptr(),
                ptr::null(),
            )
        };
        Ok(Self(metadata))
    }
}

impl Drop for NativeGroup {
    fn drop(&mut self) {
        // SAFETY: owned, destroyed once.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.0) };
    }
}

/// The requests that ended a transaction, as they were on the wire.
#[derive(Default)]
pub(super) struct EndTxnCount {
    sent: AtomicU32,
    answered: AtomicU32,
    steps: CommitSteps,
}

impl EndTxnCount {
    pub(super) fn new(steps: CommitSteps) -> Self {
        Self { steps, ..Self::default() }
    }

    /// Counts on the instance that will be made of `conf`, which must keep `self` alive.
    pub(super) fn attach(self: &Arc<Self>, conf: &Conf) {
        // SAFETY: the configuration is live; name and callback are static; the instance keeps the
        // pointer's target alive (the caller's promise).
        unsafe {
            sys::rd_kafka_conf_interceptor_add_on_new(
                conf.as_ptr(),
                NAME.as_ptr(),
                Some(on_new),
                native::opaque(self),
            );
        }
    }

    fn reset(&self) {
        self.sent.store(0, Ordering::Release);
        self.answered.store(0, Ordering::Release);
    }

    fn seen(&self) -> (u32, u32) {
        (self.sent.load(Ordering::Acquire), self.answered.load(Ordering::Acquire))
    }
}

const NAME: &std::ffi::CStr = c"transaction-ends";

unsafe extern "C" fn on_new(
    rk: *mut sys::rd_kafka_t,
    _conf: *const sys::rd_kafka_conf_t,
    count: *mut c_void,
    _text: *mut c_char,
    _text_size: usize,
) -> sys::rd_kafka_resp_err_t {
    // SAFETY: librdkafka passes the new instance; name and callbacks are static.
    unsafe {
        sys::rd_kafka_interceptor_add_on_request_sent(rk, NAME.as_ptr(), Some(on_sent), count);
        sys::rd_kafka_interceptor_add_on_response_received(
            rk,
            NAME.as_ptr(),
            Some(on_answer),
            count,
        )
    }
}

unsafe extern "C" fn on_sent(
    _rk: *mut sys::rd_kafka_t,
    _socket: c_int,
    _broker: *const c_char,
    _broker_id: i32,
    key: i16,
    _version: i16,
    _correlation: i32,
    _size: usize,
    count: *mut c_void,
) -> sys::rd_kafka_resp_err_t {
    if key == END_TXN {
        // SAFETY: the pointer that `attach` gave.
        let count = unsafe { &*count.cast::<EndTxnCount>() };
        count.sent.fetch_add(1, Ordering::AcqRel);
        count.steps.reached(CommitStep::EndSent);
    }
    Code::RD_KAFKA_RESP_ERR_NO_ERROR
}

unsafe extern "C" fn on_answer(
    _rk: *mut sys::rd_kafka_t,
    _socket: c_int,
    _broker: *const c_char,
    _broker_id: i32,
    key: i16,
    _version: i16,
    _correlation: i32,
    _size: usize,
    _rtt: i64,
    error: sys::rd_kafka_resp_err_t,
    count: *mut c_void,
) -> sys::rd_kafka_resp_err_t {
    if key == END_TXN && error == Code::RD_KAFKA_RESP_ERR_NO_ERROR {
        // SAFETY: the pointer that `attach` gave.
        unsafe { &*count.cast::<EndTxnCount>() }.answered.fetch_add(1, Ordering::AcqRel);
    }
    Code::RD_KAFKA_RESP_ERR_NO_ERROR
}
