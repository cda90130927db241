//! Certificates that name a member and are not, or no longer, the member's: who holds one takes nothing from the member.

use std::time::Duration;

use anyhow::ensure;
use rustls::pki_types::ServerName;
use signpost::{config::Service, pki};
use signpost_common::rpc::{client, status, tls};
use signpost_tests::{Cluster, Topology};
use tokio::net::TcpStream;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::connections::{Caller, issue, register, revoke};

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_a_certificate_that_names_a_member_locks_it_out_of_nothing() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let authority = pki::open_authority(&cluster.pki())?;
    let (never, lost) = (cluster.dir().join("never"), cluster.dir().join("lost"));
    issue(&never, &authority, "north", 3600, 74)?;
    issue(&lost, &authority, "north", 3600, 75)?;
    register(&cluster, "north", &lost.join("cert.pem")).await?;
    let lost = Caller::new(&cluster, "north", &lost)?;
    // While it was good it had all of the member's connections; then it was revoked.
    let mut open = vec![];
    for _ in 0..256 {
        let again = lost.afresh(&cluster)?;
        again.is_admitted().await?;
        open.push(again);
    }
    let north = Caller::new(&cluster, "north", &cluster.pki().join("north"))?;
    assert_eq!(north.calls().await?, (Code::ResourceExhausted, "TOO_MANY_CONNECTIONS".into()));
    revoke(&cluster, &lost.files.cert).await?;
    lost.comes_to("MEMBER_UNKNOWN").await?;
    for caller in &open {
        assert_eq!(caller.calls().await?.1, "MEMBER_UNKNOWN");
    }
    north.afresh(&cluster)?.is_admitted().await?;
    // One that nobody registered opens as many as it can, and is refused as often.
    let tls = tls::client(&tls::Files {
        cert: never.join("cert.pem"),
        key: never.join("key.pem"),
        ..lost.files.clone()
    })?;
    let mut handshakes = vec![];
    for _ in 0..300 {
        let tcp = TcpStream::connect(cluster.endpoint(Service::Mpi).trim_start_matches("https://")).await?;
        let connector = tokio_rustls::TlsConnector::from(tls.clone());
        handshakes.push(connector.connect(ServerName::try_from("exchange")?, tcp).await?);
    }
    let mut north = vec![];
    for _ in 0..100 {
        let again = Caller::new(&cluster, "north", &cluster.pki().join("north"))?;
        again.is_admitted().await?;
        north.push(again);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_a_certificate_that_names_a_member_uses_up_none_of_its_calls() -> anyhow::Result<()> {
    let builder = Cluster::builder(Topology::InProcess).without_sources();
    let cluster = builder.configure(|config| config.limits.member_per_second = 20).start().await?;
    let never = cluster.dir().join("never");
    issue(&never, &pki::open_authority(&cluster.pki())?, "north", 3600, 76)?;
    let north = Caller::new(&cluster, "north", &cluster.pki().join("north"))?;
    let tls = tls::client(&tls::Files {
        cert: never.join("cert.pem"),
        key: never.join("key.pem"),
        ..north.files.clone()
    })?;
    let stranger = client::remote(&cluster.endpoint(Service::Mpi), "exchange", tls)?;
    // What is open to all is so within the limits of one.
    let checks = (0..200).map(async |_| {
        HealthClient::new(stranger.clone()).check(HealthCheckRequest::default()).await.map(drop)
    });
    let answers = futures_util::future::join_all(checks);
    let calls = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        for _ in 0..5 {
            north.is_admitted().await?;
        }
        anyhow::Ok(())
    };
    let (answers, calls) = tokio::join!(answers, calls);
    calls?;
    let limited = answers.iter().filter_map(|answer| answer.as_ref().err()).map(status::reason);
    ensure!(limited.filter(|reason| reason == "MEMBER_RATE_LIMIT").count() > 50, "{answers:?}");
    Ok(())
}
