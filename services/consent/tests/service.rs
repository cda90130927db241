//! The handlers, called by callers that were admitted, with an audit log that remembers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use signpost_common::{
    clock,
    db::Location,
    id::{DocumentId, PersonId, SessionId},
    lifecycle::Lifecycle,
    rpc::{Context, Transport, Unreachable, audit::AuditTrail, client, status},
};
use signpost_consent::{Config, Deps, Patients, document::NetworkDefault};
use signpost_proto::{
    audit::v1::{
        self as audit, Event, EventKind,
        audit_log_service_server::{AuditLogService, AuditLogServiceServer},
    },
    common::v1::{Caller, PurposeOfUse, RecordReference, Role},
    consent::v1::{
        self as proto, Directive, DocumentFacts, Effect, EmergencyReason, Match, ReviewOutcome,
        consent_service_client::ConsentServiceClient,
        emergency_access_service_client::EmergencyAccessServiceClient,
        policy_service_client::PolicyServiceClient,
    },
};
use tonic::{Code, Request, Response, Status, codegen::tokio_stream, service::Routes};
use tower::{ServiceExt, util::BoxCloneSyncService};

/// An audit log that keeps events in memory, or fails.
#[derive(Clone, Default)]
struct Log {
    events: Arc<Mutex<Vec<Event>>>,
    fails: Arc<AtomicBool>,
}

type Answer<T> = Result<Response<T>, Status>;

fn unused<T>() -> Answer<T> {
    Err(status::unimplemented("this"))
}

#[tonic::async_trait]
impl AuditLogService for Log {
    type WatchFlagsStream = tokio_stream::Empty<Result<audit::WatchFlagsResponse, Status>>;

    async fn append(&self, request: Request<audit::AppendRequest>) -> Answer<audit::AppendResponse> {
        if self.fails.load(Ordering::Relaxed) {
            return unused();
        }
        self.events.lock().unwrap().push(request.into_inner().event.unwrap());
        Ok(Response::new(audit::AppendResponse { sequence: 0 }))
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
}

/// An index in which every person has one record.
struct Everyone;

#[tonic::async_trait]
impl Patients for Everyone {
    async fn records(&self, _: &Context, id: String) -> Result<Option<Vec<RecordReference>>, Status> {
        Ok(Some(vec![RecordReference { member_id: "north".into(), local_id: id }]))
    }
}

struct Consent {
    routes: Routes,
    log: Log,
}

/// What one caller holds.
struct As {
    consent: ConsentServiceClient<Transport>,
    emergency: EmergencyAccessServiceClient<Transport>,
    policy: PolicyServiceClient<Transport>,
}

impl Consent {
    async fn start() -> Self {
        let log = Log::default();
        let audit = client::in_process(Routes::new(AuditLogServiceServer::new(log.clone())));
        let (audit, clock) = (AuditTrail::new(audit, clock::system()), clock::system());
        let deps = Deps { audit, patients: Arc::new(Everyone), clock, lifecycle: Lifecycle::new() };
        let network_default = NetworkDefault::OptOut;
        let config = Config { database: Location::Memory, network_default, emergency_per_user_per_day: 2 };
        Self { routes: signpost_consent::build(config, deps).await.unwrap(), log }
    }

    /// Calls as the user of a member: what admission does once it knows the caller.
    fn caller(&self, member_id: &str, user: &str, role: Role) -> As {
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

    fn events(&self) -> Vec<Event> {
        self.log.events.lock().unwrap().clone()
    }
}

impl As {
    async fn create(&mut self, directive: Directive, request_id: &str) -> Result<Directive, Status> {
        let request =
            proto::CreateDirectiveRequest { directive: Some(directive), request_id: request_id.into() };
        Ok(self.consent.create_directive(request).await?.into_inner().directive.unwrap())
    }

    async fn open(&mut self, person_id: &str) -> Result<proto::EmergencySession, Status> {
        let request = open_request(person_id);
        Ok(self.emergency.open_emergency_access(request).await?.into_inner().session.unwrap())
    }

