//! The handlers: authorise, convert, call, convert.

use std::sync::Arc;

use prost::Message;
use signpost_common::{
    clock::{self, SharedClock},
    db,
    hash::Blinder,
    id::{EventId, MemberId},
    lifecycle::Lifecycle,
    rpc::{
        Context, page,
        status::invalid,
        watch::{self, Watch, Watchers},
    },
    telemetry,
};
use signpost_proto::{
    audit::v1::{self as proto, Event, EventKind, EventOutcome, audit_log_service_server::AuditLogService},
    common::v1::RecordReference,
};
use tokio::sync::Notify;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::{
    convert,
    domain::merkle::{self, Hash, Subtree},
    error::Error,
    misuse::Misuse,
    notary::{self, Checkpoints},
    store::Store,
    writer::Writer,
};

/// Whose tokens those of checkpoints are: they are the same for everybody.
const CHECKPOINTS: &str = "checkpoints";

pub(crate) struct Service {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) writer: Writer,
    pub(crate) blinder: Blinder,
    pub(crate) clock: SharedClock,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) watchers: Watchers,
    pub(crate) signed: Arc<Notify>,
    pub(crate) misuse: Misuse,
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

/// Returns whose events the caller sees: the operator's staff see all (`None`), members those of their own calls. Services of
/// the exchange see those of the member that they name.
fn sees(context: &Context, asked: &str) -> Result<Option<MemberId>, Status> {
    let all = context.operator || (context.inside && !asked.is_empty());
    if all { Ok(None) } else { convert::member(context).map(Some) }
}

#[tonic::async_trait]
impl AuditLogService for Service {
    type WatchCheckpointsStream = ReceiverStream<Result<proto::WatchCheckpointsResponse, Status>>;
    type WatchFlagsStream = ReceiverStream<Result<proto::WatchFlagsResponse, Status>>;
    type ReplayFlagsStream = ReceiverStream<Result<proto::ReplayFlagsResponse, Status>>;

    async fn append(
        &self,
        request: Request<proto::AppendRequest>,
    ) -> Result<Response<proto::AppendResponse>, Status> {
        Context::of(&request)?;
        let entry = convert::entry(request.into_inner().event, &self.blinder)?;
        let place = self.writer.append(entry).await?;
        let (sequence, waits) = (place.unwrap_or_default(), place.is_none());
        Ok(Response::new(proto::AppendResponse { sequence, waits }))
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
        let own = sees(&context, &request.member_id)?;
        let query = convert::query(request, own)?;
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
        let checkpoint = self.store.last_checkpoint().await?.map(|kept| kept.note).unwrap_or_default();
        Ok(Response::new(proto::GetCheckpointResponse { size, root_hash, checkpoint }))
    }

    async fn watch_checkpoints(
        &self,
        request: Request<proto::WatchCheckpointsRequest>,
    ) -> Result<Response<Self::WatchCheckpointsStream>, Status> {
        let context = Context::of(&request)?;
        let proto::WatchCheckpointsRequest { resume_token, after_size } = request.into_inner();
        let last = self.store.last_checkpoint().await?.map_or(0, |kept| kept.size);
        let mut after = watch::position(CHECKPOINTS, &resume_token, notary::position(last).sequence)?;
        if resume_token.is_empty() {
            if after_size > last {
                return Err(invalid("after_size", "is larger than the last checkpoint"));
            }
            after = notary::position(after_size);
        }
        let place = self.watchers.place_of(&context.caller.member_id)?;
        let (log, query) = (Checkpoints(self.store.clone()), CHECKPOINTS.to_owned());
        let watch = Watch { log, query, after, changed: self.signed.clone(), place };
        Ok(Response::new(watch.run(&self.lifecycle)))
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
        request: Request<proto::WatchFlagsRequest>,
    ) -> Result<Response<Self::WatchFlagsStream>, Status> {
        let context = Context::of(&request)?;
        let watched = self.misuse.watch(&context, request.into_inner()).await?;
        self.reading(&context, "WatchFlags", String::new(), None).await?;
        Ok(Response::new(watched))
    }

    async fn list_flags(
        &self,
        request: Request<proto::ListFlagsRequest>,
    ) -> Result<Response<proto::ListFlagsResponse>, Status> {
        let context = Context::of(&request)?;
        let listed = self.misuse.list(&context, request.into_inner()).await?;
        self.reading(&context, "ListFlags", String::new(), None).await?;
        Ok(Response::new(listed))
    }

    async fn acknowledge_flag(
        &self,
        request: Request<proto::AcknowledgeFlagRequest>,
    ) -> Result<Response<proto::AcknowledgeFlagResponse>, Status> {
        let context = Context::of(&request)?;
        let request = request.into_inner();
        let raised = self.misuse.looked_at(&context, &request).await?;
        self.reading(&context, "AcknowledgeFlag", raised.number.to_string(), None).await?;
        let flag = self.misuse.acknowledge(raised).await?;
        Ok(Response::new(proto::AcknowledgeFlagResponse { flag: Some(flag) }))
    }

    async fn replay_flags(
        &self,
        request: Request<proto::ReplayFlagsRequest>,
    ) -> Result<Response<Self::ReplayFlagsStream>, Status> {
        let context = Context::of(&request)?;
        let size = self.store.size().await?;
        let raised = self.misuse.replay(&context, request.into_inner(), size).await?;
        self.reading(&context, "ReplayFlags", String::new(), None).await?;
        Ok(Response::new(raised))
    }
}
