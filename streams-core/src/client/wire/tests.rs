//! The transport against a scripted server: what it sends, and when, is in the test's hands.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use kacrab_protocol::generated::api_versions_response::ApiVersion;
use kacrab_protocol::generated::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Duration, Instant, timeout};

use super::super::error::ClientErrorKind;
use super::connection::Connection;
use super::failure::Next;
use super::settings::WireSettings;

/// A broker whose answers the test writes.
struct Server {
    listener: TcpListener,
}

/// A request as it arrived.
struct Asked {
    key: i16,
    version: i16,
    id: i32,
}

impl Server {
    async fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    fn settings(&self, more: &[(&str, &str)]) -> WireSettings {
        let address = self.listener.local_addr().unwrap().to_string();
        let mut settings = vec![("bootstrap.servers".to_owned(), address)];
        settings.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        WireSettings::parse(&settings, "test").unwrap()
    }

    async fn accept(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }

    /// A client's connection and the server's end of it.
    async fn connected(&self) -> (Connection, TcpStream) {
        let settings = self.settings(&[]);
        let serve = async {
            let mut stream = self.accept().await;
            answer_versions(&mut stream).await;
            stream
        };
        let open = Connection::open(&settings.bootstrap[0], &settings, soon(5000));
        let (connection, stream) = tokio::join!(open, serve);
        (connection.unwrap(), stream)
    }
}

fn soon(milliseconds: u64) -> Instant {
    Instant::now() + Duration::from_millis(milliseconds)
}

async fn read_request(stream: &mut TcpStream) -> Asked {
    let length = stream.read_i32().await.unwrap();
    let mut body = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    let short = |at: usize| i16::from_be_bytes([body[at], body[at + 1]]);
    let id = i32::from_be_bytes(body[4..8].try_into().unwrap());
    Asked { key: short(0), version: short(2), id }
}

fn frame(id: i32, tagged: bool, body: &[u8]) -> Vec<u8> {
    let mut answer = id.to_be_bytes().to_vec();
    if tagged {
        answer.push(0);
    }
    answer.extend_from_slice(body);
    let length = i32::try_from(answer.len()).unwrap();
    [length.to_be_bytes().to_vec(), answer].concat()
}

fn versions() -> ApiVersionsResponseData {
    let known = [(3, 0, 9), (12, 0, 4), (18, 0, 3), (99, 0, 0)];
    let api_keys = known.iter().map(|(api_key, min_version, max_version)| ApiVersion {
        api_key: *api_key,
        min_version: *min_version,
        max_version: *max_version,
        ..Default::default()
    });
    ApiVersionsResponseData { api_keys: api_keys.collect(), ..Default::default() }
}

fn encoded(write: impl FnOnce(&mut BytesMut) -> kacrab_protocol::Result<()>) -> Bytes {
    let mut body = BytesMut::new();
    write(&mut body).unwrap();
    body.freeze()
}

async fn answer_versions(stream: &mut TcpStream) {
    let asked = read_request(stream).await;
    assert_eq!((asked.key, asked.version), (18, 3));
    let body = encoded(|into| versions().write(into, 3));
    stream.write_all(&frame(asked.id, false, &body)).await.unwrap();
}

/// The answer to a heartbeat of version 4: its throttle time marks whose it is.
fn heartbeat_answer(id: i32, mark: i32) -> Vec<u8> {
    let answer = HeartbeatResponseData { throttle_time_ms: mark, ..Default::default() };
    frame(id, true, &encoded(|into| answer.write(into, 4)))
}

async fn beat(connection: &Connection, deadline: Instant) -> Result<i32, super::failure::Failure> {
    let answer = connection.ask(deadline, |_| HeartbeatRequestData::default()).await?;
    Ok(answer.throttle_time_ms)
}

