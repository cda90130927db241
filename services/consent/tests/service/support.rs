//! The service with an audit log that remembers, and callers that were admitted.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use signpost_common::{
    clock,
    db::Location,
    id::{DocumentId, RecordRef},
    lifecycle::Lifecycle,
    rpc::{Context, Transport, Unreachable, audit::AuditTrail, client, status},
};
use signpost_consent::{Config, Deps, Patients, document::NetworkDefault};
use signpost_proto::{
    audit::v1::{
        self as audit, Event,
        audit_log_service_server::{AuditLogService, AuditLogServiceServer},
    },
    common::v1::{Caller, PurposeOfUse, RecordReference, Role},
    consent::v1::{
        self as proto, Directive, DocumentFacts, Effect, EmergencyReason, ReviewOutcome,
        consent_service_client::ConsentServiceClient,
        emergency_access_service_client::EmergencyAccessServiceClient,
        policy_service_client::PolicyServiceClient,
    },
};
use tonic::{Code, Request, Response, Status, codegen::tokio_stream, service::Routes};
use tower::{ServiceExt, util::BoxCloneSyncService};

/// An audit log that keeps events in memory, or fails.
#[derive(Clone, Default)]
pub(crate) struct Log {
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
    pub(crate) fails: Arc<AtomicBool>,
}

type Answer<T> = Result<Response<T>, Status>;

pub(crate) fn unused<T>() -> Answer<T> {
    Err(status::unimplemented("this"))
}

#[tonic::async_trait]
impl AuditLogService for Log {
    type WatchCheckpointsStream = tokio_stream::Empty<Result<audit::WatchCheckpointsResponse, Status>>;
    type WatchFlagsStream = tokio_stream::Empty<Result<audit::WatchFlagsResponse, Status>>;
    type ReplayFlagsStream = tokio_stream::Empty<Result<audit::ReplayFlagsResponse, Status>>;

    async fn append(&self, request: Request<audit::AppendRequest>) -> Answer<audit::AppendResponse> {
        if self.fails.load(Ordering::Relaxed) {
            return unused();
        }
        self.events.lock().unwrap().push(request.into_inner().event.unwrap());
        Ok(Response::new(audit::AppendResponse { sequence: 0, waits: false }))
    }

    async fn search_events(
        &self,
        _: Request<audit::SearchEventsRequest>,
    ) -> Answer<audit::SearchEventsResponse> {
        unused()
    }

    async fn list_disclosures(
        &self,
        _: Request<audit::ListDisclosuresRequest>,
    ) -> Answer<audit::ListDisclosuresResponse> {
        unused()
    }

    async fn get_checkpoint(
        &self,
        _: Request<audit::GetCheckpointRequest>,
    ) -> Answer<audit::GetCheckpointResponse> {
        unused()
    }

    async fn watch_checkpoints(
        &self,
        _: Request<audit::WatchCheckpointsRequest>,
    ) -> Answer<Self::WatchCheckpointsStream> {
        unused()
    }

    async fn get_inclusion_proof(
        &self,
        _: Request<audit::GetInclusionProofRequest>,
    ) -> Answer<audit::GetInclusionProofResponse> {
        unused()
    }

    async fn get_consistency_proof(
        &self,
        _: Request<audit::GetConsistencyProofRequest>,
    ) -> Answer<audit::GetConsistencyProofResponse> {
        unused()
    }

    async fn watch_flags(&self, _: Request<audit::WatchFlagsRequest>) -> Answer<Self::WatchFlagsStream> {
        unused()
    }

    async fn list_flags(&self, _: Request<audit::ListFlagsRequest>) -> Answer<audit::ListFlagsResponse> {
        unused()
    }

    async fn acknowledge_flag(
        &self,
        _: Request<audit::AcknowledgeFlagRequest>,
    ) -> Answer<audit::AcknowledgeFlagResponse> {
        unused()
    }

    async fn replay_flags(&self, _: Request<audit::ReplayFlagsRequest>) -> Answer<Self::ReplayFlagsStream> {
        unused()
    }
}

/// An index in which every person has one record.
pub(crate) struct Everyone;

#[tonic::async_trait]
impl Patients for Everyone {
    async fn records(&self, _: &Context, id: String) -> Result<Option<Vec<RecordReference>>, Status> {
        Ok(Some(vec![RecordReference { member_id: "north".into(), local_id: id }]))
    }

    async fn knows(&self, _: &Context, record: &RecordRef) -> Result<bool, Status> {
        match record.local_id() {
            "nobody" => Ok(false),
            "silence" => Err(status::unavailable("INDEX_UNAVAILABLE", "the index does not answer")),
            _ => Ok(true),
        }
    }
}

pub(crate) struct Consent {
    pub(crate) routes: Routes,
    pub(crate) log: Log,
}

/// What one caller holds.
pub(crate) struct As {
    pub(crate) consent: ConsentServiceClient<Transport>,
    pub(crate) emergency: EmergencyAccessServiceClient<Transport>,
    pub(crate) policy: PolicyServiceClient<Transport>,
}

