//! What patients and privacy officers are told without asking.

use signpost_common::{
    id::NoticeId,
    rpc::{Context, page, status::invalid},
};
use signpost_proto::{
    common::v1::Role,
    consent::v1::{self as proto, NoticeParty, notice_service_server::NoticeService},
};
use tonic::{Request, Response, Status};

use super::Service;
use crate::{
    convert,
    domain::notice::{Notice, Party},
};

/// Returns for whom a caller reads notices.
fn party(context: &Context) -> Result<Party, Status> {
    let member_id = convert::member_id(context)?;
    if context.operator {
        return Ok(Party::Operator);
    }
    if !context.is(&[Role::Patient, Role::Representative]) {
        return Ok(Party::Member(member_id));
    }
    let record = signpost_common::id::RecordRef::new(member_id, &context.caller.user);
    record.map(Party::Patient).map_err(|error| invalid("user", error))
}

#[tonic::async_trait]
impl NoticeService for Service {
    async fn record_release_notices(
        &self,
        request: Request<proto::RecordReleaseNoticesRequest>,
    ) -> Result<Response<proto::RecordReleaseNoticesResponse>, Status> {
        let context = Context::of(&request)?;
        let request = request.into_inner();
        let (parties, template) =
            (request.parties.clone(), convert::release(&context, &request, self.now_us())?);
        let mut notices = vec![];
        let mut tell = |party| {
            notices.push(Notice { id: NoticeId::generate(), party, ..template.clone() });
        };
        for party in parties {
            match NoticeParty::try_from(party) {
                Ok(NoticeParty::Patient) => {
                    let records = convert::records(request.patient_records.clone())?;
                    records.into_iter().map(Party::Patient).for_each(&mut tell);
                }
                Ok(NoticeParty::PrivacyOfficer) => {
                    tell(Party::Member(convert::parsed("custodian", &request.custodian)?));
                }
                Ok(NoticeParty::Unspecified) | Err(_) => return Err(invalid("parties", "has no such party")),
            }
        }
        self.store.add_notices(&notices).await?;
        Ok(Response::new(proto::RecordReleaseNoticesResponse {}))
    }

    async fn list_notices(
        &self,
        request: Request<proto::ListNoticesRequest>,
    ) -> Result<Response<proto::ListNoticesResponse>, Status> {
        let context = Context::of(&request)?;
        let proto::ListNoticesRequest { include_acknowledged, page_size, page_token } = request.into_inner();
        let party = party(&context)?;
        let limit = page::size(page_size)?;
        let query = format!("notices {} {include_acknowledged}", context.actor());
        let below = page::position(query.as_bytes(), &page_token)?;
        let below = below.map(|id| convert::parsed("page_token", &id)).transpose()?;
        let mut rows = self.store.notices(&party, include_acknowledged, below, limit + 1).await?;
        let next_page_token = page::cut(query.as_bytes(), &mut rows, limit, |notice| notice.id.to_string());
        let notices = rows.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ListNoticesResponse { notices, next_page_token }))
    }

    async fn acknowledge_notice(
        &self,
        request: Request<proto::AcknowledgeNoticeRequest>,
    ) -> Result<Response<proto::AcknowledgeNoticeResponse>, Status> {
        let context = Context::of(&request)?;
        let proto::AcknowledgeNoticeRequest { notice_id, request_id } = request.into_inner();
        convert::request_id(&request_id)?;
        let id = convert::parsed("notice_id", &notice_id)?;
        let notice = self.store.acknowledge(&party(&context)?, id, self.now_us()).await?;
        Ok(Response::new(proto::AcknowledgeNoticeResponse { notice: Some(notice.into()) }))
    }
}

impl From<Notice> for proto::Notice {
    fn from(notice: Notice) -> Self {
        let sentence = notice.sentence();
        let Notice { id, party, kind, member_id, user, session, document, created_us, acknowledged_us } =
            notice;
        let (party, user) = match party {
            Party::Patient(_) => (NoticeParty::Patient, String::new()),
            Party::Member(_) | Party::Operator => (NoticeParty::PrivacyOfficer, user),
        };
        Self {
            notice_id: id.to_string(),
            kind: kind.into(),
            party: party.into(),
            created_at: Some(signpost_common::clock::micros_to_proto(created_us)),
            member_id: member_id.to_string(),
            user,
            emergency_session_id: session.map(|id| id.to_string()).unwrap_or_default(),
            document_id: document.map(|id| id.to_string()).unwrap_or_default(),
            sentence,
            acknowledged_at: acknowledged_us.map(signpost_common::clock::micros_to_proto),
        }
    }
}
