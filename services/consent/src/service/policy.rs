//! The policy of the network in versions: part of the contract, not built.

use signpost_common::rpc::status;
use signpost_proto::consent::v1::{self as proto, policy_service_server::PolicyService};
use tonic::{Request, Response, Status};

use super::Service;

#[tonic::async_trait]
impl PolicyService for Service {
    async fn draft_policy(
        &self,
        _: Request<proto::DraftPolicyRequest>,
    ) -> Result<Response<proto::DraftPolicyResponse>, Status> {
        Err(status::unimplemented("DraftPolicy"))
    }

    async fn validate_policy(
        &self,
        _: Request<proto::ValidatePolicyRequest>,
    ) -> Result<Response<proto::ValidatePolicyResponse>, Status> {
        Err(status::unimplemented("ValidatePolicy"))
    }

    async fn simulate_policy(
        &self,
        _: Request<proto::SimulatePolicyRequest>,
    ) -> Result<Response<proto::SimulatePolicyResponse>, Status> {
        Err(status::unimplemented("SimulatePolicy"))
    }

    async fn activate_policy(
        &self,
        _: Request<proto::ActivatePolicyRequest>,
    ) -> Result<Response<proto::ActivatePolicyResponse>, Status> {
        Err(status::unimplemented("ActivatePolicy"))
    }

    async fn rollback_policy(
        &self,
        _: Request<proto::RollbackPolicyRequest>,
    ) -> Result<Response<proto::RollbackPolicyResponse>, Status> {
        Err(status::unimplemented("RollbackPolicy"))
    }

    async fn list_policy_versions(
        &self,
        _: Request<proto::ListPolicyVersionsRequest>,
    ) -> Result<Response<proto::ListPolicyVersionsResponse>, Status> {
        Err(status::unimplemented("ListPolicyVersions"))
    }
}
