//! The handlers: authorise, convert, call, convert.

use std::sync::Arc;

use signpost_common::{
    clock::SharedClock,
    id::MemberId,
    rpc::{self, Context, audit::AuditTrail, page, status},
};
use signpost_proto::{
    audit::v1::EventKind,
    common::v1::Role,
    directory::v1::{self as proto, directory_service_server::DirectoryService},
};
use tonic::{Request, Response, Status};

use crate::{convert, domain, error::Error, store::Store, tokens::Tokens};

pub(crate) struct Service {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) tokens: Arc<dyn Tokens>,
    pub(crate) audit: AuditTrail,
    pub(crate) clock: SharedClock,
}

impl Service {
    fn now_us(&self) -> i64 {
        self.clock.now().as_microsecond()
    }

    /// Records a change before it is made.
    async fn changing(
        &self,
        context: &Context,
        action: &str,
        object_id: &str,
        request_id: &str,
    ) -> Result<(), Status> {
        rpc::request_id(request_id)?;
        let action = format!("/signpost.directory.v1.DirectoryService/{action}");
        self.audit.change(context, EventKind::Directory, &action, object_id, request_id).await
    }
}

/// Members change their own endpoint only; the operator anyone's.
fn own_or_operator(context: &Context, id: &MemberId) -> Result<(), Status> {
    if context.is(&[Role::Operator]) || context.caller.member_id == id.as_str() {
        Ok(())
    } else {
        Err(status::denied("NOT_YOUR_OWN", "members may change their own endpoint only"))
    }
}

#[tonic::async_trait]
impl DirectoryService for Service {
    async fn create_member(
        &self,
        request: Request<proto::CreateMemberRequest>,
    ) -> Result<Response<proto::CreateMemberResponse>, Status> {
        let context = Context::of(&request)?;
        let proto::CreateMemberRequest { member, request_id } = request.into_inner();
        let member = member.ok_or_else(|| status::invalid("member", "must be set"))?;
        let member = convert::new_member(member, self.now_us())?;
        self.changing(&context, "CreateMember", member.id.as_str(), &request_id).await?;
        let member = self.store.create_member(&member).await?;
        Ok(Response::new(proto::CreateMemberResponse { member: Some(member.into()) }))
    }

    async fn get_member(
        &self,
        request: Request<proto::GetMemberRequest>,
    ) -> Result<Response<proto::GetMemberResponse>, Status> {
        let id = convert::member_id("member_id", &request.get_ref().member_id)?;
        let member = self.store.member(&id).await?.ok_or(Error::MemberUnknown)?;
        Ok(Response::new(proto::GetMemberResponse { member: Some(member.into()) }))
    }

