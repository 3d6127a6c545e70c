//! How a connection is opened: name resolution, TCP, TLS, versions, SASL. After that, requests of
//! the newest version that both sides know.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use kacrab_protocol::KafkaString;
use kacrab_protocol::generated::*;
use openssl::x509::X509VerifyResult;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Duration, Instant, timeout_at};
use tokio_openssl::SslStream;

use super::super::error::{ClientError, ClientErrorKind};
use super::address::Address;
use super::failure::Failure;
use super::framing::Line;
use super::request::{Request, agree};
use super::scram::Scram;
use super::security::{Mechanism, Sasl, Tls};
use super::settings::WireSettings;

/// A connection to a broker, ready for requests. Clones share it; the last one closes it.
#[derive(Clone)]
pub(super) struct Connection(Arc<Inner>);

struct Inner {
    line: Line,
    name: Arc<str>,
    /// What the broker speaks, by the key of a request.
    versions: HashMap<i16, (i16, i16), FixedState>,
    /// When it should be replaced, before the broker ends the session (KIP-368).
    renew_at: Option<Instant>,
    last_used: Mutex<Instant>,
    /// Whether a request was answered.
    proven: AtomicBool,
}

/// A connection that was silent for longer may have been forgotten on its way, without a word:
/// a new one costs milliseconds, an answer that never comes costs the whole deadline.
const IDLE_MAX: Duration = Duration::from_secs(240);

const WHEN_FRESH: &str = "before the first answer";
const HINT: &str = "is it a Kafka listener, and does security.protocol fit it?";

/// The error code with which a broker answers a version of ApiVersions that it does not know.
const UNSUPPORTED_VERSION: i16 = 35;

impl Connection {
    /// Connects within the setup timeout, or by `deadline`.
    pub(super) async fn open(
        address: &Address,
        settings: &WireSettings,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let deadline = deadline.min(Instant::now() + settings.setup_timeout);
        let name: Arc<str> = address.to_string().into();
        let line = open_line(address, &name, settings, deadline).await?;
        let versions = negotiate(&line, &name, deadline).await?;
        let (last_used, proven) = (Mutex::new(Instant::now()), AtomicBool::new(false));
        let mut inner = Inner { line, name, versions, renew_at: None, last_used, proven };
        if let Some(sasl) = &settings.security.sasl {
            inner.renew_at = inner.authenticate(sasl, deadline).await?;
        }
        tracing::debug!(broker = %inner.name, "connected");
        Ok(Self(Arc::new(inner)))
    }

    /// Whether new requests should go over it.
    pub(super) fn is_usable(&self) -> bool {
        let now = Instant::now();
        let idle = now.saturating_duration_since(*self.0.last_used());
        self.0.line.is_open() && self.0.renew_at.is_none_or(|at| now < at) && idle < IDLE_MAX
    }

    /// Ends it for all; what is in flight fails.
    pub(super) fn close(&self, why: ClientError) {
        self.0.line.close(why);
    }

    /// The broker's address, for messages.
    pub(super) fn name(&self) -> &str {
        &self.0.name
    }

    /// Sends a request, made for the version that is agreed on, and waits for its answer.
    pub(super) async fn ask<Q: Request>(
        &self,
        deadline: Instant,
        request: impl FnOnce(i16) -> Q,
    ) -> Result<Q::Response, Failure> {
        let version = self.0.version::<Q>()?;
        let answer = self.0.line.ask(&request(version), version, deadline).await;
        *self.0.last_used() = Instant::now();
        match answer {
            Ok(answer) => {
                self.0.proven.store(true, Ordering::Relaxed);
                Ok(answer)
            }
            Err(failure) if self.0.proven.load(Ordering::Relaxed) => Err(failure),
            // A SASL listener tells its versions to everybody, and hangs up at the next request.
            Err(failure) => Err(with_hint(failure, WHEN_FRESH, HINT)),
        }
    }
}

impl Inner {
    // Guards a plain value.
    fn last_used(&self) -> MutexGuard<'_, Instant> {
        self.last_used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn version<Q: Request>(&self) -> Result<i16, Failure> {
        let theirs = self.versions.get(&(Q::KEY as i16)).copied();
        theirs.and_then(|theirs| agree(&Q::VERSIONS, theirs)).ok_or_else(|| {
            let spoken = match theirs {
                Some((from, to)) => format!("in versions {from} to {to}"),
                None => "in no version".to_owned(),
            };
            Failure::stop(ClientError::new(
                ClientErrorKind::Unsupported,
                format!(
                    "{} knows {} {spoken}, we in versions {} to {}: use a broker of Kafka 2.4 or \
                     later",
                    self.name,
                    Q::NAME,
                    Q::VERSIONS.start(),
                    Q::VERSIONS.end()
                ),
            ))
        })
    }

