//! The contract as a whole: what is private needs admission.

use anyhow::Context;
use signpost::config::Service;
use signpost_common::rpc::status;
use signpost_proto::common::v1::{PurposeOfUse, Role};
use signpost_tests::{Cluster, Topology, user};
use tonic::Code;

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