    async fn decide(&mut self, person_id: &str, session_id: &str) -> Result<proto::DecideResponse, Status> {
        let request = proto::DecideRequest {
            person_id: person_id.into(),
            patient_records: vec![patient("north", "p1"), patient("south", "77"), patient("north", "p1")],
            documents: vec![document()],
            emergency_session_id: session_id.into(),
            again: false,
        };
        Ok(self.consent.decide(request).await?.into_inner())
    }

    async fn close(&mut self, session_id: &str) -> Result<proto::EmergencySession, Status> {
        let request =
            proto::CloseEmergencyAccessRequest { session_id: session_id.into(), request_id: "c".into() };
        Ok(self.emergency.close_emergency_access(request).await?.into_inner().session.unwrap())
    }

    async fn reviews(&mut self) -> Vec<String> {
        let request = proto::ListEmergencyReviewsRequest::default();
        let response = self.emergency.list_emergency_reviews(request).await.unwrap().into_inner();
        response.sessions.into_iter().map(|s| s.session_id).collect()
    }

    async fn review(&mut self, session_id: &str) -> Result<proto::EmergencySession, Status> {
        let request = proto::CompleteEmergencyReviewRequest {
            session_id: session_id.into(),
            outcome: ReviewOutcome::Justified.into(),
            note: "seen".into(),
            request_id: "r".into(),
        };
        Ok(self.emergency.complete_emergency_review(request).await?.into_inner().session.unwrap())
    }
}

fn patient(member_id: &str, local_id: &str) -> RecordReference {
    RecordReference { member_id: member_id.into(), local_id: local_id.into() }
}

fn document() -> DocumentFacts {
    DocumentFacts {
        document_id: DocumentId::generate().to_string(),
        custodian: "north".into(),
        labels: vec!["N".into()],
        ..DocumentFacts::default()
    }
}

fn denial() -> Directive {
    Directive {
        patient: Some(patient("", "p1")),
        effect: Effect::Deny.into(),
        overridable: true,
        ..Directive::default()
    }
}

fn open_request(person_id: &str) -> proto::OpenEmergencyAccessRequest {
    proto::OpenEmergencyAccessRequest {
        person_id: person_id.into(),
        reason: EmergencyReason::Unconscious.into(),
        reason_text: "cannot be asked".into(),
        ttl_seconds: 0,
        request_id: person_id.into(),
    }
}

#[track_caller]
fn refused<T>(result: Result<T, Status>, code: Code, reason: &str) {
    let status = result.err().expect("refused");
    assert_eq!((status.code(), status::reason(&status)), (code, reason.to_owned()), "{}", status.message());
}

#[track_caller]
fn wrong<T>(result: Result<T, Status>, field: &str) {
    let status = result.err().expect("refused");
    assert_eq!((status.code(), status::field(&status)), (Code::InvalidArgument, field.to_owned()));
}

#[tokio::test]
async fn a_patient_says_no_and_takes_it_back() {
    let service = Consent::start().await;
    let mut patient = service.caller("north", "p1", Role::Patient);
    let mut doctor = service.caller("south", "dr-lee", Role::Physician);
    let person = PersonId::generate().to_string();

    let before = doctor.decide(&person, "").await.unwrap();
    assert_eq!(before.decisions[0].effect(), Effect::Permit);
    assert_eq!(before.policy_version, "opt-out");
    let made = patient.create(denial(), "1").await.unwrap();
    assert_eq!(made.patient.as_ref().unwrap().member_id, "north");
    let denied = doctor.decide(&person, "").await.unwrap();
    assert_eq!(denied.decisions[0].effect(), Effect::Deny);
    assert_eq!(denied.decisions[0].rule_ids.concat(), made.directive_id);
    assert!(denied.decisions[0].emergency_could_permit);
    assert_ne!(denied.epoch, before.epoch);

    let id = made.directive_id.clone();
    let revoke = proto::RevokeDirectiveRequest { directive_id: id.clone(), request_id: "2".into() };
    let revoked = patient.consent.revoke_directive(revoke.clone()).await.unwrap().into_inner().directive;
    let again = patient.consent.revoke_directive(revoke).await.unwrap().into_inner().directive;
    assert!(revoked.as_ref().unwrap().revoked_at.is_some());
    assert_eq!(revoked, again);
    let after = doctor.decide(&person, "").await.unwrap();
    assert_eq!(after.decisions[0].effect(), Effect::Permit);
    assert_ne!(after.epoch, denied.epoch);

    let list = proto::ListDirectivesRequest { patient: denial().patient, ..Default::default() };
    let listed = patient.consent.list_directives(list).await.unwrap().into_inner();
    assert_eq!((listed.directives.len(), listed.next_page_token.as_str()), (1, ""));
    let events = service.events();
    assert!(events.iter().all(|e| e.kind() == EventKind::Consent && e.object_id == id));
    assert_eq!(events[0].patient_records.len(), 1);
}

#[tokio::test]
async fn nothing_changes_that_was_not_audited() {
    let service = Consent::start().await;
    let mut patient = service.caller("north", "p1", Role::Patient);
    let made = patient.create(denial(), "1").await.unwrap();
    service.log.fails.store(true, Ordering::Relaxed);
    refused(patient.create(denial(), "2").await, Code::Unavailable, "AUDIT_UNAVAILABLE");
    let revoke = proto::RevokeDirectiveRequest { directive_id: made.directive_id, request_id: "3".into() };
    refused(patient.consent.revoke_directive(revoke).await, Code::Unavailable, "AUDIT_UNAVAILABLE");
    let list = proto::ListDirectivesRequest { patient: denial().patient, ..Default::default() };
    let listed = patient.consent.list_directives(list).await.unwrap().into_inner().directives;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].revoked_at, None);
    let mut doctor = service.caller("south", "dr-lee", Role::Physician);
    let opened = doctor.open(&PersonId::generate().to_string()).await;
    refused(opened, Code::Unavailable, "AUDIT_UNAVAILABLE");
}

