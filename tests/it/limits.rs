//! Floods, bombs, and what is slow or malformed on purpose: who does it is stopped, and nobody else notices.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use futures_util::{future::try_join_all, stream};
use http_body_util::{BodyExt, Full};
use prost::Message;
use rustls::pki_types::ServerName;
use signpost::{
    client::{Client, files},
    config::Service,
};
use signpost_common::{
    clock,
    lifecycle::Lifecycle,
    rpc::{
        self, Transport, admit::Admission, client, identity::FixedIdentities, limits::Limits, reload::Live,
        server::Listener, status, tls,
    },
};
use signpost_proto::{
    common::v1::{RecordReference, Role},
    mpi::v1::{GetPersonRequest, WatchIdentityChangesRequest, get_person_request::By},
    source::v1::{
        CheckDocumentsRequest, CheckDocumentsResponse, RetrieveDocumentRequest, RetrieveDocumentResponse,
        document_source_service_client::DocumentSourceServiceClient,
        document_source_service_server::{DocumentSourceService, DocumentSourceServiceServer},
    },
};
use signpost_tests::{Cluster, Topology, physician, scenario::record, soak, system, user};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};
use tokio_rustls::client::TlsStream;
use tonic::{Code, Request, Response, Status, body::Body, service::Routes};
use tonic_types::StatusExt;
use tower::ServiceExt;

const GET_PERSON: &str = "/signpost.mpi.v1.MasterPatientIndexService/GetPerson";

async fn in_process() -> anyhow::Result<Cluster> {
    Cluster::builder(Topology::InProcess).without_sources().start().await
}

/// A call that everybody may make; it is answered `PERSON_UNKNOWN`.
async fn call(client: &Client, name: &str) -> anyhow::Result<Status> {
    let by = By::PersonId("01a2035c-2b37-7179-9aa7-7dd86f89df2f".into());
    let doctor = user(name, Role::Physician, physician().purpose);
    let request = client.request(&doctor, GetPersonRequest { by: Some(by), as_of: None })?;
    let answer = client.mpi().get_person(request).await.map(drop).err();
    Ok(answer.unwrap_or_else(|| Status::ok("answered")))
}

async fn is_served(client: &Client) -> anyhow::Result<()> {
    let answer = call(client, "dr.lee").await?;
    ensure!(status::reason(&answer) == "PERSON_UNKNOWN", "{answer:?}");
    Ok(())
}

