//! Certificates in use: renewed, revoked, ended and broken while the exchange goes on.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use rcgen::{
    CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose, Issuer, KeyIdMethod,
    KeyPair, RevokedCertParams, SanType, SerialNumber,
};
use rustls::{HandshakeKind, client::Resumption, pki_types::ServerName};
use signpost::{
    client::files,
    config::{Config, Service},
    pki,
};
use signpost_common::{
    clock::{Clock, SystemClock},
    id::MemberId,
    rpc::{
        Transport, client,
        pem::{self, MEMBER_URN},
        status, tls,
        token::Signer,
    },
};
use signpost_proto::{
    common::v1::Role,
    directory::v1::{AddCertificateRequest, RevokeCertificateRequest},
    mpi::v1::{
        GetPersonRequest, WatchIdentityChangesRequest, get_person_request::By,
        master_patient_index_service_client::MasterPatientIndexServiceClient,
    },
};
use signpost_tests::{Cluster, Topology, operator, physician, postgres, system};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};
use tonic::{Code, Request, Status};

/// How long new files may take to be in force: they are looked at every second, and read when they have been the same twice.
const IN_FORCE: Duration = Duration::from_secs(6);

type Authority = Issuer<'static, KeyPair>;

fn moment(seconds_from_now: i64) -> rcgen::CertificateRevocationListParams {
    // The one way to a date that the library offers without its own time library.
    let at = rcgen::date_time_ymd(1970, 1, 1);
    let seconds = u64::try_from(SystemClock.now().as_second() + seconds_from_now).unwrap_or(0);
    CertificateRevocationListParams {
        this_update: at,
        next_update: at + Duration::from_secs(seconds),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![],
        key_identifier_method: KeyIdMethod::Sha256,
    }
}

/// Writes a list of revoked certificates that is good for so many seconds.
fn write_crl(path: &Path, authority: &Authority, seconds: i64, revoked: &[u64]) -> anyhow::Result<()> {
    let mut list = moment(seconds);
    list.revoked_certs = revoked
        .iter()
        .map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: list.this_update,
            reason_code: None,
            invalidity_date: None,
        })
        .collect();
    Ok(std::fs::write(path, list.signed_by(authority)?.pem()?)?)
}

/// Writes `cert.pem` and `key.pem` of a member, good for so many seconds.
pub(crate) fn issue(
    folder: &Path,
    authority: &Authority,
    id: &str,
    seconds: i64,
    serial: u64,
) -> anyhow::Result<()> {
    issue_within(folder, authority, id, (-86_400, seconds), serial)
}

/// The same, good from so many seconds to so many.
fn issue_within(
    folder: &Path,
    authority: &Authority,
    id: &str,
    (from, to): (i64, i64),
    serial: u64,
) -> anyhow::Result<()> {
    let pair = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.not_before = moment(from).next_update;
    params.not_after = moment(to).next_update;
    params.serial_number = Some(SerialNumber::from(serial));
    params.subject_alt_names =
        vec![SanType::URI(format!("{MEMBER_URN}{id}").try_into()?), SanType::DnsName(id.try_into()?)];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("cert.pem"), params.signed_by(&pair, authority)?.pem())?;
    let key = folder.join("key.pem");
    std::fs::write(&key, pair.serialize_pem())?;
    Ok(std::fs::set_permissions(&key, Permissions::from_mode(0o600))?)
}

/// A member with a certificate in a folder of its own.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) files: tls::Files,
    transport: Transport,
    signer: Signer,
}

impl Caller {
    pub(crate) fn new(cluster: &Cluster, member: &str, folder: &Path) -> anyhow::Result<Self> {
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        let files = tls::Files { ca: cluster.pki().join("ca.pem"), cert, key, crl: vec![] };
        let facts = pem::facts(&pem::certificates(&files.cert)?[0])?;
        let token = cluster.pki().join(member).join("token.pem");
        let signer = Signer::from_file(member.parse::<MemberId>()?, pki::KID, &token, &facts.fingerprint)?;
        let transport = client::remote(&cluster.endpoint(Service::Mpi), "exchange", tls::client(&files)?)?;
        Ok(Self { files, transport, signer })
    }

