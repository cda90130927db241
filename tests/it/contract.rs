//! The contract as a whole: what is not built says so, and what is private needs admission.

use anyhow::Context;
use signpost::config::Service;
use signpost_common::rpc::status;
use signpost_proto::{
    audit::v1::WatchFlagsRequest,
    common::v1::{PurposeOfUse, Role},
    registry::v1::WatchDocumentsRequest,
};
use signpost_tests::{Cluster, Topology, operator, system, user};
use tonic::{Code, Status};

fn not_built(answer: Result<(), Status>) -> anyhow::Result<()> {
    let error = answer.err().context("it answered")?;
    assert_eq!((error.code(), status::reason(&error).as_str()), (Code::Unimplemented, "NOT_BUILT"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_built_says_so() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let member = cluster.client("north", Service::Mpi)?;
    let request = member.request(&system(), WatchDocumentsRequest::default())?;
    not_built(member.registry().watch_documents(request).await.map(drop))?;
    let operators = cluster.client("operator", Service::Mpi)?;
    let request = operators.request(&operator(Role::PrivacyOfficer), WatchFlagsRequest::default())?;
    not_built(operators.audit().watch_flags(request).await.map(drop))
}

/// Calls of the exchange's own services, which no member may make in any role.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_private_to_the_exchange_is_refused_to_members() -> anyhow::Result<()> {
    use signpost_proto::{audit::v1::AppendRequest, consent::v1::DecideRequest};
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let client = cluster.client("north", Service::Audit)?;
    for role in [Role::Physician, Role::System, Role::PrivacyOfficer, Role::Operator] {
        let caller = user("eve", role, PurposeOfUse::Treat);
        let append = client.audit().append(client.request(&caller, AppendRequest::default())?).await;
        let decide = client.consent().decide(client.request(&caller, DecideRequest::default())?).await;
        for answer in [append.map(drop), decide.map(drop)] {
            let error = answer.err().context("it answered")?;
            assert_eq!(
                (error.code(), status::reason(&error).as_str()),
                (Code::PermissionDenied, "ROLE_NOT_PERMITTED")
            );
        }
    }
    Ok(())
}