/// Sends any body as a call, with headers of one's own; returns how it ended.
async fn send(client: &Client, headers: &[(&'static str, &str)], body: Body) -> anyhow::Result<Status> {
    // Whatever it says, its token is good.
    let token = client.request(&physician(), ())?;
    let token = token.metadata().get("authorization").context("no token")?.to_str()?.to_owned();
    let mut request = http::Request::post(GET_PERSON)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", token);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let transport: Transport = client.transport();
    let response = transport.oneshot(request.body(body)?).await?;
    let head = Status::from_header_map(response.headers());
    let trailers = response.into_body().collect().await?.trailers().cloned();
    let tail = trailers.and_then(|trailers| Status::from_header_map(&trailers));
    head.or(tail).context("the call has no status")
}

/// Frames a message as gRPC does.
fn framed(flag: u8, message: &[u8]) -> Body {
    let mut bytes = vec![flag];
    bytes.extend(u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend(message);
    Body::new(Full::new(Bytes::from(bytes)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_asks_too_often_is_told_when_to_come_back() -> anyhow::Result<()> {
    let builder = Cluster::builder(Topology::InProcess).without_sources();
    let cluster = builder.configure(|config| config.limits.user_per_second = 5).start().await?;
    let north = cluster.client("north", Service::Mpi)?;
    let mut refused = Status::ok("none was refused");
    for _ in 0..1_000 {
        refused = call(&north, "ann").await?;
        if refused.code() == Code::ResourceExhausted {
            break;
        }
    }
    assert_eq!(status::reason(&refused), "USER_RATE_LIMIT");
    let details = refused.get_error_details();
    let wait = details.retry_info().and_then(|info| info.retry_delay).context("no time is named")?;
    ensure!(wait <= Duration::from_secs(1), "{wait:?}");
    let violation = details.quota_failure().and_then(|failure| failure.violations.first().cloned());
    assert_eq!(violation.context("no quota is named")?.subject, "user:north");
    is_served(&north).await.context("another user of the member")?;
    is_served(&cluster.client("south", Service::Mpi)?).await?;
    tokio::time::sleep(wait).await;
    assert_eq!(status::reason(&call(&north, "ann").await?), "PERSON_UNKNOWN");
    Ok(())
}

/// Calls at an even pace and returns how long half of the calls took at most, and 99 in a hundred.
async fn latencies(client: &Client, calls: usize) -> anyhow::Result<(Duration, Duration)> {
    let mut took = vec![];
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..calls {
        pace.tick().await;
        let began = Instant::now();
        is_served(client).await?;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    Ok((took[calls / 2], took[calls - 1 - calls / 100]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_by_one_member_slows_nobody_else() -> anyhow::Result<()> {
    let builder = Cluster::builder(Topology::OneProcess).without_sources();
    let cluster = builder.configure(|config| config.limits.member_per_second = 100).start().await?;
    let calls = if soak() { 3_000 } else { 250 };
    let south = cluster.client("south", Service::Mpi)?;
    latencies(&south, 50).await?;
    let alone = latencies(&south, calls).await?;
    let (stop, limited, other) = <(Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
    let mut flood = vec![];
    for _ in 0..2 {
        let north = cluster.client("north", Service::Mpi)?;
        for _ in 0..100 {
            let (north, stop, limited, other) = (north.clone(), stop.clone(), limited.clone(), other.clone());
            flood.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = call(&north, "dr.lee").await?;
                    let counter = if answer.code() == Code::ResourceExhausted { &limited } else { &other };
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                anyhow::Ok(())
            }));
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let beside = latencies(&south, calls).await;
    stop.store(true, Ordering::Relaxed);
    for flooder in flood {
        flooder.await??;
    }
    let beside = beside?;
    let (limited, other) = (limited.load(Ordering::Relaxed), other.load(Ordering::Relaxed));
    println!(
        "median and p99 alone {alone:?}, beside a flood {beside:?}; {other} of the flood served, {limited} refused"
    );
    ensure!(limited > 1_000 && other > 0, "{limited} refused and {other} served are no flood");
    ensure!(beside.0 <= alone.0.mul_f64(1.5) + Duration::from_millis(5), "the median is {beside:?}");
    // The tail is that of the machine where others use it, too.
    ensure!(!soak() || beside.1 <= alone.1.mul_f64(1.5), "99 of 100 take {beside:?} and {alone:?} alone");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_message_is_refused_before_it_grows() -> anyhow::Result<()> {
    let cluster = in_process().await?;
    let north = cluster.client("north", Service::Mpi)?;
    for encoding in ["gzip", "deflate", "zstd", "br"] {
        let refusal = send(&north, &[("grpc-encoding", encoding)], framed(1, &[0x1f; 1000])).await?;
        assert_eq!(
            (refusal.code(), status::reason(&refusal).as_str()),
            (Code::Unimplemented, "COMPRESSION_UNSUPPORTED"),
            "{encoding}"
        );
    }
    // Said to be compressed, and not by what; and what is no flag at all.
    for flag in [1, 2, 255] {
        let refusal = send(&north, &[], framed(flag, &[])).await?;
        assert_eq!(status::reason(&refusal), "COMPRESSION_UNSUPPORTED", "{flag}");
    }
    is_served(&north).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_large_or_malformed_or_deep_is_refused() -> anyhow::Result<()> {
    let cluster = in_process().await?;
    let north = cluster.client("north", Service::Mpi)?;
    // It says that it has 4 GiB, and sends none of them.
    let large = Body::new(Full::new(Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff])));
    let refusal = send(&north, &[], large).await?;
    assert_eq!(
        (refusal.code(), status::reason(&refusal).as_str()),
        (Code::ResourceExhausted, "MESSAGE_TOO_LARGE")
    );
    let refusal = send(&north, &[], framed(0, &vec![0; 5 << 20])).await?;
    assert_eq!(status::reason(&refusal), "MESSAGE_TOO_LARGE");
    // Groups within groups, of a field that nobody knows: each level asks for another (field 15, wire types 3 and 4).
    let deep = [[0x7b; 100_000], [0x7c; 100_000]].concat();
    let within = [vec![0x7b; 50], vec![0x7c; 50]].concat();
    let cut: &[u8] = &[0x0a, 0x7f, b'x'];
    for bad in [&deep, cut, &[0xff; 12], &[0x0a, 0x02, 0xff, 0xfe]] {
        let refusal = send(&north, &[], framed(0, bad)).await?;
        assert_eq!(
            (refusal.code(), status::reason(&refusal).as_str()),
            (Code::InvalidArgument, "MESSAGE_MALFORMED"),
            "{refusal:?}"
        );
        ensure!(!refusal.message().contains("person_id"), "{}", refusal.message());
    }
    let answer = send(&north, &[], framed(0, &within)).await?;
    assert_eq!(status::reason(&answer), "INVALID_FIELD", "fields that nobody knows are skipped");
    is_served(&north).await
}

/// A connection of a member on which frames are written by hand (RFC 9113).
struct Raw(TlsStream<TcpStream>);

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The headers of a call, in the static table of HPACK and as literals: POST, https, and a path.
fn headers(path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x87, 0x44, u8::try_from(path.len()).unwrap_or(u8::MAX)];
    block.extend(path.as_bytes());
    block.extend(b"\x41\x08exchange");
    block
}

/// Adds a header to a block, as a literal that is not remembered (RFC 7541, 6.2.2).
fn literal(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        match text.len() {
            short @ 0..127 => block.push(short as u8),
            long => {
                let mut rest = long - 127;
                block.push(127);
                while rest >= 128 {
                    block.push((rest % 128) as u8 | 128);
                    rest /= 128;
                }
                block.push(rest as u8);
            }
        }
        block.extend(text.as_bytes());
    }
}

impl Raw {
    async fn connect(cluster: &Cluster, member: &str) -> anyhow::Result<Self> {
        let tcp = TcpStream::connect(cluster.endpoint(Service::Mpi).trim_start_matches("https://")).await?;
        let connector = tokio_rustls::TlsConnector::from(tls::client(&files(&cluster.pki(), member))?);
        let mut raw = Self(connector.connect(ServerName::try_from("exchange")?, tcp).await?);
        raw.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
        raw.write(&frame(SETTINGS, 0, 0, &[])).await?;
        Ok(raw)
    }

    /// Calls on a stream.
    async fn call(&mut self, stream: u32, path: &str, token: &str, message: &[u8]) -> anyhow::Result<()> {
        let mut block = headers(path);
        let more = [("te", "trailers"), ("content-type", "application/grpc"), ("authorization", token)];
        more.into_iter().for_each(|(name, value)| literal(&mut block, name, value));
        let length = u32::try_from(message.len())?.to_be_bytes();
        let message = [&[0], &length[..], message].concat();
        self.write(&[frame(HEADERS, 0x4, stream, &block), frame(0, 0x1, stream, &message)].concat()).await?;
        self.answers(stream).await
    }

    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes).await
    }

    /// Reads until the server has answered on a stream.
    async fn answers(&mut self, stream: u32) -> anyhow::Result<()> {
        let answering = async {
            loop {
                let mut head = [0; 9];
                self.0.read_exact(&mut head).await?;
                let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
                self.0.read_exact(&mut payload).await?;
                ensure!(head[3] != GOAWAY && head[3] != RST_STREAM, "no answer but frame {}", head[3]);
                if head[3] == HEADERS && head[5..] == stream.to_be_bytes() {
                    return Ok(());
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), answering).await.context("there is no answer")?
    }

    /// Reads until the server ends the connection; returns the error code of its GOAWAY, when it sends one.
    async fn ends(&mut self) -> anyhow::Result<Option<u32>> {
        let ending = async {
            let mut code = None;
            let mut head = [0; 9];
            while self.0.read_exact(&mut head).await.is_ok() {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                let mut payload = vec![0; length];
                if self.0.read_exact(&mut payload).await.is_err() {
                    break;
                }
                if head[3] == GOAWAY {
                    code = Some(u32::from_be_bytes(payload[4..8].try_into()?));
                }
            }
            anyhow::Ok(code)
        };
        tokio::time::timeout(Duration::from_secs(10), ending).await.context("the connection goes on")?
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_ends_with_its_deadline_and_gives_its_place_back() -> anyhow::Result<()> {
    let builder = Cluster::builder(Topology::InProcess).without_sources();
    let cluster = builder.configure(|config| config.limits.member_calls = 2).start().await?;
    let north = cluster.client("north", Service::Mpi)?;
    is_served(&north).await?;
    let mut slow = [Raw::connect(&cluster, "north").await?, Raw::connect(&cluster, "north").await?];
    let (began, ends_after) = (Instant::now(), Duration::from_secs(4));
    for raw in &mut slow {
        let token = north.request(&physician(), ())?;
        let token = token.metadata().get("authorization").context("no token")?.to_str()?.to_owned();
        let more = [("grpc-timeout", "4S"), ("content-type", "application/grpc"), ("authorization", &token)];
        let mut block = headers(GET_PERSON);
        more.into_iter().for_each(|(name, value)| literal(&mut block, name, value));
        // A message of nine bytes begins, and that was it.
        raw.write(&frame(HEADERS, 0x4, 1, &block)).await?;
        raw.write(&frame(0, 0, 1, &[0, 0, 0, 0, 9])).await?;
    }
    let others = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        // All places of the member are taken: its next call waits for one. Others do not.
        is_served(&cluster.client("south", Service::Mpi)?).await?;
        ensure!(began.elapsed() < ends_after - Duration::from_millis(500), "south waited for north");
        tokio::time::sleep_until(began + ends_after - Duration::from_millis(500)).await;
        is_served(&north).await?;
        ensure!(began.elapsed() > ends_after - Duration::from_millis(50), "there was a place");
        anyhow::Ok(())
    };
    let ended = slow.iter_mut().map(async |raw| raw.answers(1).await.map(|()| began.elapsed()));
    let (ended, others) = tokio::join!(try_join_all(ended), others);
    others?;
    for ended in ended? {
        let late = ended.saturating_sub(ends_after);
        ensure!(
            ended + Duration::from_millis(50) > ends_after && late.as_secs() < 3,
            "it ended at {ended:?}"
        );
    }
    is_served(&north).await
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_reads_are_counted_and_ended() -> anyhow::Result<()> {
    let builder = Cluster::builder(Topology::InProcess).without_sources();
    let cluster = builder.configure(|config| config.limits.member_calls = 2).start().await?;
    let (north, south) = (cluster.client("north", Service::Mpi)?, cluster.client("south", Service::Mpi)?);
    north.mpi().register_patient(north.request(&system(), record(1))?).await?;
    // Who waits for what there is to tell is not meant.
    let request = south.request(&system(), WatchIdentityChangesRequest::default())?;
    let mut changes = south.mpi().watch_identity_changes(request).await?.into_inner();
    let watching = tokio::spawn(async move { while let Ok(Some(_)) = changes.message().await {} });
    let by = RecordReference { member_id: "north".into(), local_id: "P1".into() };
    let message = GetPersonRequest { by: Some(By::Record(by)), as_of: None }.encode_to_vec();
    let mut raw = Raw::connect(&cluster, "north").await?;
    // SETTINGS_INITIAL_WINDOW_SIZE is 0: there is room for the heads of answers alone.
    raw.write(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await?;
    for stream in (1..17).step_by(2) {
        let token = north.request(&physician(), ())?;
        let token = token.metadata().get("authorization").context("no token")?.to_str()?.to_owned();
        raw.call(stream, GET_PERSON, &token, &message).await?;
    }
    let began = Instant::now();
    let refused = call(&north, "dr.lee").await?;
    assert_eq!(
        (refused.code(), status::reason(&refused).as_str()),
        (Code::ResourceExhausted, "ANSWERS_NOT_READ")
    );
    is_served(&south).await?;
    while let Err(error) = is_served(&north).await {
        ensure!(began.elapsed() < Duration::from_secs(40), "they are kept: {error:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    ensure!(began.elapsed() > Duration::from_secs(25), "they ended after {:?}", began.elapsed());
    ensure!(!watching.is_finished(), "a stream that waits has ended");
    watching.abort();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rapid_resets_end_their_connection_and_no_other() -> anyhow::Result<()> {
    let cluster = in_process().await?;
    let (north, south) = (cluster.client("north", Service::Mpi)?, cluster.client("south", Service::Mpi)?);
    is_served(&north).await?;
    is_served(&south).await?;
    let rounds = if soak() { 50 } else { 3 };
    for _ in 0..rounds {
        let mut raw = Raw::connect(&cluster, "north").await?;
        let mut storm = vec![];
        for stream in (1..20_000).step_by(2) {
            storm.extend(frame(HEADERS, 0x5, stream, &headers(GET_PERSON)));
            storm.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        }
        // The server may have hung up before all of it is sent.
        raw.write(&storm).await.ok();
        assert_eq!(raw.ends().await?, Some(ENHANCE_YOUR_CALM));
        is_served(&north).await?;
        is_served(&south).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_frames_end_their_connection_and_no_other() -> anyhow::Result<()> {
    let cluster = in_process().await?;
    let (north, south) = (cluster.client("north", Service::Mpi)?, cluster.client("south", Service::Mpi)?);
    is_served(&north).await?;
    let (data, ping, window_update, continuation) = (0, 6, 8, 9);
    let malformed = [
        ("data without a stream", frame(data, 0, 0, b"x")),
        ("data of a stream that is idle", frame(data, 0, 7, b"x")),
        ("a frame longer than allowed", frame(data, 0, 1, &[0; 20_000])),
        ("settings that are cut off", frame(SETTINGS, 0, 0, &[0; 5])),
        ("settings of a stream", frame(SETTINGS, 0, 1, &[0; 6])),
        ("a ping that is too short", frame(ping, 0, 0, &[0; 7])),
        ("a window that grows by nothing", frame(window_update, 0, 0, &[0; 4])),
        ("a continuation of nothing", frame(continuation, 0x4, 1, &headers("/"))),
        ("a reset of a stream that is idle", frame(RST_STREAM, 0, 9, &[0; 4])),
        ("headers that cannot be read", frame(HEADERS, 0x5, 1, &[0xff; 64])),
        ("a stream of the server's", frame(HEADERS, 0x5, 2, &headers("/"))),
    ];
    for (case, bytes) in malformed {
        let mut raw = Raw::connect(&cluster, "north").await?;
        raw.write(&bytes).await.context(case)?;
        let code = raw.ends().await.context(case)?;
        ensure!(code.is_some_and(|code| code != 0), "{case}: no GOAWAY that says so, but {code:?}");
        is_served(&north).await.context(case)?;
        is_served(&south).await.context(case)?;
    }
    // Headers without an end: continuations for ever.
    let mut raw = Raw::connect(&cluster, "north").await?;
    let mut bytes = frame(HEADERS, 0x1, 1, &headers(GET_PERSON));
    for _ in 0..2_000 {
        bytes.extend(frame(continuation, 0, 1, b"\x40\x01x\x7f\x81\x00").into_iter().chain([0; 0]));
        bytes.extend(frame(continuation, 0, 1, &[b'x'; 255]));
    }
    raw.write(&bytes).await.ok();
    raw.ends().await.context("headers without an end")?;
    is_served(&south).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_member_takes_all_connections() -> anyhow::Result<()> {
    let cluster = in_process().await?;
    let mut silent = vec![];
    for _ in 0..128 {
        silent.push(Raw::connect(&cluster, "north").await?);
    }
    // One more on which no call was admitted: it is ended at once, without a word.
    // It may be so while the client still says hello.
    if let Ok(mut more) = Raw::connect(&cluster, "north").await {
        let ended = tokio::time::timeout(Duration::from_secs(5), more.ends()).await.context("it stays")?;
        assert_eq!(ended?, None);
    }
    is_served(&cluster.client("south", Service::Mpi)?).await?;
    drop(silent);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut open = vec![];
    for _ in 0..256 {
        let client = cluster.client("north", Service::Mpi)?;
        is_served(&client).await?;
        open.push(client);
    }
    let refused = call(&cluster.client("north", Service::Mpi)?, "dr.lee").await?;
    assert_eq!(
        (refused.code(), status::reason(&refused).as_str()),
        (Code::ResourceExhausted, "TOO_MANY_CONNECTIONS")
    );
    is_served(&cluster.client("south", Service::Mpi)?).await?;
    is_served(&open[0]).await.context("a connection that it has")?;
    drop(open.split_off(200));
    tokio::time::sleep(Duration::from_millis(500)).await;
    is_served(&cluster.client("north", Service::Mpi)?).await
}

/// A document source that makes a mistake over whatever it is asked.
struct Panics;

#[tonic::async_trait]
impl DocumentSourceService for Panics {
    type RetrieveDocumentStream = stream::Pending<Result<RetrieveDocumentResponse, Status>>;

    async fn retrieve_document(
        &self,
        _: Request<RetrieveDocumentRequest>,
    ) -> Result<Response<Self::RetrieveDocumentStream>, Status> {
        Ok(Response::new(stream::pending()))
    }

    #[expect(clippy::panic, reason = "a mistake is what is played")]
    async fn check_documents(
        &self,
        request: Request<CheckDocumentsRequest>,
    ) -> Result<Response<CheckDocumentsResponse>, Status> {
        panic!("nobody thought of {:?}", request.into_inner().patients[0].local_id)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_a_handler_says_nothing_and_ends_nothing_else() -> anyhow::Result<()> {
    let cluster = in_process().await?;
    let lifecycle = Lifecycle::new();
    let listener = Listener::bind("127.0.0.1:0", Live::read(&files(&cluster.pki(), "north"))?).await?;
    let uri = format!("https://{}", listener.address()?);
    let identities = FixedIdentities(vec!["exchange".parse()?]);
    let limits = Limits { calls: 1, ..Limits::default() };
    let admission = Admission::new(identities, None, limits, clock::system());
    let routes = Routes::new(DocumentSourceServiceServer::new(Panics));
    let serving = tokio::spawn(listener.serve(routes, admission, lifecycle.clone()));
    let exchange = tls::client(&files(&cluster.pki(), "exchange"))?;
    let client = DocumentSourceServiceClient::new(client::remote(&uri, "north", exchange)?);
    let patients = vec![RecordReference { member_id: "north".into(), local_id: "123-45-6789".into() }];
    // Each gives its place back, of which there is one; and a stream goes on beside them.
    let context = rpc::Context::exchange("test");
    let beside =
        client.clone().retrieve_document(context.request(RetrieveDocumentRequest::default())).await?;
    for _ in 0..20 {
        let request = CheckDocumentsRequest { patients: patients.clone() };
        let refusal = client.clone().check_documents(context.request(request)).await;
        let refusal = refusal.map(drop).err().context("it answered")?;
        assert_eq!((refusal.code(), status::reason(&refusal).as_str()), (Code::Internal, "INTERNAL"));
        ensure!(!format!("{refusal:?}").contains("6789"), "{refusal:?}");
    }
    let next = tokio::time::timeout(Duration::from_millis(300), beside.into_inner().message()).await;
    ensure!(next.is_err(), "the stream has ended: {next:?}");
    lifecycle.stop();
    serving.await??;
    Ok(())
}