    async fn list_members(
        &self,
        request: Request<proto::ListMembersRequest>,
    ) -> Result<Response<proto::ListMembersResponse>, Status> {
        let proto::ListMembersRequest { page_size, page_token } = request.into_inner();
        let limit = page::size(page_size)?;
        let after = page::position(b"members", &page_token)?;
        let mut members = self.store.members(after.as_deref(), limit + 1).await?;
        let next_page_token = page::cut(b"members", &mut members, limit, |member| member.id.to_string());
        let members = members.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ListMembersResponse { members, next_page_token }))
    }

    async fn update_member(
        &self,
        request: Request<proto::UpdateMemberRequest>,
    ) -> Result<Response<proto::UpdateMemberResponse>, Status> {
        let context = Context::of(&request)?;
        let proto::UpdateMemberRequest { member_id, display_name, state, request_id } = request.into_inner();
        let id = convert::member_id("member_id", &member_id)?;
        let name = match display_name.as_str() {
            "" => None,
            text => Some(convert::name("display_name", text)?),
        };
        let state = convert::state("state", state)?;
        self.changing(&context, "UpdateMember", &member_id, &request_id).await?;
        let member = self.store.update_member(&id, name.as_deref(), state).await?;
        Ok(Response::new(proto::UpdateMemberResponse { member: Some(member.into()) }))
    }

    async fn add_certificate(
        &self,
        request: Request<proto::AddCertificateRequest>,
    ) -> Result<Response<proto::AddCertificateResponse>, Status> {
        let context = Context::of(&request)?;
        let proto::AddCertificateRequest { member_id, certificate_pem, request_id } = request.into_inner();
        let id = convert::member_id("member_id", &member_id)?;
        let certificate = convert::certificate(&id, &certificate_pem)?;
        self.changing(&context, "AddCertificate", &member_id, &request_id).await?;
        let certificate = self.store.add_certificate(&id, &certificate).await?;
        let certificate = Some(convert::certificate_to_proto(&id, &certificate));
        Ok(Response::new(proto::AddCertificateResponse { certificate }))
    }

    async fn revoke_certificate(
        &self,
        request: Request<proto::RevokeCertificateRequest>,
    ) -> Result<Response<proto::RevokeCertificateResponse>, Status> {
        let context = Context::of(&request)?;
        let proto::RevokeCertificateRequest { fingerprint, request_id } = request.into_inner();
        let fingerprint = convert::fingerprint("fingerprint", &fingerprint)?;
        let object = self.store.by_certificate(&fingerprint).await?.ok_or(Error::CertificateUnknown)?;
        self.changing(&context, "RevokeCertificate", object.id.as_str(), &request_id).await?;
        let (id, certificate) = self.store.revoke_certificate(&fingerprint, self.now_us()).await?;
        let certificate = Some(convert::certificate_to_proto(&id, &certificate));
        Ok(Response::new(proto::RevokeCertificateResponse { certificate }))
    }

    async fn add_token_key(
        &self,
        request: Request<proto::AddTokenKeyRequest>,
    ) -> Result<Response<proto::AddTokenKeyResponse>, Status> {
        let context = Context::of(&request)?;
        let proto::AddTokenKeyRequest { member_id, token_key, request_id } = request.into_inner();
        let id = convert::member_id("member_id", &member_id)?;
        let key = convert::token_key(token_key)?;
        self.changing(&context, "AddTokenKey", &member_id, &request_id).await?;
        let key = self.store.add_token_key(&id, &key).await?;
        Ok(Response::new(proto::AddTokenKeyResponse { token_key: Some(key.into()) }))
    }

    async fn revoke_token_key(
        &self,
        request: Request<proto::RevokeTokenKeyRequest>,
    ) -> Result<Response<proto::RevokeTokenKeyResponse>, Status> {
        let context = Context::of(&request)?;
        let proto::RevokeTokenKeyRequest { member_id, kid, request_id } = request.into_inner();
        let id = convert::member_id("member_id", &member_id)?;
        convert::kid("kid", &kid)?;
        self.changing(&context, "RevokeTokenKey", &member_id, &request_id).await?;
        let key = self.store.revoke_token_key(&id, &kid, self.now_us()).await?;
        Ok(Response::new(proto::RevokeTokenKeyResponse { token_key: Some(key.into()) }))
    }

    async fn set_endpoint(
        &self,
        request: Request<proto::SetEndpointRequest>,
    ) -> Result<Response<proto::SetEndpointResponse>, Status> {
        let context = Context::of(&request)?;
        let proto::SetEndpointRequest { member_id, endpoint, request_id } = request.into_inner();
        let id = convert::member_id("member_id", &member_id)?;
        own_or_operator(&context, &id)?;
        let endpoint = convert::endpoint(endpoint)?;
        self.changing(&context, "SetEndpoint", &member_id, &request_id).await?;
        self.store.set_endpoint(&id, Some(&endpoint)).await?;
        Ok(Response::new(proto::SetEndpointResponse { endpoint: Some(endpoint.into()) }))
    }

    async fn delete_endpoint(
        &self,
        request: Request<proto::DeleteEndpointRequest>,
    ) -> Result<Response<proto::DeleteEndpointResponse>, Status> {
        let context = Context::of(&request)?;
        let proto::DeleteEndpointRequest { member_id, request_id } = request.into_inner();
        let id = convert::member_id("member_id", &member_id)?;
        own_or_operator(&context, &id)?;
        self.changing(&context, "DeleteEndpoint", &member_id, &request_id).await?;
        self.store.set_endpoint(&id, None).await?;
        Ok(Response::new(proto::DeleteEndpointResponse {}))
    }

    async fn set_purpose_grants(
        &self,
        request: Request<proto::SetPurposeGrantsRequest>,
    ) -> Result<Response<proto::SetPurposeGrantsResponse>, Status> {
        let context = Context::of(&request)?;
        let proto::SetPurposeGrantsRequest { member_id, purposes, request_id } = request.into_inner();
        let id = convert::member_id("member_id", &member_id)?;
        let purposes = convert::purposes("purposes", &purposes)?;
        self.changing(&context, "SetPurposeGrants", &member_id, &request_id).await?;
        self.store.set_purposes(&id, &purposes).await?;
        let purposes = purposes.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::SetPurposeGrantsResponse { purposes }))
    }

    async fn resolve_certificate(
        &self,
        request: Request<proto::ResolveCertificateRequest>,
    ) -> Result<Response<proto::ResolveCertificateResponse>, Status> {
        let fingerprint = convert::fingerprint("fingerprint", &request.get_ref().fingerprint)?;
        let member = self.store.by_certificate(&fingerprint).await?;
        let resolved = domain::resolve(member, &fingerprint, self.now_us());
        Ok(Response::new(match resolved {
            Ok(member) => proto::ResolveCertificateResponse { member: Some(member.into()), refusal: 0 },
            Err(state) => proto::ResolveCertificateResponse { member: None, refusal: state.into() },
        }))
    }

    async fn use_tokens(
        &self,
        request: Request<proto::UseTokensRequest>,
    ) -> Result<Response<proto::UseTokensResponse>, Status> {
        let tokens = convert::used_tokens(request.into_inner(), self.now_us())?;
        let noted = self.tokens.note(&tokens).await;
        let fresh = noted.map_err(|error| status::database(&error))?;
        Ok(Response::new(proto::UseTokensResponse { fresh }))
    }
}