#[tokio::test]
async fn an_answer_in_single_bytes_is_read() {
    let server = Server::new().await;
    let (connection, mut stream) = server.connected().await;
    let serve = async {
        let asked = read_request(&mut stream).await;
        assert_eq!((asked.key, asked.version), (12, 4));
        for byte in heartbeat_answer(asked.id, 7) {
            stream.write_all(&[byte]).await.unwrap();
            stream.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let (answer, ()) = tokio::join!(beat(&connection, soon(5000)), serve);
    assert_eq!(answer.unwrap(), 7);
}

#[tokio::test]
async fn answers_find_their_requests_in_any_order() {
    let server = Server::new().await;
    let (connection, mut stream) = server.connected().await;
    let serve = async {
        let mut asked = Vec::new();
        for _ in 0..3 {
            asked.push(read_request(&mut stream).await.id);
        }
        // In one packet, the last one first.
        let answers: Vec<_> = asked.iter().rev().map(|id| heartbeat_answer(*id, *id)).collect();
        stream.write_all(&answers.concat()).await.unwrap();
        asked
    };
    let deadline = soon(5000);
    let (a, b, c) =
        (beat(&connection, deadline), beat(&connection, deadline), beat(&connection, deadline));
    let (a, b, c, asked) = tokio::join!(a, b, c, serve);
    assert_eq!([a.unwrap(), b.unwrap(), c.unwrap()], asked[..]);
}

#[tokio::test]
async fn a_close_within_an_answer_fails_all_that_is_in_flight_at_once() {
    let server = Server::new().await;
    let (connection, mut stream) = server.connected().await;
    let serve = async {
        let first = read_request(&mut stream).await.id;
        read_request(&mut stream).await;
        stream.write_all(&heartbeat_answer(first, 1)[..6]).await.unwrap();
        drop(stream);
    };
    let far = soon(60_000);
    let both = async { tokio::join!(beat(&connection, far), beat(&connection, far)) };
    let both = timeout(Duration::from_secs(5), both);
    let (answers, ()) = tokio::join!(both, serve);
    let (a, b) = answers.expect("nobody waits for the deadline");
    for failure in [a.unwrap_err(), b.unwrap_err()] {
        assert_eq!(failure.next, Next::LookUp);
        assert!(failure.error.is_retriable());
        assert!(failure.error.message.contains("closed the connection"), "{}", failure.error);
    }
    assert!(!connection.is_usable());
    let later = beat(&connection, soon(60_000)).await.unwrap_err();
    assert!(later.error.message.contains("closed the connection"));
}

#[tokio::test]
async fn silence_ends_at_the_deadline_and_ends_the_connection() {
    let server = Server::new().await;
    let (connection, _stream) = server.connected().await;
    let (first, second) =
        tokio::join!(beat(&connection, soon(60_000)), beat(&connection, soon(50)));
    assert!(second.unwrap_err().error.message.contains("did not answer Heartbeat in time"));
    assert!(first.is_err(), "what waits on the same connection is not answered either");
    assert!(!connection.is_usable());
}

#[tokio::test]
async fn a_caller_that_went_away_leaves_the_connection_usable() {
    let server = Server::new().await;
    let (connection, mut stream) = server.connected().await;
    let abandoned = timeout(Duration::from_millis(20), beat(&connection, soon(60_000))).await;
    assert!(abandoned.is_err());
    let serve = async {
        let first = read_request(&mut stream).await.id;
        stream.write_all(&heartbeat_answer(first, 1)).await.unwrap();
        let second = read_request(&mut stream).await.id;
        stream.write_all(&heartbeat_answer(second, 2)).await.unwrap();
    };
    let (answer, ()) = tokio::join!(beat(&connection, soon(5000)), serve);
    assert_eq!(answer.unwrap(), 2);
}

#[tokio::test]
async fn dropping_a_connection_closes_the_stream() {
    let server = Server::new().await;
    let (connection, mut stream) = server.connected().await;
    drop(connection);
    let end = timeout(Duration::from_secs(5), stream.read_u8()).await.unwrap();
    assert!(end.is_err());
}

#[tokio::test]
async fn what_is_no_kafka_is_named() {
    let cases: [(&[u8], &str); 5] = [
        (&[0x15, 3, 3, 0, 2, 2, 40], "speaks TLS"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "speaks HTTP"),
        (b"SSH-2.0-OpenSSH", "does not speak Kafka"),
        (&[0, 0, 0, 1, 0], "does not speak Kafka"),
        (&[0, 0, 0, 8, 0, 0, 9, 9, 0, 0, 0, 0], "is it a Kafka"),
    ];
    for (says, expected) in cases {
        let server = Server::new().await;
        let settings = server.settings(&[]);
        let serve = async {
            let mut stream = server.accept().await;
            read_request(&mut stream).await;
            stream.write_all(says).await.unwrap();
            stream
        };
        let open = Connection::open(&settings.bootstrap[0], &settings, soon(5000));
        let (opened, _stream) = tokio::join!(open, serve);
        let message = opened.err().unwrap().error.message;
        assert!(message.contains(expected), "{message}");
        assert!(message.contains(&settings.bootstrap[0].to_string()), "{message}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_or_hangs_up_is_told_with_a_hint() {
    let server = Server::new().await;
    let settings = server.settings(&[("socket.connection.setup.timeout.ms", "50")]);
    let open = || Connection::open(&settings.bootstrap[0], &settings, soon(60_000));
    let (silent, _stream) = tokio::join!(open(), server.accept());
    let (closed, ()) = tokio::join!(open(), async { drop(server.accept().await) });
    for failure in [silent.err().unwrap(), closed.err().unwrap()] {
        assert!(failure.error.is_retriable());
        assert!(failure.error.message.contains("security.protocol"), "{}", failure.error);
    }
}

#[tokio::test]
async fn tls_on_a_plaintext_listener_is_told() {
    let server = Server::new().await;
    let settings = server.settings(&[("security.protocol", "ssl")]);
    let hangs_up = async {
        let mut stream = server.accept().await;
        stream.read_u8().await.unwrap();
    };
    let open = || Connection::open(&settings.bootstrap[0], &settings, soon(5000));
    let (opened, ()) = tokio::join!(open(), hangs_up);
    let message = opened.err().unwrap().error.message;
    assert!(message.contains("is it a TLS listener"), "{message}");

    let answers = async {
        let mut stream = server.accept().await;
        stream.read_u8().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream
    };
    let (opened, _stream) = tokio::join!(open(), answers);
    let failure = opened.err().unwrap();
    assert_eq!(failure.error.kind, ClientErrorKind::Invalid);
    assert!(failure.error.message.contains("does not speak TLS"), "{}", failure.error);
}

#[tokio::test]
async fn an_older_broker_is_asked_again_for_its_versions() {
    let server = Server::new().await;
    let settings = server.settings(&[]);
    let serve = async {
        let mut stream = server.accept().await;
        let asked = read_request(&mut stream).await;
        let refused = ApiVersionsResponseData { error_code: 35, ..Default::default() };
        let body = encoded(|into| refused.write(into, 0));
        stream.write_all(&frame(asked.id, false, &body)).await.unwrap();
        let asked = read_request(&mut stream).await;
        assert_eq!((asked.key, asked.version), (18, 0));
        let body = encoded(|into| versions().write(into, 0));
        stream.write_all(&frame(asked.id, false, &body)).await.unwrap();
        stream
    };
    let open = Connection::open(&settings.bootstrap[0], &settings, soon(5000));
    let (opened, _stream) = tokio::join!(open, serve);
    assert!(opened.unwrap().is_usable());
}

#[tokio::test]
async fn what_the_broker_does_not_speak_is_named_and_not_sent() {
    let server = Server::new().await;
    let (connection, _stream) = server.connected().await;
    let failure =
        connection.ask(soon(5000), |_| JoinGroupRequestData::default()).await.unwrap_err();
    assert_eq!(failure.error.kind, ClientErrorKind::Unsupported);
    assert!(failure.error.message.contains("JoinGroup"), "{}", failure.error);
    assert!(connection.is_usable());
    let known: Arc<str> = connection.name().into();
    assert!(failure.error.message.contains(&*known));
}

#[tokio::test]
async fn a_malformed_answer_ends_the_connection() {
    let server = Server::new().await;
    let (connection, mut stream) = server.connected().await;
    let serve = async {
        let asked = read_request(&mut stream).await;
        stream.write_all(&frame(asked.id, true, &[1])).await.unwrap();
    };
    let (answer, ()) = tokio::join!(beat(&connection, soon(5000)), serve);
    assert!(answer.unwrap_err().error.message.contains("malformed"));
    assert!(!connection.is_usable());
}