    /// Proves who we are; tells when the session is to be renewed.
    async fn authenticate(
        &self,
        sasl: &Sasl,
        deadline: Instant,
    ) -> Result<Option<Instant>, Failure> {
        let mechanism = KafkaString::from_static(sasl.mechanism.name());
        let request = SaslHandshakeRequestData { mechanism, ..Default::default() };
        let answer = self.line.ask(&request, 1, deadline).await.map_err(|e| self.no_sasl(e))?;
        if answer.error_code != 0 {
            let known: Vec<_> = answer.mechanisms.iter().map(KafkaString::as_str).collect();
            return Err(self.refused(&match known.is_empty() {
                true => "this listener does not use SASL: check security.protocol".to_owned(),
                false => format!(
                    "it does not offer sasl.mechanism {}, but {}",
                    sasl.mechanism.name(),
                    known.join(", ")
                ),
            }));
        }
        let lifetime = match sasl.mechanism {
            Mechanism::Plain => {
                let token = format!("\0{}\0{}", sasl.username, sasl.password);
                self.exchange_token(token.into_bytes(), deadline).await?.1
            }
            Mechanism::Scram(hash) => {
                let refused = |why: String| self.refused(&format!("SCRAM: {why}"));
                let scram = Scram::new(hash, &sasl.username, &sasl.password);
                let mut scram = scram.map_err(refused)?;
                let (challenge, _) = self.exchange_token(scram.first(), deadline).await?;
                let proof = scram.second(&challenge).map_err(refused)?;
                let (signature, lifetime) = self.exchange_token(proof, deadline).await?;
                scram.verify(&signature).map_err(refused)?;
                lifetime
            }
        };
        let lifetime = u64::try_from(lifetime).ok().filter(|ms| *ms > 0);
        // Early enough that a request in flight ends before the session does.
        Ok(lifetime.map(|ms| Instant::now() + Duration::from_millis(ms).mul_f64(0.8)))
    }

    async fn exchange_token(
        &self,
        token: Vec<u8>,
        deadline: Instant,
    ) -> Result<(Bytes, i64), Failure> {
        let version = self.version::<SaslAuthenticateRequestData>()?;
        let request =
            SaslAuthenticateRequestData { auth_bytes: token.into(), ..Default::default() };
        let answer =
            self.line.ask(&request, version, deadline).await.map_err(|e| self.no_sasl(e))?;
        if answer.error_code != 0 {
            let told = answer.error_message.as_ref().map_or("", |message| message.as_str());
            let what = format!("authentication at {}", self.name);
            return Err(Failure::of_code(answer.error_code, &what, Some(told)));
        }
        Ok((answer.auth_bytes, answer.session_lifetime_ms))
    }

    fn refused(&self, why: &str) -> Failure {
        Failure::stop(ClientError::new(
            ClientErrorKind::Authentication,
            format!("authentication at {} failed: {why}", self.name),
        ))
    }

    /// A listener without SASL ends the connection instead of answering.
    fn no_sasl(&self, failure: Failure) -> Failure {
        let hint = "does this listener use SASL, as security.protocol says?";
        with_hint(failure, "during SASL", hint)
    }
}

async fn open_line(
    address: &Address,
    name: &Arc<str>,
    settings: &WireSettings,
    deadline: Instant,
) -> Result<Line, Failure> {
    let stream = connect(address, deadline).await?;
    let client_id = settings.client_id.clone();
    Ok(match &settings.security.tls {
        None => Line::open(stream, name.clone(), client_id),
        Some(tls) => {
            let stream = handshake(stream, tls, address, deadline).await?;
            Line::open(stream, name.clone(), client_id)
        }
    })
}

/// Tries the addresses of the host one after the other.
async fn connect(address: &Address, deadline: Instant) -> Result<TcpStream, Failure> {
    let failed = |why: String| Failure::look_up(ClientError::retriable(why));
    let host = address.host.to_string();
    let resolved: Vec<SocketAddr> =
        match timeout_at(deadline, lookup_host((host, address.port))).await {
            Ok(Ok(found)) => found.collect(),
            Ok(Err(e)) => return Err(failed(format!("the host of {address} is not found: {e}"))),
            Err(_) => return Err(failed(format!("the host of {address} was not found in time"))),
        };
    let mut why = format!("the host of {address} has no address");
    for (tried, socket) in resolved.iter().enumerate() {
        // The rest of the time is shared by the addresses that are left.
        let left = u32::try_from(resolved.len() - tried).unwrap_or(u32::MAX);
        let now = Instant::now();
        let until = now + deadline.saturating_duration_since(now) / left;
        match timeout_at(until, TcpStream::connect(socket)).await {
            Ok(Ok(stream)) => {
                // Requests are small and waited for.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(e)) if e.kind() == io::ErrorKind::ConnectionRefused => {
                why = format!("{address} refuses connections: no broker runs there");
            }
            Ok(Err(e)) => why = format!("{address} cannot be reached: {e}"),
            Err(_) => why = format!("{address} did not accept a connection in time"),
        }
    }
    Err(failed(why))
}