    /// The same with another connection.
    pub(crate) fn afresh(&self, cluster: &Cluster) -> anyhow::Result<Self> {
        let tls = tls::client(&self.files)?;
        Ok(Self {
            transport: client::remote(&cluster.endpoint(Service::Mpi), "exchange", tls)?,
            ..self.clone()
        })
    }

    fn request(&self) -> anyhow::Result<Request<GetPersonRequest>> {
        let by = By::PersonId("01a2035c-2b37-7179-9aa7-7dd86f89df2f".into());
        let token = self.signer.sign(&self.signer.claims(&physician(), SystemClock.now()))?;
        let mut request = Request::new(GetPersonRequest { by: Some(by), as_of: None });
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
        Ok(request)
    }

    /// Calls, and returns the reason of the answer: `PERSON_UNKNOWN` for who is admitted.
    pub(crate) async fn calls(&self) -> anyhow::Result<(Code, String)> {
        let mut index = MasterPatientIndexServiceClient::new(self.transport.clone());
        let answer = index.get_person(self.request()?).await.map(drop).err();
        let answer = answer.unwrap_or_else(|| Status::ok("answered"));
        Ok((answer.code(), status::reason(&answer)))
    }

    pub(crate) async fn is_admitted(&self) -> anyhow::Result<()> {
        let answer = self.calls().await?;
        ensure!(answer == (Code::NotFound, "PERSON_UNKNOWN".into()), "{answer:?}");
        Ok(())
    }

