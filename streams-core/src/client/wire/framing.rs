//! Requests and answers on one stream: frames, correlation ids, several requests in flight, and a
//! deadline for each.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use kacrab_protocol::frame::{self, MAX_FRAME_LENGTH, RequestFrameSpec};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::super::error::{ClientError, ClientErrorKind};
use super::failure::Failure;
use super::request::Request;

/// A stream to a broker with a reader and a writer. Dropping it closes the stream.
pub(super) struct Line {
    name: Arc<str>,
    client_id: Arc<str>,
    flights: Arc<Flights>,
    outbox: mpsc::UnboundedSender<BytesMut>,
    tasks: [AbortHandle; 2],
}

/// The requests without an answer yet.
struct Flights {
    name: Arc<str>,
    state: Mutex<FlightState>,
}

struct FlightState {
    last_id: i32,
    waiting: HashMap<i32, oneshot::Sender<Answer>, FixedState>,
    /// Why nothing comes any more.
    closed: Option<ClientError>,
}

type Answer = Result<Bytes, ClientError>;

impl Line {
    /// Starts to speak on `stream`; `name` is the broker's address, for messages.
    pub(super) fn open<S>(stream: S, name: Arc<str>, client_id: Arc<str>) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let state = FlightState {
            last_id: 0,
            waiting: HashMap::with_hasher(FixedState::default()),
            closed: None,
        };
        let flights = Arc::new(Flights { name: name.clone(), state: Mutex::new(state) });
        let (reader, writer) = tokio::io::split(stream);
        let (outbox, requests) = mpsc::unbounded_channel();
        let tasks = [
            tokio::spawn(read_answers(reader, flights.clone())).abort_handle(),
            tokio::spawn(write_requests(writer, requests, flights.clone())).abort_handle(),
        ];
        Self { name, client_id, flights, outbox, tasks }
    }

    /// Whether requests can still be sent.
    pub(super) fn is_open(&self) -> bool {
        self.flights.lock().closed.is_none()
    }

    /// Sends a request and waits for its answer: correlation id and all that follows it.
    ///
    /// Without an answer by the deadline the line is closed: the broker answers in order, so that
    /// no later request would fare better.
    pub(super) async fn ask<Q: Request>(
        &self,
        request: &Q,
        version: i16,
        deadline: Instant,
    ) -> Result<Q::Response, Failure> {
        let mut body = self.exchange(request, version, deadline).await?;
        Q::decode(&mut body, version).map_err(|e| self.malformed::<Q>(&e))
    }

    /// As [`ask`](Line::ask), but with the bytes of the answer.
    pub(super) async fn exchange<Q: Request>(
        &self,
        request: &Q,
        version: i16,
        deadline: Instant,
    ) -> Result<Bytes, Failure> {
        let (id, answer) = self.flights.begin().map_err(Failure::of_connection)?;
        let spec = RequestFrameSpec {
            api_key: Q::KEY,
            api_version: version,
            correlation_id: id,
            client_id: &self.client_id,
            capacity_hint: 256,
        };
        let framed = frame::encode_request_frame(spec, |into| request.encode(into, version));
        let framed = framed.map_err(|e| {
            self.flights.forget(id);
            let message = format!("{} cannot be sent as version {version}: {e}", Q::NAME);
            Failure::stop(ClientError::new(ClientErrorKind::Invalid, message))
        })?;
        // A writer that is gone has closed the line, so that the answer is there already.
        let _ = self.outbox.send(framed);
        let bytes = match timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => answer.map_err(Failure::of_connection)?,
            Ok(Err(_)) => return Err(Failure::of_connection(self.flights.reason())),
            Err(_) => {
                let message = format!("{} did not answer {} in time", self.name, Q::NAME);
                self.close(ClientError::retriable(message.clone()));
                return Err(Failure::look_up(ClientError::retriable(message)));
            }
        };
        let envelope = frame::decode_response_envelope(Q::KEY, version, bytes);
        envelope.map(|envelope| envelope.body).map_err(|e| self.malformed::<Q>(&e))
    }

    /// Ends it; what is in flight fails with that error.
    pub(super) fn close(&self, why: ClientError) {
        self.flights.close(why);
        self.tasks.iter().for_each(AbortHandle::abort);
    }

    fn malformed<Q: Request>(&self, error: &dyn std::error::Error) -> Failure {
        let message = format!("{} gave {} a malformed answer: {error}", self.name, Q::NAME);
        self.close(ClientError::retriable(message.clone()));
        Failure::look_up(ClientError::retriable(message))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.close(ClientError::disconnected(format!("the connection to {} was ended", self.name)));
    }
}