async fn handshake(
    stream: TcpStream,
    tls: &Tls,
    address: &Address,
    deadline: Instant,
) -> Result<SslStream<TcpStream>, Failure> {
    let broken = |e| {
        let message = format!("TLS with {address} cannot be set up: {e}");
        Failure::stop(ClientError::new(ClientErrorKind::Invalid, message))
    };
    let session = tls.session(&address.host).map_err(broken)?;
    let mut stream = SslStream::new(session, stream).map_err(broken)?;
    match timeout_at(deadline, Pin::new(&mut stream).connect()).await {
        Ok(Ok(())) => Ok(stream),
        Ok(Err(error)) => Err(tls_failure(address, stream.ssl().verify_result(), &error)),
        Err(_) => Err(Failure::look_up(ClientError::retriable(format!(
            "{address} did not finish the TLS handshake in time; is it a TLS listener, as \
             security.protocol says?"
        )))),
    }
}

fn tls_failure(
    address: &Address,
    verified: X509VerifyResult,
    error: &openssl::ssl::Error,
) -> Failure {
    let stop = |kind, message| Failure::stop(ClientError::new(kind, message));
    if verified != X509VerifyResult::OK {
        return stop(
            ClientErrorKind::Authentication,
            format!(
                "the certificate of {address} is not accepted: {}: check ssl.ca.location, and that \
                 the certificate names this host",
                verified.error_string()
            ),
        );
    }
    let reasons = error.ssl_error().map(ToString::to_string).unwrap_or_default();
    if reasons.contains("wrong version number") || reasons.contains("packet length too long") {
        return stop(
            ClientErrorKind::Invalid,
            format!(
                "{address} does not speak TLS: set security.protocol to plaintext or sasl_plaintext, or use the port of the TLS listener"
            ),
        );
    }
    if !reasons.is_empty() {
        return stop(
            ClientErrorKind::Authentication,
            format!("the TLS handshake with {address} failed: {reasons}: check the ssl.* settings"),
        );
    }
    // Brokers close a plaintext listener on which TLS arrives; one that is going down does too.
    Failure::look_up(ClientError::retriable(format!(
        "{address} ended the TLS handshake: {error}; is it a TLS listener, as security.protocol says?"
    )))
}

/// What the broker speaks.
async fn negotiate(
    line: &Line,
    name: &str,
    deadline: Instant,
) -> Result<HashMap<i16, (i16, i16), FixedState>, Failure> {
    let hinted = |failure| with_hint(failure, WHEN_FRESH, HINT);
    let mut version = *ApiVersionsRequestData::VERSIONS.end();
    let request = ApiVersionsRequestData {
        client_software_name: KafkaString::from_static(env!("CARGO_PKG_NAME")),
        client_software_version: KafkaString::from_static(env!("CARGO_PKG_VERSION")),
        ..Default::default()
    };
    let mut body = line.exchange(&request, version, deadline).await.map_err(hinted)?;
    if body.starts_with(&UNSUPPORTED_VERSION.to_be_bytes()) {
        // An older broker says so in the oldest layout (KIP-511).
        version = 0;
        let request = ApiVersionsRequestData::default();
        body = line.exchange(&request, version, deadline).await.map_err(hinted)?;
    }
    let answer = ApiVersionsRequestData::decode(&mut body, version).map_err(|e| {
        let message = format!("{name} gave a malformed list of versions: {e}");
        Failure::look_up(ClientError::retriable(message))
    })?;
    Failure::check(answer.error_code, || format!("asking {name} for its versions"))?;
    Ok(answer.api_keys.iter().map(|k| (k.api_key, (k.min_version, k.max_version))).collect())
}

/// What a lost connection most likely means at this point.
fn with_hint(mut failure: Failure, when: &str, hint: &str) -> Failure {
    if failure.error.kind == ClientErrorKind::Retriable {
        let message = format!("{} {when}; {hint}", failure.error.message);
        failure.error = ClientError::retriable(message);
    }
    failure
}
