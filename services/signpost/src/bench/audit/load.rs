//! The load: calls one at a time, appends at once, new connections.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures_util::future::try_join_all;
use prost_types::Timestamp;
use rustls::pki_types::ServerName;
use signpost_common::{
    clock::{self, Clock, SystemClock},
    id::EventId,
    rpc::{Context, Transport, client as channel, tls, token::User},
};
use signpost_proto::{
    audit::v1::{
        AppendRequest, DocumentDisclosure, Event, EventKind, EventOutcome, ListDisclosuresRequest,
        audit_log_service_client::AuditLogServiceClient,
    },
    common::v1::{Caller, PurposeOfUse, RecordReference, Role},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::super::{
    load::{Calls, Stretch, failed, user},
    server::Server,
};
use crate::{
    cli::Bars,
    client::{self, Client, Party},
};

/// The member that calls.
pub(super) const MEMBER: &str = "bench";

/// Connections that appends at once share.
const CHANNELS: usize = 4;

/// Documents of a release, and records of its patient: about what a locate has.
const DOCUMENTS: u64 = 5;
const RECORDS: u64 = 3;

/// What a client of HTTP/2 says first: the preface and empty settings (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

type Log = AuditLogServiceClient<Transport>;

/// Everybody who calls.
pub(super) struct Parties {
    /// Connections of the exchange itself, as the locator has one.
    inside: Vec<Log>,
    member: Client,
    officer: User,
}

impl Parties {
    /// Prepares the connections.
    pub(super) fn new(server: &Server) -> anyhow::Result<Self> {
        let keys = server.pki();
        let tls = tls::client(&client::files(&keys, "exchange"))?;
        let connect = |_| Ok(Log::new(channel::remote(&server.endpoint, "exchange", tls.clone())?));
        let (endpoint, member_id) = (server.endpoint.clone(), MEMBER.parse()?);
        Ok(Self {
            inside: (0..CHANNELS).map(connect).collect::<anyhow::Result<_>>()?,
            member: Client::new(&Party { endpoint, server_name: "exchange".into(), pki: keys, member_id })?,
            officer: user("officer", Role::PrivacyOfficer, PurposeOfUse::Hoperat),
        })
    }

    fn disclosures(
        &self,
        number: u64,
        page_size: i32,
    ) -> anyhow::Result<tonic::Request<ListDisclosuresRequest>> {
        let patient =
            Some(RecordReference { member_id: String::new(), local_id: format!("nobody-{number}") });
        let request = ListDisclosuresRequest { patient, page_size, page_token: String::new() };
        self.member.request(&self.officer, request)
    }
}

/// A small event, as reading the log makes one.
pub(super) fn small(number: u64) -> Event {
    Event {
        event_id: EventId::generate().to_string(),
        kind: EventKind::AuditRead.into(),
        action: "/signpost.audit.v1.AuditLogService/ListDisclosures".into(),
        outcome: EventOutcome::Success.into(),
        caller: Some(caller()),
        patient_records: vec![record(number)],
        occurred_at: Some(now()),
        ..Event::default()
    }
}

/// An event as a locate or a fetch makes one before it releases something.
pub(super) fn release(number: u64) -> Event {
    let document = |at: u64| DocumentDisclosure {
        document_id: format!("01a20361-f964-73dc-{:04x}-{number:012x}", 0x8000 + at),
        custodian: "general-boston".into(),
        released: at > 0,
        rule_ids: vec!["network:opt-out".into()],
        obligations: vec![],
        decision_id: format!("01a20629-3e0e-7025-8000-{number:012x}"),
    };
    Event {
        kind: EventKind::Locate.into(),
        action: "/signpost.locator.v1.RecordLocatorService/Locate".into(),
        person_id: format!("01a20361-cfe4-72cc-8000-{number:012x}"),
        patient_records: (0..RECORDS).map(|at| record(number * RECORDS + at)).collect(),
        documents: (0..DOCUMENTS).map(document).collect(),
        request_id: format!("01a20361-0000-7000-8000-{number:012x}"),
        ..small(number)
    }
}

fn caller() -> Caller {
    Caller {
        member_id: MEMBER.into(),
        user: "dr.lee".into(),
        role: Role::Physician.into(),
        purpose: PurposeOfUse::Etreat.into(),
        ..Caller::default()
    }
}

fn record(number: u64) -> RecordReference {
    RecordReference { member_id: MEMBER.into(), local_id: format!("MRN-{number}") }
}

fn now() -> Timestamp {
    clock::to_proto(SystemClock.now())
}

/// Calls that need no admission: what wire, connection and client cost.
pub(super) async fn open(parties: &Parties, time: Duration, bars: &Bars) -> anyhow::Result<Calls> {
    let stretch = Stretch::begin("open calls, one at a time", time, bars);
    let (mut calls, mut health) = (Calls::new()?, HealthClient::new(parties.member.transport()));
    while stretch.goes_on() {
        let began = Instant::now();
        health.check(HealthCheckRequest { service: String::new() }).await.map_err(failed)?;
        calls.add(began.elapsed());
    }
    calls.took = stretch.took();
    Ok(calls)
}

/// Calls that are admitted and then refused for a field, before anything is read or written.
pub(super) async fn admitted(parties: &Parties, time: Duration, bars: &Bars) -> anyhow::Result<Calls> {
    let stretch = Stretch::begin("calls that are admitted, one at a time", time, bars);
    let (mut calls, mut log) = (Calls::new()?, parties.member.audit());
    while stretch.goes_on() {
        let request = parties.disclosures(0, -1)?;
        let began = Instant::now();
        match log.list_disclosures(request).await {
            Err(refused) if refused.code() == Code::InvalidArgument => calls.add(began.elapsed()),
            Err(refused) => return Err(failed(refused)),
            Ok(_) => bail!("a page of less than nothing was answered"),
        }
    }
    calls.took = stretch.took();
    Ok(calls)
}

async fn append(log: &mut Log, event: Event, calls: &mut Calls) -> anyhow::Result<()> {
    let request = Context::exchange(MEMBER).request(AppendRequest { event: Some(event) });
    let began = Instant::now();
    let appended = log.append(request).await.map_err(failed)?.into_inner();
    ensure!(!appended.waits, "the database does not take events");
    calls.add(began.elapsed());
    Ok(())
}

/// Appends events one after another.
pub(super) async fn appends(
    parties: &Parties,
    event: fn(u64) -> Event,
    name: &'static str,
    time: Duration,
    bars: &Bars,
) -> anyhow::Result<Calls> {
    let stretch = Stretch::begin(name, time, bars);
    let (mut calls, mut log) = (Calls::new()?, parties.inside.first().context("no connection")?.clone());
    for number in 0.. {
        if !stretch.goes_on() {
            break;
        }
        append(&mut log, event(number), &mut calls).await?;
    }
    calls.took = stretch.took();
    Ok(calls)
}

/// Appends releases, with so many under way at any time.
pub(super) async fn appends_at_once(
    parties: &Parties,
    in_flight: usize,
    time: Duration,
    bars: &Bars,
) -> anyhow::Result<Calls> {
    let stretch = Stretch::begin("releases, many at once", time, bars);
    let next = std::cell::Cell::new(0);
    let workers = parties.inside.iter().cycle().take(in_flight).map(async |log| {
        let (mut log, mut calls) = (log.clone(), Calls::new()?);
        while stretch.goes_on() {
            append(&mut log, release(next.replace(next.get() + 1)), &mut calls).await?;
        }
        anyhow::Ok(calls)
    });
    let done = try_join_all(workers).await?;
    let mut all = Calls::new()?;
    for calls in done {
        all.latencies_us.add(&calls.latencies_us)?;
    }
    all.took = stretch.took();
    Ok(all)
}

/// Makes connections one after another, each with both certificates verified, up to the server's first word. A client of TLS 1.3 is
/// done before its own certificate was looked at; the server speaks after that.
pub(super) async fn handshakes(server: &Server, time: Duration, bars: &Bars) -> anyhow::Result<Calls> {
    let stretch = Stretch::begin("new connections, one at a time", time, bars);
    let mut calls = Calls::new()?;
    let connector = TlsConnector::from(tls::client(&client::files(&server.pki(), MEMBER))?);
    let address = server.endpoint.strip_prefix("https://").context("the server's address")?;
    let name = ServerName::try_from("exchange")?;
    while stretch.goes_on() {
        let began = Instant::now();
        let stream = TcpStream::connect(address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        let mut stream = connector.connect(name.clone(), stream).await.context("shaking hands")?;
        stream.write_all(PREFACE).await?;
        stream.flush().await?;
        let mut first = [0; 9];
        stream.read_exact(&mut first).await.context("waiting for the server's first word")?;
        calls.add(began.elapsed());
        stream.shutdown().await.ok();
    }
    calls.took = stretch.took();
    Ok(calls)
}