    /// Calls until the answer has this reason.
    pub(crate) async fn comes_to(&self, reason: &str) -> anyhow::Result<()> {
        let until = Instant::now() + IN_FORCE;
        loop {
            let answer = self.calls().await?;
            if answer.1 == reason {
                return Ok(());
            }
            ensure!(Instant::now() < until, "the answer is {answer:?} and not {reason}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Tells the directory of a certificate.
pub(crate) async fn register(cluster: &Cluster, member: &str, cert: &Path) -> anyhow::Result<()> {
    let admin = cluster.client("operator", Service::Directory)?;
    let certificate_pem = std::fs::read_to_string(cert)?;
    let request =
        AddCertificateRequest { member_id: member.into(), certificate_pem, request_id: String::new() };
    admin.directory().add_certificate(admin.request(&operator(Role::Operator), request)?).await?;
    Ok(())
}

pub(crate) async fn revoke(cluster: &Cluster, cert: &Path) -> anyhow::Result<()> {
    let admin = cluster.client("operator", Service::Directory)?;
    let fingerprint = pem::facts(&pem::certificates(cert)?[0])?.fingerprint.to_vec();
    let request = RevokeCertificateRequest { fingerprint, request_id: String::new() };
    admin.directory().revoke_certificate(admin.request(&operator(Role::Operator), request)?).await?;
    Ok(())
}

/// Shakes hands as often as it is told with one memory of sessions; returns how each went, once the server has answered.
async fn shake_hands(
    cluster: &Cluster,
    config: &Arc<rustls::ClientConfig>,
) -> anyhow::Result<(HandshakeKind, Vec<u8>)> {
    let tcp = TcpStream::connect(cluster.endpoint(Service::Mpi).trim_start_matches("https://")).await?;
    let connector = tokio_rustls::TlsConnector::from(config.clone());
    let mut stream = connector.connect(ServerName::try_from("exchange")?, tcp).await?;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
    let mut settings = [0; 9];
    tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut settings)).await??;
    let connection = stream.get_ref().1;
    let server = connection.peer_certificates().and_then(<[_]>::first).context("no certificate")?;
    Ok((connection.handshake_kind().context("no handshake")?, server.to_vec()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ends_is_refused_on_its_connection_and_cannot_be_resumed() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let folder = cluster.dir().join("short");
    issue(&folder, &pki::open_authority(&cluster.pki())?, "north", 4, 70)?;
    register(&cluster, "north", &folder.join("cert.pem")).await?;
    let caller = Caller::new(&cluster, "north", &folder)?;
    caller.is_admitted().await?;
    // A client that would resume a session, were it given one.
    let mut eager = (*tls::client(&caller.files)?).clone();
    eager.resumption = Resumption::in_memory_sessions(8);
    eager.enable_early_data = true;
    let eager = Arc::new(eager);
    for _ in 0..2 {
        assert_eq!(shake_hands(&cluster, &eager).await?.0, HandshakeKind::Full);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(caller.calls().await?, (Code::Unauthenticated, "CERTIFICATE_EXPIRED".into()));
    let failed = shake_hands(&cluster, &eager).await.map(drop).err().context("it was let in")?;
    assert!(format!("{failed:#}").contains("CertificateExpired"), "{failed:#}");
    Ok(())
}

/// A cluster that heeds a list of revoked certificates, which is good for so long.
async fn with_crl(configure: fn(&mut Config)) -> anyhow::Result<(Cluster, Authority)> {
    let builder = Cluster::builder(Topology::InProcess).without_sources().configure(configure);
    let cluster = builder.start().await?;
    let authority = pki::open_authority(&cluster.pki())?;
    Ok((cluster, authority))
}

fn heed_crl(config: &mut Config, seconds: i64) {
    let pki = config.tls.ca.parent().map(Path::to_owned).unwrap_or_default();
    let authority = pki::open_authority(&pki).expect("the authority of the tests");
    write_crl(&pki.join("crl.pem"), &authority, seconds, &[]).expect("a list of revoked certificates");
    config.tls.crl = vec![pki.join("crl.pem")];
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_its_authority_revokes_is_out_in_mid_connection() -> anyhow::Result<()> {
    let (cluster, authority) = with_crl(|config| heed_crl(config, 3600)).await?;
    let folder = cluster.dir().join("lost");
    issue(&folder, &authority, "north", 3600, 77)?;
    register(&cluster, "north", &folder.join("cert.pem")).await?;
    let (lost, south) = (
        Caller::new(&cluster, "north", &folder)?,
        Caller::new(&cluster, "south", &cluster.pki().join("south"))?,
    );
    lost.is_admitted().await?;
    south.is_admitted().await?;
    write_crl(&cluster.pki().join("crl.pem"), &authority, 3600, &[77])?;
    lost.comes_to("CERTIFICATE_REVOKED").await?;
    south.is_admitted().await?;
    let again = lost.afresh(&cluster)?.calls().await?;
    assert_eq!(again, (Code::Unavailable, String::new()), "no connection with it");
    south.afresh(&cluster)?.is_admitted().await
}

/// Reads a stream of changes until it ends; returns the reason.
async fn follow(client: &signpost::client::Client) -> anyhow::Result<tokio::task::JoinHandle<String>> {
    let request = client.request(&system(), WatchIdentityChangesRequest::default())?;
    let mut changes = client.mpi().watch_identity_changes(request).await?.into_inner();
    Ok(tokio::spawn(async move {
        loop {
            match changes.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return "an end without a reason".into(),
                Err(error) => return status::reason(&error),
            }
        }
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_trust_in_its_certificate() -> anyhow::Result<()> {
    let (cluster, authority) = with_crl(|config| heed_crl(config, 3600)).await?;
    // South has a certificate whose number is known.
    let own = cluster.pki().join("south");
    issue(&own, &authority, "south", 3600, 73)?;
    register(&cluster, "south", &own.join("cert.pem")).await?;
    let mut streams = vec![];
    for member in ["north", "south", "west"] {
        streams.push(follow(&cluster.client(member, Service::Mpi)?).await?);
    }
    let [north, south, west] = <[_; 3]>::try_from(streams).map_err(|_| anyhow::anyhow!("three streams"))?;
    revoke(&cluster, &cluster.pki().join("north/cert.pem")).await?;
    assert_eq!(tokio::time::timeout(IN_FORCE, north).await.context("north's goes on")??, "MEMBER_UNKNOWN");
    ensure!(!south.is_finished() && !west.is_finished(), "a stream ended with another's certificate");
    write_crl(&cluster.pki().join("crl.pem"), &authority, 3600, &[73])?;
    let south = tokio::time::timeout(IN_FORCE, south).await.context("south's goes on")?;
    assert_eq!(south?, "CERTIFICATE_REVOKED");
    ensure!(!west.is_finished(), "west's stream ended");
    west.abort();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_revoked_certificates_that_is_stale_lets_nobody_in() -> anyhow::Result<()> {
    let (cluster, authority) = with_crl(|config| heed_crl(config, 3600)).await?;
    let north = Caller::new(&cluster, "north", &cluster.pki().join("north"))?;
    north.is_admitted().await?;
    // Long enough to be put in force, also by a machine that is busy.
    write_crl(&cluster.pki().join("crl.pem"), &authority, 8, &[])?;
    tokio::time::sleep(Duration::from_secs(8)).await;
    north.comes_to("CERTIFICATE_REVOCATION_UNKNOWN").await?;
    assert_eq!(north.afresh(&cluster)?.calls().await?, (Code::Unavailable, String::new()));
    // One that is as old is not put in its place; one that is good is, without a restart.
    write_crl(&cluster.pki().join("crl.pem"), &authority, 3600, &[])?;
    north.comes_to("PERSON_UNKNOWN").await
}

/// Calls without a pause, on a connection that stays and on new ones, until told to stop; returns how many were admitted.
async fn call_on(cluster: &Cluster, caller: Caller, stop: &AtomicBool) -> anyhow::Result<u64> {
    let mut admitted = 0;
    while !stop.load(Ordering::Relaxed) {
        caller.is_admitted().await?;
        if admitted % 16 == 0 {
            caller.afresh(cluster)?.is_admitted().await?;
        }
        admitted += 1;
    }
    Ok(admitted)
}

/// Returns the server's certificate as new connections see it.
async fn shown(cluster: &Cluster) -> anyhow::Result<Vec<u8>> {
    Ok(shake_hands(cluster, &tls::client(&files(&cluster.pki(), "north"))?).await?.1)
}

async fn comes_to_show(cluster: &Cluster, cert: &Path) -> anyhow::Result<()> {
    let expected = pem::certificates(cert)?[0].to_vec();
    let until = Instant::now() + IN_FORCE;
    while shown(cluster).await? != expected {
        ensure!(Instant::now() < until, "the new certificate is not in force");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_rotate_under_load_without_a_failed_call() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    rotate(&cluster).await
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_services_rotate_under_load_without_a_failed_call() -> anyhow::Result<()> {
    let Some(_) = postgres() else { return Ok(()) };
    let cluster = Cluster::builder(Topology::SixProcesses).without_sources().start().await?;
    rotate(&cluster).await
}

/// Renews the exchange's certificate three times and revokes each old one, then a member's own, while members call.
async fn rotate(cluster: &Cluster) -> anyhow::Result<()> {
    let (stop, authority) = (AtomicBool::new(false), pki::open_authority(&cluster.pki())?);
    let own = cluster.pki().join("exchange");
    let callers = ["north", "south"].map(|id| Caller::new(cluster, id, &cluster.pki().join(id)));
    let [north, south] = callers;
    let (north, south) = (north?, south?);
    let rotating = async {
        for round in 0..3 {
            let (old, next) = (cluster.dir().join("old.pem"), cluster.dir().join(format!("next-{round}")));
            std::fs::copy(own.join("cert.pem"), &old)?;
            issue(&next, &authority, "exchange", 3600, 100 + round)?;
            register(cluster, "exchange", &next.join("cert.pem")).await?;
            // Not at once: for a moment certificate and key do not fit.
            std::fs::copy(next.join("cert.pem"), own.join("cert.pem"))?;
            tokio::time::sleep(Duration::from_millis(300)).await;
            std::fs::copy(next.join("key.pem"), own.join("key.pem"))?;
            comes_to_show(cluster, &next.join("cert.pem")).await?;
            // All processes have seen it by then.
            tokio::time::sleep(Duration::from_secs(3)).await;
            revoke(cluster, &old).await?;
            tokio::time::sleep(Duration::from_millis(1200)).await;
        }
        stop.store(true, Ordering::Relaxed);
        anyhow::Ok(())
    };
    let rotating = async {
        let rotated = rotating.await;
        stop.store(true, Ordering::Relaxed);
        rotated
    };
    let (rotated, north, south) =
        tokio::join!(rotating, call_on(cluster, north, &stop), call_on(cluster, south, &stop));
    rotated?;
    let (north, south) = (north?, south?);
    ensure!(north > 50 && south > 50, "{north} and {south} calls are no load");
    println!("{} calls, none failed", north + south);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_renews_its_certificate_while_the_old_one_is_in_use() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let (old, folder) = (cluster.pki().join("north"), cluster.dir().join("renewed"));
    let before = Caller::new(&cluster, "north", &old)?;
    before.is_admitted().await?;
    issue(&folder, &pki::open_authority(&cluster.pki())?, "north", 3600, 71)?;
    register(&cluster, "north", &folder.join("cert.pem")).await?;
    let after = Caller::new(&cluster, "north", &folder)?;
    after.comes_to("PERSON_UNKNOWN").await?;
    // What was known of the old one before is forgotten by then.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    before.is_admitted().await?;
    revoke(&cluster, &old.join("cert.pem")).await?;
    before.comes_to("MEMBER_UNKNOWN").await?;
    after.is_admitted().await
}

/// Asks the health service of the exchange how something is.
async fn health(cluster: &Cluster, of: &str) -> anyhow::Result<i32> {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let client = cluster.client("north", Service::Mpi)?;
    let request = HealthCheckRequest { service: of.into() };
    Ok(HealthClient::new(client.transport()).check(request).await?.into_inner().status)
}

async fn certificates_are(cluster: &Cluster, in_order: bool) -> anyhow::Result<()> {
    let (serving, not_serving) = (1, 2);
    let wanted = if in_order { serving } else { not_serving };
    let until = Instant::now() + IN_FORCE;
    while health(cluster, "certificates").await? != wanted {
        ensure!(Instant::now() < until, "the alarm does not say so");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_certificate_leaves_the_old_one_in_force_and_raises_an_alarm() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let own = cluster.pki().join("exchange");
    let (cert, key) = (std::fs::read(own.join("cert.pem"))?, std::fs::read(own.join("key.pem"))?);
    let north = Caller::new(&cluster, "north", &cluster.pki().join("north"))?;
    certificates_are(&cluster, true).await?;
    let before = shown(&cluster).await?;
    let (ca, elsewhere) = (pki::open_authority(&cluster.pki())?, cluster.dir().join("elsewhere"));
    issue_within(&cluster.dir().join("ended"), &ca, "exchange", (-86_400, -60), 9)?;
    issue_within(&cluster.dir().join("not yet"), &ca, "exchange", (3_600, 7_200), 10)?;
    pki::create(&elsewhere, &[])?;
    let others = std::fs::read(cluster.pki().join("south/key.pem"))?;
    let pair = |folder: PathBuf| {
        let (cert, key) = (std::fs::read(folder.join("cert.pem"))?, std::fs::read(folder.join("key.pem"))?);
        anyhow::Ok((cert, key))
    };
    let half = cert[..cert.len() / 2].to_vec();
    let broken = [
        ("cut off", (half, key.clone())),
        ("no certificate", (b"nonsense".to_vec(), key.clone())),
        ("empty", (vec![], key.clone())),
        ("another's key", (cert.clone(), others)),
        ("ended", pair(cluster.dir().join("ended"))?),
        ("not valid yet", pair(cluster.dir().join("not yet"))?),
        ("of another authority", pair(elsewhere.join("exchange"))?),
        ("of another member", pair(cluster.pki().join("south"))?),
    ];
    for (case, (new_cert, new_key)) in broken {
        std::fs::write(own.join("cert.pem"), new_cert)?;
        std::fs::write(own.join("key.pem"), new_key)?;
        certificates_are(&cluster, false).await.context(case)?;
        ensure!(shown(&cluster).await? == before, "{case}: another certificate is in force");
        north.is_admitted().await.context(case)?;
        north.afresh(&cluster)?.is_admitted().await.context(case)?;
        std::fs::write(own.join("cert.pem"), &cert)?;
        std::fs::write(own.join("key.pem"), &key)?;
        certificates_are(&cluster, true).await.context(case)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarded_certificate_in_a_header_counts_for_nothing() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let folder = cluster.dir().join("stranger");
    issue(&folder, &pki::open_authority(&cluster.pki())?, "stranger", 3600, 72)?;
    let text = std::fs::read_to_string(cluster.pki().join("north/cert.pem"))?.replace('\n', "%0A");
    let north = Caller::new(&cluster, "north", &cluster.pki().join("north"))?;
    let tls = tls::client(&tls::Files {
        cert: folder.join("cert.pem"),
        key: folder.join("key.pem"),
        ..north.files.clone()
    })?;
    let stranger = client::remote(&cluster.endpoint(Service::Mpi), "exchange", tls)?;
    for header in ["x-forwarded-client-cert", "x-ssl-client-cert", "ssl-client-cert", "x-client-cert"] {
        let mut request = north.request()?;
        request.metadata_mut().insert(header, format!("Cert=\"{text}\";URI={MEMBER_URN}north").parse()?);
        let mut index = MasterPatientIndexServiceClient::new(stranger.clone());
        let refusal = index.get_person(request).await.map(drop).err().context("it was admitted")?;
        assert_eq!(status::reason(&refusal), "MEMBER_UNKNOWN", "{header}");
    }
    Ok(())
}

/// More than one address may have, and not so many that the system itself would have them wait.
const SLOW: usize = 350;

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_to_shake_hands_keeps_nobody_waiting() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let address: std::net::SocketAddr =
        cluster.endpoint(Service::Mpi).trim_start_matches("https://").parse()?;
    // From another address: each has places of its own.
    let (opened, mut slow) = (Instant::now(), vec![]);
    for _ in 0..SLOW {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind("127.0.0.7:0".parse()?)?;
        slow.push(socket.connect(address).await?);
    }
    let north = Caller::new(&cluster, "north", &cluster.pki().join("north"))?;
    let began = Instant::now();
    north.is_admitted().await?;
    ensure!(began.elapsed() < Duration::from_secs(2), "it took {:?}", began.elapsed());
    // Each is ended: those beyond the bound at once, the others when their time is over, 5 s.
    let ends = slow.into_iter().map(async |mut stream| {
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut byte)).await;
        ensure!(matches!(read, Ok(Ok(0) | Err(_))), "a connection without a handshake stays");
        Ok(opened.elapsed())
    });
    let ends = futures_util::future::try_join_all(ends).await?;
    let at_once = ends.iter().filter(|after| **after < Duration::from_millis(3_500)).count();
    assert_eq!(at_once, SLOW - 256, "an address has places for 256");
    Ok(())
}