#[tokio::test]
async fn a_directive_is_created_once_however_often_it_is_sent() {
    let service = Consent::start().await;
    let mut clerk = service.caller("north", "clerk", Role::Clerk);
    let first = clerk.create(denial(), "1").await.unwrap();
    assert_eq!(clerk.create(denial(), "1").await.unwrap(), first);
    assert_eq!(service.events().len(), 1, "a replay is no change");
    let other = Directive { overridable: false, ..denial() };
    refused(clerk.create(other, "1").await, Code::AlreadyExists, "REQUEST_ID_REUSED");
    wrong(clerk.create(denial(), "").await, "request_id");
}

#[tokio::test]
async fn directives_of_others_do_not_exist() {
    let service = Consent::start().await;
    let mut clerk = service.caller("north", "clerk", Role::Clerk);
    let made = clerk.create(denial(), "1").await.unwrap();
    let foreign = Directive { patient: Some(patient("south", "p1")), ..denial() };
    refused(clerk.create(foreign, "2").await, Code::PermissionDenied, "NOT_YOUR_OWN");
    let mut other = service.caller("north", "p2", Role::Patient);
    refused(other.create(denial(), "3").await, Code::PermissionDenied, "NOT_YOUR_OWN");
    for mut stranger in [other, service.caller("south", "clerk", Role::Clerk)] {
        let directive_id = made.directive_id.clone();
        let get = proto::GetDirectiveRequest { directive_id: directive_id.clone() };
        refused(stranger.consent.get_directive(get).await, Code::NotFound, "DIRECTIVE_UNKNOWN");
        let list =
            proto::ListDirectivesRequest { patient: Some(patient("north", "p1")), ..Default::default() };
        refused(stranger.consent.list_directives(list).await, Code::NotFound, "DIRECTIVE_UNKNOWN");
        let revoke = proto::RevokeDirectiveRequest { directive_id, request_id: String::new() };
        refused(stranger.consent.revoke_directive(revoke).await, Code::NotFound, "DIRECTIVE_UNKNOWN");
    }
}