impl Consent {
    pub(crate) async fn start() -> Self {
        let log = Log::default();
        let audit = client::in_process(Routes::new(AuditLogServiceServer::new(log.clone())));
        let (audit, clock) = (AuditTrail::new(audit, clock::system()), clock::system());
        let deps = Deps { audit, patients: Arc::new(Everyone), clock, lifecycle: Lifecycle::new() };
        let network_default = NetworkDefault::OptOut;
        let config = Config {
            database: Location::Memory,
            network_default,
            emergency_per_user_per_day: 2,
            retention_days: 0,
        };
        Self { routes: signpost_consent::build(config, deps).await.unwrap(), log }
    }

    /// Calls as the user of a member: what admission does once it knows the caller.
    pub(crate) fn caller(&self, member_id: &str, user: &str, role: Role) -> As {
        let caller = Caller {
            member_id: member_id.into(),
            user: user.into(),
            role: role.into(),
            purpose: PurposeOfUse::Etreat.into(),
            ..Caller::default()
        };
        let context = Context { caller, operator: member_id == "operator", ..Context::exchange("test") };
        let admitted = self.routes.clone().prepare().map_request(move |mut request: http::Request<_>| {
            request.extensions_mut().insert(context.clone());
            request
        });
        let transport: Transport = BoxCloneSyncService::new(admitted.map_err(Unreachable::new));
        As {
            consent: ConsentServiceClient::new(transport.clone()),
            emergency: EmergencyAccessServiceClient::new(transport.clone()),
            policy: PolicyServiceClient::new(transport),
        }
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.log.events.lock().unwrap().clone()
    }
}

impl As {
    pub(crate) async fn create(
        &mut self,
        directive: Directive,
        request_id: &str,
    ) -> Result<Directive, Status> {
        let request =
            proto::CreateDirectiveRequest { directive: Some(directive), request_id: request_id.into() };
        Ok(self.consent.create_directive(request).await?.into_inner().directive.unwrap())
    }

    pub(crate) async fn open(&mut self, person_id: &str) -> Result<proto::EmergencySession, Status> {
        let request = open_request(person_id);
        Ok(self.emergency.open_emergency_access(request).await?.into_inner().session.unwrap())
    }

    pub(crate) async fn decide(
        &mut self,
        person_id: &str,
        session_id: &str,
    ) -> Result<proto::DecideResponse, Status> {
        let request = proto::DecideRequest {
            person_id: person_id.into(),
            patient_records: vec![patient("north", "p1"), patient("south", "77"), patient("north", "p1")],
            documents: vec![document()],
            emergency_session_id: session_id.into(),
            again: false,
        };
        Ok(self.consent.decide(request).await?.into_inner())
    }

    pub(crate) async fn close(&mut self, session_id: &str) -> Result<proto::EmergencySession, Status> {
        let request =
            proto::CloseEmergencyAccessRequest { session_id: session_id.into(), request_id: "c".into() };
        Ok(self.emergency.close_emergency_access(request).await?.into_inner().session.unwrap())
    }

    pub(crate) async fn sessions(&mut self, include_completed: bool) -> Vec<proto::EmergencySession> {
        let request = proto::ListEmergencyReviewsRequest { include_completed, ..Default::default() };
        self.emergency.list_emergency_reviews(request).await.unwrap().into_inner().sessions
    }

    pub(crate) async fn reviews(&mut self) -> Vec<String> {
        self.sessions(false).await.into_iter().map(|s| s.session_id).collect()
    }

    pub(crate) async fn review(&mut self, session_id: &str) -> Result<proto::EmergencySession, Status> {
        self.review_as(session_id, ReviewOutcome::Justified, "").await
    }

    pub(crate) async fn review_as(
        &mut self,
        session_id: &str,
        outcome: ReviewOutcome,
        follow_up: &str,
    ) -> Result<proto::EmergencySession, Status> {
        let request = proto::CompleteEmergencyReviewRequest {
            session_id: session_id.into(),
            outcome: outcome.into(),
            note: "seen".into(),
            request_id: "r".into(),
            follow_up: follow_up.into(),
        };
        Ok(self.emergency.complete_emergency_review(request).await?.into_inner().session.unwrap())
    }
}

pub(crate) fn patient(member_id: &str, local_id: &str) -> RecordReference {
    RecordReference { member_id: member_id.into(), local_id: local_id.into() }
}

pub(crate) fn document() -> DocumentFacts {
    DocumentFacts {
        document_id: DocumentId::generate().to_string(),
        custodian: "north".into(),
        labels: vec!["N".into()],
        ..DocumentFacts::default()
    }
}

pub(crate) fn denial() -> Directive {
    Directive {
        patient: Some(patient("", "p1")),
        effect: Effect::Deny.into(),
        overridable: true,
        ..Directive::default()
    }
}

pub(crate) fn open_request(person_id: &str) -> proto::OpenEmergencyAccessRequest {
    proto::OpenEmergencyAccessRequest {
        person_id: person_id.into(),
        reason: EmergencyReason::Unconscious.into(),
        reason_text: "cannot be asked".into(),
        ttl_seconds: 0,
        request_id: person_id.into(),
        scope: None,
    }
}

#[track_caller]
pub(crate) fn refused<T>(result: Result<T, Status>, code: Code, reason: &str) {
    let status = result.err().expect("refused");
    assert_eq!((status.code(), status::reason(&status)), (code, reason.to_owned()), "{}", status.message());
}

#[track_caller]
pub(crate) fn wrong<T>(result: Result<T, Status>, field: &str) {
    let status = result.err().expect("refused");
    assert_eq!((status.code(), status::field(&status)), (Code::InvalidArgument, field.to_owned()));
}