impl Flights {
    // No foreign code runs under this lock, so a poisoned one still guards a whole value.
    fn lock(&self) -> MutexGuard<'_, FlightState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> Result<(i32, oneshot::Receiver<Answer>), ClientError> {
        let mut state = self.lock();
        if let Some(why) = &state.closed {
            return Err(why.clone());
        }
        state.last_id = state.last_id.checked_add(1).unwrap_or(1);
        let (sender, receiver) = oneshot::channel();
        let id = state.last_id;
        state.waiting.insert(id, sender);
        Ok((id, receiver))
    }

    fn forget(&self, id: i32) {
        self.lock().waiting.remove(&id);
    }

    /// Hands an answer to whoever waits. A caller that went away meanwhile is no error.
    fn arrive(&self, answer: Bytes) -> Result<(), ClientError> {
        let id = answer.first_chunk().map(|id| i32::from_be_bytes(*id));
        let waiting = id.and_then(|id| self.lock().waiting.remove(&id));
        match waiting {
            Some(waiting) => {
                let _ = waiting.send(Ok(answer));
                Ok(())
            }
            None => Err(ClientError::retriable(format!(
                "{} answered what was not asked; is it a Kafka broker?",
                self.name
            ))),
        }
    }

    /// Fails what is waiting, and all that comes. The first reason is kept.
    fn close(&self, why: ClientError) {
        let waiting = {
            let mut state = self.lock();
            state.closed.get_or_insert_with(|| why.clone());
            std::mem::take(&mut state.waiting)
        };
        for (_, waiting) in waiting {
            let _ = waiting.send(Err(why.clone()));
        }
    }

    fn reason(&self) -> ClientError {
        let closed = self.lock().closed.clone();
        closed.unwrap_or_else(|| {
            ClientError::disconnected(format!("the connection to {} was ended", self.name))
        })
    }
}

async fn read_answers<R: AsyncRead + Unpin>(mut reader: R, flights: Arc<Flights>) {
    loop {
        let arrived = match read_frame(&mut reader, &flights.name).await {
            Ok(answer) => flights.arrive(answer),
            Err(error) => Err(error),
        };
        if let Err(error) = arrived {
            return flights.close(error);
        }
    }
}

async fn read_frame<R: AsyncRead + Unpin>(
    reader: &mut R,
    name: &str,
) -> Result<Bytes, ClientError> {
    let mut prefix = [0; 4];
    reader.read_exact(&mut prefix).await.map_err(|e| lost(name, &e))?;
    let length = i32::from_be_bytes(prefix);
    if !(4..=MAX_FRAME_LENGTH).contains(&length) {
        return Err(no_kafka(name, prefix));
    }
    let length = u64::from(length.unsigned_abs());
    let mut body = Vec::new();
    // Grows with what arrives: a length alone costs no memory.
    let read = reader.take(length).read_to_end(&mut body).await.map_err(|e| lost(name, &e))?;
    match read as u64 == length {
        true => Ok(Bytes::from(body)),
        false => Err(lost(name, &io::ErrorKind::UnexpectedEof.into())),
    }
}

async fn write_requests<W: AsyncWrite + Unpin>(
    mut writer: W,
    mut requests: mpsc::UnboundedReceiver<BytesMut>,
    flights: Arc<Flights>,
) {
    while let Some(request) = requests.recv().await {
        let written = match writer.write_all(&request).await {
            Ok(()) => writer.flush().await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            return flights.close(lost(&flights.name, &error));
        }
    }
}

/// The broker, or the way to it, is gone; or TLS failed after its handshake, as it does when the
/// broker does not like our certificate.
fn lost(name: &str, error: &io::Error) -> ClientError {
    let tls = error.get_ref().and_then(|e| e.downcast_ref::<openssl::ssl::Error>());
    match tls.and_then(openssl::ssl::Error::ssl_error) {
        Some(stack) if !stack.errors().is_empty() => ClientError::new(
            ClientErrorKind::Authentication,
            format!(
                "{name} ended TLS: {stack}: check ssl.certificate.location and ssl.key.location, \
                 and that the broker trusts the certificate's issuer"
            ),
        ),
        _ if error.kind() == io::ErrorKind::UnexpectedEof => {
            ClientError::disconnected(format!("{name} closed the connection"))
        }
        _ => ClientError::disconnected(format!("the connection to {name} broke: {error}")),
    }
}

fn no_kafka(name: &str, prefix: [u8; 4]) -> ClientError {
    let message = match &prefix {
        // The first bytes of a TLS alert or handshake record.
        [0x15 | 0x16, 3, ..] => {
            format!("{name} speaks TLS: set security.protocol to ssl or sasl_ssl")
        }
        b"HTTP" => format!("{name} speaks HTTP: check the port in bootstrap.servers"),
        _ => format!("{name} does not speak Kafka's protocol: check bootstrap.servers"),
    };
    ClientError::new(ClientErrorKind::Invalid, message)
}