#[tokio::test]
async fn a_bad_directive_is_refused_with_the_path_of_its_fault() {
    let service = Consent::start().await;
    let mut clerk = service.caller("north", "clerk", Role::Clerk);
    let time = |seconds: i64| Some(clock::micros_to_proto(seconds * 1_000_000));
    let speaks_of = |of: Match| Directive { r#match: Some(of), ..denial() };
    let many = |n: usize| vec!["x".to_owned(); n];
    let mut codes = many(4);
    codes[3] = "x".repeat(65);
    let narrow = Match { labels: many(1), ..Match::default() };
    let cases = [
        ("directive.directive_id", Directive { directive_id: "x".into(), ..denial() }),
        ("directive.patient", Directive { patient: None, ..denial() }),
        ("directive.patient.local_id", Directive { patient: Some(patient("", "")), ..denial() }),
        ("directive.effect", Directive { effect: 0, ..denial() }),
        ("directive.effect", Directive { effect: 9, ..denial() }),
        ("directive.valid_to", Directive { valid_from: time(5), valid_to: time(5), ..denial() }),
        ("directive.valid_to", Directive { valid_to: time(5), ..denial() }),
        ("directive.exceptions", Directive { exceptions: vec![narrow; 17], ..denial() }),
        ("directive.exceptions[0]", Directive { exceptions: vec![Match::default()], ..denial() }),
        ("directive.match.type_codes[3]", speaks_of(Match { type_codes: codes, ..Match::default() })),
        ("directive.match.labels", speaks_of(Match { labels: many(65), ..Match::default() })),
        ("directive.match.labels[0]", speaks_of(Match { labels: vec!["PSY ".into()], ..Match::default() })),
        ("directive.match.roles[1]", speaks_of(Match { roles: vec![1, 99], ..Match::default() })),
        ("directive.match.purposes[0]", speaks_of(Match { purposes: vec![0], ..Match::default() })),
        (
            "directive.match.requesters[0]",
            speaks_of(Match { requesters: vec!["A".into()], ..Match::default() }),
        ),
        (
            "directive.match.custodians[0]",
            speaks_of(Match { custodians: vec!["".into()], ..Match::default() }),
        ),
        ("directive.match.document_ids[0]", speaks_of(Match { document_ids: many(1), ..Match::default() })),
        (
            "directive.match.service_to",
            speaks_of(Match { service_from: time(5), service_to: time(4), ..Match::default() }),
        ),
    ];
    for (field, directive) in cases {
        wrong(clerk.create(directive, "1").await, field);
    }
    assert!(service.events().is_empty());
}

#[tokio::test]
async fn pages_of_directives_follow_each_other() {
    let service = Consent::start().await;
    let mut clerk = service.caller("north", "clerk", Role::Clerk);
    let mut made = vec![];
    for i in 0..3 {
        made.insert(0, clerk.create(denial(), &i.to_string()).await.unwrap().directive_id);
    }
    let mut list =
        proto::ListDirectivesRequest { patient: denial().patient, page_size: 2, page_token: String::new() };
    let first = clerk.consent.list_directives(list.clone()).await.unwrap().into_inner();
    list.page_token = first.next_page_token;
    let second = clerk.consent.list_directives(list.clone()).await.unwrap().into_inner();
    assert_eq!(second.next_page_token, "");
    let listed: Vec<_> =
        first.directives.into_iter().chain(second.directives).map(|d| d.directive_id).collect();
    assert_eq!(listed, made);
    list.patient = Some(patient("", "p2"));
    wrong(clerk.consent.list_directives(list).await, "page_token");
}

#[tokio::test]
async fn emergency_access_serves_who_opened_it_until_it_is_closed() {
    let service = Consent::start().await;
    let person = PersonId::generate().to_string();
    let made = service.caller("north", "p1", Role::Patient).create(denial(), "1").await.unwrap();
    let mut doctor = service.caller("south", "dr-lee", Role::Physician);
    let session = doctor.open(&person).await.unwrap();
    assert_eq!(doctor.open(&person).await.unwrap(), session, "the same attempt");
    let lasts = session.expires_at.unwrap().seconds - session.opened_at.unwrap().seconds;
    let due = session.review_due_at.unwrap().seconds - session.opened_at.unwrap().seconds;
    assert_eq!((lasts, due), (3600, 72 * 3600));
    let id = session.session_id;
    let opened = service.events().pop().unwrap();
    assert_eq!(opened.kind(), EventKind::Emergency);
    assert_eq!((&opened.person_id, &opened.emergency_session_id), (&person, &id));

    let decided = doctor.decide(&person, &id).await.unwrap();
    assert_eq!(decided.decisions[0].rule_ids, ["network:opt-out"]);
    let mut colleague = service.caller("south", "dr-kim", Role::Physician);
    let other_person = PersonId::generate().to_string();
    let invalid = "EMERGENCY_SESSION_INVALID";
    refused(colleague.decide(&person, &id).await, Code::FailedPrecondition, invalid);
    refused(doctor.decide(&other_person, &id).await, Code::FailedPrecondition, invalid);
    let unknown = SessionId::generate().to_string();
    refused(doctor.decide(&person, &unknown).await, Code::FailedPrecondition, invalid);
    refused(doctor.decide(&person, "no uuid").await, Code::FailedPrecondition, invalid);

    let explain = proto::ExplainDecisionRequest {
        person_id: person.clone(),
        patient_records: vec![patient("north", "p1")],
        document: Some(document()),
        emergency_session_id: id.clone(),
        ..proto::ExplainDecisionRequest::default()
    };
    let explained = doctor.consent.explain_decision(explain).await.unwrap().into_inner();
    let rules: Vec<_> =
        explained.rules.iter().map(|r| (&*r.rule_id, &*r.layer, r.matched, r.decided)).collect();
    assert_eq!(
        rules,
        [
            (&*made.directive_id, "patient", true, false),
            ("network:opt-out", "network", true, true),
            ("default:deny", "default", false, false),
            ("default:unknown-label", "default", false, false),
        ]
    );

    refused(colleague.close(&id).await, Code::NotFound, "SESSION_UNKNOWN");
    assert!(doctor.close(&id).await.unwrap().closed_at.is_some());
    refused(doctor.decide(&person, &id).await, Code::FailedPrecondition, invalid);
}

#[tokio::test]
async fn a_bad_emergency_is_refused() {
    let service = Consent::start().await;
    let mut doctor = service.caller("south", "dr-lee", Role::Physician);
    let good = open_request(&PersonId::generate().to_string());
    let cases = [
        ("person_id", proto::OpenEmergencyAccessRequest { person_id: "x".into(), ..good.clone() }),
        ("reason", proto::OpenEmergencyAccessRequest { reason: 0, ..good.clone() }),
        (
            "reason_text",
            proto::OpenEmergencyAccessRequest { reason_text: " too short ".into(), ..good.clone() },
        ),
        ("reason_text", proto::OpenEmergencyAccessRequest { reason_text: "x".repeat(501), ..good.clone() }),
        ("ttl_seconds", proto::OpenEmergencyAccessRequest { ttl_seconds: 14_401, ..good.clone() }),
        ("request_id", proto::OpenEmergencyAccessRequest { request_id: String::new(), ..good }),
    ];
    for (field, request) in cases {
        wrong(doctor.emergency.open_emergency_access(request).await, field);
    }
}

#[tokio::test]
async fn privacy_officers_review_the_sessions_of_their_own_member() {
    let service = Consent::start().await;
    let mut doctor = service.caller("south", "dr-lee", Role::Physician);
    let person = PersonId::generate().to_string();
    let id = doctor.open(&person).await.unwrap().session_id;
    let officer = |member_id, user| service.caller(member_id, user, Role::PrivacyOfficer);

    assert_eq!(officer("operator", "po").reviews().await.concat(), id);
    assert!(officer("north", "po").reviews().await.is_empty());
    refused(officer("north", "po").review(&id).await, Code::NotFound, "SESSION_UNKNOWN");
    refused(officer("south", "dr-lee").review(&id).await, Code::PermissionDenied, "OWN_SESSION");
    assert_eq!(officer("south", "po").reviews().await.concat(), id);
    let reviewed = officer("south", "po").review(&id).await.unwrap();
    assert_eq!(reviewed.review_outcome(), ReviewOutcome::Justified);
    assert_eq!(officer("south", "po").review(&id).await.unwrap(), reviewed);
    assert!(officer("south", "po").reviews().await.is_empty());
    let refused_now = doctor.decide(&person, &id).await;
    refused(refused_now, Code::FailedPrecondition, "EMERGENCY_SESSION_INVALID");
}

#[tokio::test]
async fn questions_are_bounded() {
    let service = Consent::start().await;
    let mut doctor = service.caller("south", "dr-lee", Role::Physician);
    let good = proto::DecideRequest {
        person_id: PersonId::generate().to_string(),
        patient_records: vec![patient("north", "p1")],
        documents: vec![document()],
        emergency_session_id: String::new(),
        again: false,
    };
    let nameless = DocumentFacts { custodian: String::new(), ..document() };
    let cases = [
        ("person_id", proto::DecideRequest { person_id: "x".into(), ..good.clone() }),
        ("patient_records", proto::DecideRequest { patient_records: vec![], ..good.clone() }),
        (
            "patient_records",
            proto::DecideRequest { patient_records: vec![patient("north", "p1"); 201], ..good.clone() },
        ),
        ("documents", proto::DecideRequest { documents: vec![document(); 1001], ..good.clone() }),
        ("documents[0].custodian", proto::DecideRequest { documents: vec![nameless], ..good }),
    ];
    for (field, request) in cases {
        wrong(doctor.consent.decide(request).await, field);
    }
}

const RESEARCH: &str = "name = \"research\"\nsummary = \"a test\"\n[[network]]\nname = \"care\"\n\
    effect = \"deny\"\nmatch = { purposes = [\"ETREAT\"] }\n";

impl As {
    async fn draft(&mut self, source: &str) -> Result<proto::PolicyVersion, Status> {
        let request = proto::DraftPolicyRequest { source: source.into(), request_id: String::new() };
        Ok(self.policy.draft_policy(request).await?.into_inner().version.unwrap())
    }

    async fn activate(&mut self, version: &str) -> Result<proto::PolicyVersion, Status> {
        let request = proto::ActivatePolicyRequest { version: version.into(), request_id: String::new() };
        Ok(self.policy.activate_policy(request).await?.into_inner().version.unwrap())
    }

    async fn roll_back(&mut self, request_id: &str) -> Result<proto::PolicyVersion, Status> {
        let request = proto::RollbackPolicyRequest { version: String::new(), request_id: request_id.into() };
        Ok(self.policy.rollback_policy(request).await?.into_inner().version.unwrap())
    }
}

#[tokio::test]
async fn a_policy_is_in_force_from_its_activation_to_its_rollback() {
    let service = Consent::start().await;
    let mut operator = service.caller("operator", "op", Role::Operator);
    let mut doctor = service.caller("south", "dr-lee", Role::Physician);
    let person = PersonId::generate().to_string();
    let before = doctor.decide(&person, "").await.unwrap();
    assert_eq!((&*before.policy_version, before.decisions[0].effect()), ("opt-out", Effect::Permit));

    refused(operator.roll_back("r0").await, Code::FailedPrecondition, "POLICY_FIRST");
    refused(operator.activate("research@1").await, Code::NotFound, "POLICY_UNKNOWN");
    wrong(operator.draft("name = 1").await, "source");
    let drafted = operator.draft(RESEARCH).await.unwrap();
    assert_eq!(
        (&*drafted.version, drafted.active, &*drafted.drafted_by),
        ("research@1", false, "operator/op")
    );
    assert_eq!(
        doctor.decide(&person, "").await.unwrap().policy_version,
        "opt-out",
        "a draft is not in force"
    );

    assert!(operator.activate("research@1").await.unwrap().active);
    let after = doctor.decide(&person, "").await.unwrap();
    assert_eq!((&*after.policy_version, after.decisions[0].effect()), ("research@1", Effect::Deny));
    assert_eq!(after.decisions[0].rule_ids, ["network:care"]);
    assert!(after.epoch > before.epoch);

    let opt_out = operator.draft(NetworkDefault::OptOut.source()).await.unwrap().version;
    operator.activate(&opt_out).await.unwrap();
    assert_eq!(doctor.decide(&person, "").await.unwrap().decisions[0].effect(), Effect::Permit);
    assert_eq!(operator.roll_back("r1").await.unwrap().version, "research@1");
    assert_eq!(operator.roll_back("r1").await.unwrap().version, "research@1", "the same attempt");
    assert_eq!(doctor.decide(&person, "").await.unwrap().policy_version, "research@1");

    let shown = operator.policy.get_policy_version(proto::GetPolicyVersionRequest::default()).await.unwrap();
    assert_eq!(shown.into_inner().source, RESEARCH);
    let listed = operator.policy.list_policy_versions(proto::ListPolicyVersionsRequest::default()).await;
    let listed = listed.unwrap().into_inner().versions;
    let listed: Vec<_> = listed.iter().map(|v| (&*v.version, v.active)).collect();
    assert_eq!(listed, [("opt-out@2", false), ("research@1", true)]);
    let changes: Vec<_> = service.events().into_iter().map(|event| event.action).collect();
    assert!(changes.iter().any(|action| action.ends_with("PolicyService/RollbackPolicy")), "{changes:?}");
}

/// Waits until a decision is kept, which happens behind the answer.
async fn explained(operator: &mut As, decision_id: &str) -> proto::ExplainDecisionResponse {
    for _ in 0..100 {
        let request = proto::ExplainDecisionRequest { decision_id: decision_id.into(), ..Default::default() };
        match operator.consent.explain_decision(request).await {
            Ok(explained) => return explained.into_inner(),
            Err(error) => assert_eq!(status::reason(&error), "DECISION_UNKNOWN"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the decision was not kept");
}

#[tokio::test]
async fn a_decision_is_explained_and_replayed_as_it_was() {
    let service = Consent::start().await;
    let mut patient = service.caller("north", "p1", Role::Patient);
    let mut operator = service.caller("operator", "op", Role::Operator);
    let mut doctor = service.caller("south", "dr-lee", Role::Physician);
    let person = PersonId::generate().to_string();
    let made = patient.create(denial(), "1").await.unwrap();
    let denied = doctor.decide(&person, "").await.unwrap();
    assert_eq!(denied.decisions[0].effect(), Effect::Deny);
    let revoke =
        proto::RevokeDirectiveRequest { directive_id: made.directive_id.clone(), ..Default::default() };
    patient.consent.revoke_directive(revoke).await.unwrap();
    let permitted = doctor.decide(&person, "").await.unwrap();
    assert_eq!(permitted.decisions[0].effect(), Effect::Permit);

    let then = explained(&mut operator, &denied.decision_id).await;
    assert_eq!(
        then.decision.unwrap(),
        denied.decisions[0],
        "the directive is revoked since, and told as it stood"
    );
    let deciding = then.rules.iter().find(|rule| rule.decided).unwrap();
    assert_eq!((&*deciding.rule_id, &*then.policy_version), (&*made.directive_id, "opt-out"));
    explained(&mut operator, &permitted.decision_id).await;

    let policy = Some(proto::simulate_policy_request::Policy::Source(RESEARCH.into()));
    let simulate = proto::SimulatePolicyRequest { policy, since: None };
    let would = operator.policy.simulate_policy(simulate).await.unwrap().into_inner();
    assert_eq!((would.replayed, would.differing, would.flips.len()), (2, 1, 1));
    let flip = &would.flips[0];
    assert_eq!((&*flip.decision_id, &*flip.rule_after), (&*permitted.decision_id, "network:care"));
    assert_eq!((flip.before(), flip.after()), (Effect::Permit, Effect::Deny));

    // What would be, for somebody else.
    let research = proto::SupposedRequester {
        member_id: "east".into(),
        role: Role::Physician.into(),
        purpose: PurposeOfUse::Hresch.into(),
        ..Default::default()
    };
    let what_if = proto::ExplainDecisionRequest {
        decision_id: permitted.decision_id.clone(),
        requester: Some(research),
        ..Default::default()
    };
    let supposed = operator.consent.explain_decision(what_if).await.unwrap().into_inner();
    assert_eq!(supposed.decision.unwrap().rule_ids, ["default:deny"]);
}
