//! An operator takes a member in, renews what proves it, and keeps it out, at the command line.

use anyhow::{Context, ensure};
use signpost::config::Service;
use signpost_common::rpc::token::User;
use signpost_proto::{
    common::v1::{PurposeOfUse, Role},
    mpi::v1::MatchPatientRequest,
};
use signpost_tests::{Cluster, Topology, physician, scenario::person, user};

use crate::command::{Ran, run};

async fn member(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<Ran> {
    let endpoint = cluster.endpoint(Service::Directory);
    run(cluster.dir(), &[&["member"], arguments, &["--pki", "pki", "--endpoint", &endpoint]].concat()).await
}

async fn may_ask(cluster: &Cluster, user: &User) -> anyhow::Result<bool> {
    let client = cluster.client("west", Service::Mpi)?;
    let request = MatchPatientRequest { demographics: Some(person(1)) };
    Ok(client.mpi().match_patient(client.request(user, request)?).await.is_ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_looks_after_members() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let listed = member(&cluster, &["list"]).await?.well()?;
    for expected in ["north", "operator", "provider", "active", "TREAT"] {
        ensure!(listed.contains(expected), "{expected}: {listed}");
    }
    let added = ["add", "lakeside", "--name", "Lakeside Practice", "--kind", "payer", "--grant", "HPAYMT"];
    ensure!(member(&cluster, &added).await?.well()?.contains("lakeside is a member"));
    let other = ["add", "lakeside", "--name", "Another Practice"];
    let (_, twice) = member(&cluster, &other).await?.badly()?;
    ensure!(twice.contains("AlreadyExists"), "{twice}");
    let granted = member(&cluster, &["grant", "lakeside", "HPAYMT", "HOPERAT"]).await?.well()?;
    ensure!(granted.contains("HPAYMT HOPERAT"), "{granted}");
    let endpoint =
        ["endpoint", "set", "lakeside", "https://lakeside.example:8443/fhir", "--protocol", "fhir"];
    member(&cluster, &endpoint).await?.well()?;
    let shown = member(&cluster, &["show", "lakeside"]).await?.well()?;
    for expected in
        ["Lakeside Practice", "payer", "HPAYMT HOPERAT", "https://lakeside.example:8443/fhir", "fhir"]
    {
        ensure!(shown.contains(expected), "{expected}: {shown}");
    }
    member(&cluster, &["endpoint", "remove", "lakeside"]).await?.well()?;
    ensure!(!member(&cluster, &["show", "lakeside"]).await?.well()?.contains("documents at"));
    let (_, unknown) = member(&cluster, &["show", "nobody"]).await?.badly()?;
    ensure!(unknown.contains("NotFound"), "{unknown}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_proves_a_member_is_added_and_revoked() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    ensure!(may_ask(&cluster, &physician()).await?);
    let shown = member(&cluster, &["show", "west"]).await?.well()?;
    let fingerprint =
        shown.split_whitespace().find(|word| word.len() == 64).context("no fingerprint")?.to_owned();
    let (_, private) =
        member(&cluster, &["certificate", "add", "west", "pki/west/key.pem"]).await?.badly()?;
    ensure!(private.contains("private key"), "{private}");
    member(&cluster, &["key", "add", "west", "second", "pki/west/token.pub.pem"]).await?.well()?;
    ensure!(member(&cluster, &["show", "west"]).await?.well()?.contains("second"));
    member(&cluster, &["key", "revoke", "west", "second"]).await?.well()?;
    member(&cluster, &["suspend", "west"]).await?.well()?;
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    ensure!(!may_ask(&cluster, &physician()).await?, "a suspended member is admitted");
    member(&cluster, &["resume", "west"]).await?.well()?;
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    ensure!(may_ask(&cluster, &physician()).await?);
    ensure!(member(&cluster, &["certificate", "revoke", &fingerprint]).await?.well()?.contains("is revoked"));
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    ensure!(!may_ask(&cluster, &user("dr.lee", Role::Physician, PurposeOfUse::Treat)).await?);
    let (_, denied) = member(&cluster, &["list", "--role", "physician"]).await?.badly()?;
    ensure!(denied.contains("ROLE_NOT_PERMITTED"), "{denied}");
    Ok(())
}
