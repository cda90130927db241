//! The handlers: authorise, convert, call, convert.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use prost::Message;
use signpost_common::{
    clock::{self, SharedClock},
    db,
    hash::Blinder,
    id::{EventId, MemberId},
    rpc::{
        Context, page,
        status::{self, invalid},
    },
    telemetry,
};
use signpost_proto::{
    audit::v1::{self as proto, Event, EventKind, EventOutcome, audit_log_service_server::AuditLogService},
    common::v1::RecordReference,
};
use tonic::{Request, Response, Status};

use crate::{
    convert,
    domain::merkle::{self, Hash, Subtree},
    error::Error,
    store::Store,
    writer::Writer,
};

pub(crate) struct Service {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) writer: Writer,
    pub(crate) blinder: Blinder,
    pub(crate) clock: SharedClock,
}

impl Service {
    /// Records that the log is read, before anything of it is given away.
    async fn reading(
        &self,
        context: &Context,
        action: &str,
        object_id: String,
        patient: Option<RecordReference>,
    ) -> Result<(), Status> {
        let event = Event {
            event_id: EventId::generate().to_string(),
            kind: EventKind::AuditRead.into(),
            action: format!("/signpost.audit.v1.AuditLogService/{action}"),
            outcome: EventOutcome::Success.into(),
            caller: Some(context.caller.clone()),
            patient_records: patient.into_iter().collect(),
            trace_id: telemetry::trace_id(),
            occurred_at: Some(clock::to_proto(self.clock.now())),
            object_id,
            ..Event::default()
        };
        self.writer.append(convert::entry(Some(event), &self.blinder)?).await?;
        Ok(())
    }

    /// Returns the size to prove something in: `asked`, or the present one when that is 0.
    async fn size(&self, field: &str, asked: u64) -> Result<u64, Status> {
        let size = self.store.size().await?;
        match asked {
            0 => Ok(size),
            _ if asked <= size => Ok(asked),
            _ => Err(invalid(field, "is larger than the log")),
        }
    }

    async fn path(&self, subtrees: &[Subtree]) -> Result<Vec<Vec<u8>>, Error> {
        let hashes = self.store.hashes(subtrees).await?;
        Ok(hashes.iter().map(|hash: &Hash| hash.to_vec()).collect())
    }
}

/// Returns whose events the caller sees: the operator's staff see all (`None`), members those of their own calls.
fn sees(context: &Context) -> Result<Option<MemberId>, Status> {
    if context.operator { Ok(None) } else { convert::member(context).map(Some) }
}

#[tonic::async_trait]
impl AuditLogService for Service {
    type WatchFlagsStream = BoxStream<'static, Result<proto::WatchFlagsResponse, Status>>;

    async fn append(
        &self,
        request: Request<proto::AppendRequest>,
    ) -> Result<Response<proto::AppendResponse>, Status> {
        Context::of(&request)?;
        let entry = convert::entry(request.into_inner().event, &self.blinder)?;
        let sequence = self.writer.append(entry).await?;
        Ok(Response::new(proto::AppendResponse { sequence }))
    }

    async fn search_events(
        &self,
        request: Request<proto::SearchEventsRequest>,
    ) -> Result<Response<proto::SearchEventsResponse>, Status> {
        let context = Context::of(&request)?;
        let mut request = request.into_inner();
        let limit = page::size(std::mem::take(&mut request.page_size))?;
        let page_token = std::mem::take(&mut request.page_token);
        let bound = request.encode_to_vec();
        let before = page::number(&bound, &page_token)?;
        let query = convert::query(request, sees(&context)?)?;
        let mut events = self.store.search(&query, before, limit + 1).await?;
        let next_page_token = page::cut(&bound, &mut events, limit, |event| event.sequence.to_string());
        let logged = |event| convert::logged(event, context.operator);
        let events = events.iter().map(logged).collect::<Result<_, _>>()?;
        self.reading(&context, "SearchEvents", String::new(), None).await?;
        Ok(Response::new(proto::SearchEventsResponse { events, next_page_token }))
    }

    async fn list_disclosures(
        &self,
        request: Request<proto::ListDisclosuresRequest>,
    ) -> Result<Response<proto::ListDisclosuresResponse>, Status> {
        let context = Context::of(&request)?;
        let mut request = request.into_inner();
        let limit = page::size(std::mem::take(&mut request.page_size))?;
        let page_token = std::mem::take(&mut request.page_token);
        let bound = request.encode_to_vec();
        let before = page::number(&bound, &page_token)?;
        let record = convert::patient(&context, request.patient)?;
        let subject = convert::subject(&self.blinder, &record);
        let mut events = self.store.disclosures(subject, before, limit + 1).await?;
        let next_page_token = page::cut(&bound, &mut events, limit, |event| event.sequence.to_string());
        let reader = convert::reader(&context);
        let disclosures = events.iter().map(|event| convert::disclosure(event, reader));
        let disclosures = disclosures.collect::<Result<_, _>>()?;
        let patient = RecordReference {
            member_id: record.member_id.to_string(),
            local_id: record.local_id().to_owned(),
        };
        self.reading(&context, "ListDisclosures", String::new(), Some(patient)).await?;
        Ok(Response::new(proto::ListDisclosuresResponse { disclosures, next_page_token }))
    }

    async fn get_checkpoint(
        &self,
        _: Request<proto::GetCheckpointRequest>,
    ) -> Result<Response<proto::GetCheckpointResponse>, Status> {
        let size = self.store.size().await?;
        let root_hash = self.path(&[Subtree::whole(size)]).await?.concat();
        Ok(Response::new(proto::GetCheckpointResponse { size, root_hash }))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<proto::GetInclusionProofRequest>,
    ) -> Result<Response<proto::GetInclusionProofResponse>, Status> {
        let context = Context::of(&request)?;
        let proto::GetInclusionProofRequest { sequence, size } = request.into_inner();
        let size = self.size("size", size).await?;
        if sequence >= size {
            return Err(invalid("sequence", "is not in a log of that size"));
        }
        let logged =
            self.store.event(sequence).await?.ok_or(db::Error::Corrupt("event")).map_err(Error::from)?;
        let path = self.path(&merkle::inclusion(sequence, size)).await?;
        let leaf_hash = merkle::leaf_hash(&logged.leaf).to_vec();
        // That an event is there may be proved to anyone; what it says is for those who may find it.
        // Leaves say what was withheld, and must be whole to be proved: they are for the operator alone.
        let mut leaf = vec![];
        if context.operator {
            self.reading(&context, "GetInclusionProof", sequence.to_string(), None).await?;
            leaf = logged.leaf;
        }
        Ok(Response::new(proto::GetInclusionProofResponse { leaf_hash, size, path, leaf }))
    }

    async fn get_consistency_proof(
        &self,
        request: Request<proto::GetConsistencyProofRequest>,
    ) -> Result<Response<proto::GetConsistencyProofResponse>, Status> {
        let proto::GetConsistencyProofRequest { first_size, second_size } = request.into_inner();
        let second_size = self.size("second_size", second_size).await?;
        if first_size == 0 || first_size > second_size {
            return Err(invalid("first_size", "must be at least 1 and at most the later size"));
        }
        let path = self.path(&merkle::consistency(first_size, second_size)).await?;
        Ok(Response::new(proto::GetConsistencyProofResponse { second_size, path }))
    }

    async fn watch_flags(
        &self,
        _: Request<proto::WatchFlagsRequest>,
    ) -> Result<Response<Self::WatchFlagsStream>, Status> {
        Err(status::unimplemented("WatchFlags"))
    }
}
