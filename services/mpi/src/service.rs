//! The handlers: authorise, convert, call, convert.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use prost::Message;
use signpost_common::{
    clock::{self, SharedClock},
    db::Attempt,
    id::{PersonId, RecordId, TaskId},
    lifecycle::Lifecycle,
    rpc::{self, Context, audit::AuditTrail, page, status},
};
use signpost_linkage::{decide::Decision, explain::explain};
use signpost_proto::{
    audit::v1::{Disclosure, Event, EventKind, EventOutcome},
    common::v1::Demographics,
    mpi::v1::{
        self as proto, LinkEventKind, MatchOutcome, ReviewState,
        master_patient_index_service_server::MasterPatientIndexService,
    },
};
use tokio::sync::Notify;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    convert,
    domain::{self, Incoming, Index, THRESHOLDS},
    error::Error,
    feed, golden,
    golden::Said,
    limits::Probing,
    own::{own_identifiers_alone, own_records_alone},
    retrain,
    store::{
        By, Compared, Decider, ENGINE, Evidence, LinkEvent, Person, Registered, ReviewTask, Store,
        StoredRecord,
    },
    watch,
};

/// Records whose disclosures are asked for at once.
const DISCLOSURES_ASKED_AT_ONCE: usize = 8;

const SERVICE: &str = "/signpost.mpi.v1.MasterPatientIndexService";

#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) store: Arc<dyn Store>,
    /// The engine with the model that decides; use [`Service::index`].
    pub(crate) engine: Arc<ArcSwap<Index>>,
    /// How often callers may ask who is known.
    pub(crate) probing: Arc<Probing>,
    pub(crate) audit: AuditTrail,
    pub(crate) clock: SharedClock,
    pub(crate) lifecycle: Lifecycle,
    /// Told when this process has decided something.
    pub(crate) decided: Arc<Notify>,
    /// Who follows the decisions.
    pub(crate) watchers: Arc<watch::Watchers>,
    /// Told when a model was promoted here.
    pub(crate) promoted: Arc<Notify>,
}

impl Service {
    /// Returns the engine with the model that decides.
    pub(crate) fn index(&self) -> Arc<Index> {
        self.engine.load_full()
    }

    /// Decides by another model from now on.
    pub(crate) fn replace_index(&self, index: Index) {
        self.engine.store(Arc::new(index));
    }

    /// Returns the time, microseconds since 1970.
    pub(crate) fn now_us(&self) -> i64 {
        self.clock.now().as_microsecond()
    }

    /// Reads a record of the calling member.
    pub(crate) fn incoming(
        &self,
        context: &Context,
        request: &proto::RegisterPatientRequest,
    ) -> Result<Incoming, Status> {
        let proto::RegisterPatientRequest { local_id, demographics, request_id } = request;
        rpc::request_id(request_id)?;
        let reference = convert::local_reference(context, local_id)?;
        let record = convert::record("demographics", demographics.as_ref(), self.clock.now())?;
        if record.names.is_empty() {
            return Err(status::invalid("demographics.names", "must have at least one name"));
        }
        let stored = demographics.as_ref().map(Message::encode_to_vec).unwrap_or_default();
        Ok(self.index().incoming(reference, &record, stored))
    }

    /// Stores records, each linked as the engine decides, in one transaction.
    pub(crate) async fn store_all(
        &self,
        batch: &[Incoming],
        attempt: Option<&Attempt>,
    ) -> Result<Vec<Registered>, Status> {
        let index = self.index();
        let (model_version, now_us) = (&index.model.version, self.now_us());
        let by = Decider { actor: ENGINE, reason: "", model_version, now_us };
        let registered = self.store.register(batch, index.as_ref(), &by, attempt).await?;
        self.decided.notify_waiters();
        Ok(registered)
    }

    /// Records a steward's decision before it is made.
    async fn deciding(
        &self,
        context: &Context,
        action: &str,
        object: &str,
        request_id: &str,
    ) -> Result<(), Status> {
        rpc::request_id(request_id)?;
        self.audit
            .change(context, EventKind::Identity, &format!("{SERVICE}/{action}"), object, request_id)
            .await
    }

    /// Records that a steward looks at something, before it is shown.
    pub(crate) async fn looks(&self, context: &Context, action: &str, object: &str) -> Result<(), Status> {
        self.audit.change(context, EventKind::Identity, &format!("{SERVICE}/{action}"), object, "").await
    }

    /// Returns what was disclosed of records while they were with the persons that they have left, newest first, and whether
    /// some of it may be missing: the decision is made, whatever the audit log answers.
    async fn disclosed(&self, context: &Context, left: &[LinkEvent]) -> (Vec<Disclosure>, bool) {
        let told = left.iter().cloned().map(|event| async move {
            let since = Timestamp::from_microsecond(self.store.linked_since(&event).await?);
            let since = since.map_err(|_| Status::internal("a stored time cannot be read"))?;
            let patient = convert::reference_to_proto(&event.reference);
            self.audit.disclosures(context, patient, since).await
        });
        let told: Vec<Result<_, Status>> =
            stream::iter(told).buffer_unordered(DISCLOSURES_ASKED_AT_ONCE).collect().await;
        let (mut disclosures, mut incomplete) = (BTreeMap::new(), false);
        for told in told {
            match told {
                Ok(some) => disclosures.extend(some.into_iter().map(|disclosure| {
                    let sequence = disclosure.logged.as_ref().map_or(0, |logged| logged.sequence);
                    (Reverse(sequence), disclosure)
                })),
                Err(error) => {
                    tracing::error!(code = ?error.code(), "disclosures through a wrong link could not be listed");
                    incomplete = true;
                }
            }
        }
        (disclosures.into_values().collect(), incomplete)
    }

    /// Explains a decision by the model of its day.
    async fn explain_decision(&self, sequence: i64) -> Result<proto::ExplainMatchResponse, Status> {
        let Evidence { event, record, others } = self.store.evidence(sequence).await?;
        let now = self.index();
        // Where a steward decided, the model of today says what it would.
        let index = match event.model_version.as_str() {
            "" => now,
            version if version == now.model.version => now,
            version => Arc::new(retrain::load(self.store.as_ref(), &now, version).await?),
        };
        let weight = |other: &Compared| index.model.score(record.prepared.view(), other.prepared.view()).bits;
        let likeliest = others.into_iter().max_by(|a, b| weight(a).total_cmp(&weight(b)));
        let other = likeliest.ok_or(Error::NothingCompared)?;
        let explanation = explain(&index.model, THRESHOLDS, record.prepared.view(), other.prepared.view());
        Ok(proto::ExplainMatchResponse {
            changed_since: record.updated_us.max(other.updated_us) > event.decided_us,
            other_record_id: other.id.to_string(),
            event: Some(event.into()),
            ..convert::explanation(explanation)
        })
    }

    /// Returns a person when the caller may know of it: a member only when it holds one of its records.
    /// The operator's stewards see everyone; that they looked is recorded.
    async fn visible(
        &self,
        context: &Context,
        action: &str,
        by: &By,
        as_of: Option<Timestamp>,
    ) -> Result<(Person, Vec<StoredRecord>), Status> {
        own_identifiers_alone(context, by)?;
        let most = i64::from(page::SIZE_MAX);
        let (person, mut records) = match as_of {
            None => {
                let person = self.store.person(by).await?.ok_or(Error::PersonUnknown)?;
                let records = self.store.person_records(person.id, 0, most).await?;
                (person, records)
            }
            Some(at) => {
                let found = self.store.person_as_of(by, at.as_microsecond(), most).await?;
                found.ok_or(Error::PersonUnknown)?
            }
        };
        self.looked(context, action, person.id).await?;
        own_records_alone(context, &mut records, |record| &record.reference)?;
        Ok((person, records))
    }

    /// Records that somebody of the operator looked at a person.
    async fn looked(&self, context: &Context, action: &str, person: PersonId) -> Result<(), Status> {
        if !context.operator {
            return Ok(());
        }
        let event = Event {
            kind: EventKind::Identity.into(),
            action: action.to_owned(),
            outcome: EventOutcome::Success.into(),
            person_id: person.to_string(),
            ..Event::default()
        };
        self.audit.append(context, event).await
    }
}

/// A steward decides, whatever the model.
pub(crate) fn decider<'a>(service: &Service, actor: &'a str, reason: &'a str) -> Decider<'a> {
    Decider { actor, reason, model_version: "", now_us: service.now_us() }
}

impl From<Registered> for proto::RegisterPatientResponse {
    fn from(registered: Registered) -> Self {
        let Registered { record, person, outcome } = registered;
        Self { record_id: record.to_string(), person_id: person.to_string(), outcome: outcome.into() }
    }
}

#[tonic::async_trait]
impl MasterPatientIndexService for Service {
    async fn register_patient(
        &self,
        request: Request<proto::RegisterPatientRequest>,
    ) -> Result<Response<proto::RegisterPatientResponse>, Status> {
        let context = Context::of(&request)?;
        let request = request.into_inner();
        let incoming = self.incoming(&context, &request)?;
        let attempt = Attempt::new(&context.actor(), "RegisterPatient", &request.request_id, &request);
        let attempt = attempt.map(|attempt| attempt.blinded(&self.index().blinder));
        let registered = self.store_all(&[incoming], attempt.as_ref()).await?.pop();
        let registered = registered.ok_or_else(|| Status::internal("nothing was registered"))?;
        Ok(Response::new(registered.into()))
    }

    type FeedPatientsStream = feed::Answers;

    async fn feed_patients(
        &self,
        request: Request<Streaming<proto::FeedPatientsRequest>>,
    ) -> Result<Response<Self::FeedPatientsStream>, Status> {
        let context = Context::of(&request)?;
        Ok(Response::new(feed::run(Arc::new(self.clone()), context, request.into_inner())))
    }

    async fn match_patient(
        &self,
        request: Request<proto::MatchPatientRequest>,
    ) -> Result<Response<proto::MatchPatientResponse>, Status> {
        let context = Context::of(&request)?;
        let proto::MatchPatientRequest { demographics } = request.into_inner();
        let record = convert::record("demographics", demographics.as_ref(), self.clock.now())?;
        convert::enough_to_match(&record)?;
        self.probing.check(&context)?;
        let index = self.index();
        let (prepared, keys) = index.prepare(&record);
        let (candidates, overfull) = self.store.candidates(&keys).await?;
        let mut response = proto::MatchPatientResponse::default();
        let outcome = match index.decide(prepared.view(), &candidates, overfull) {
            Decision::Link { person, score } => {
                response.person_id = person.to_string();
                response.probability = score.probability();
                let found = self.store.references(&By::Person(person), i64::from(page::SIZE_MAX)).await?;
                let records = found.iter().flat_map(|(_, records)| records);
                response.patient_records =
                    records.map(|r| convert::reference_to_proto(&r.reference)).collect();
                MatchOutcome::Certain
            }
            Decision::New if !overfull => MatchOutcome::NotFound,
            Decision::New | Decision::Review { .. } => {
                let missing = domain::attributes_missing(prepared.view());
                response.attributes_needed = missing.into_iter().map(str::to_owned).collect();
                if overfull { MatchOutcome::TooManyMatches } else { MatchOutcome::MoreAttributesNeeded }
            }
        };
        if context.operator {
            let ranked = index.rank(prepared.view(), &candidates).into_iter();
            let candidate = |(person, probability): (PersonId, _)| proto::MatchCandidate {
                person_id: person.to_string(),
                probability,
            };
            response.candidates = ranked.map(candidate).collect();
        }
        response.set_outcome(outcome);
        // The locator records its own use, with what was released; anyone else learns here who is known.
        if !context.inside {
            let patient_records = std::mem::take(&mut response.patient_records);
            let event = Event {
                kind: EventKind::Locate.into(),
                action: format!("{SERVICE}/MatchPatient"),
                outcome: EventOutcome::Success.into(),
                reason: outcome.as_str_name().to_owned(),
                person_id: response.person_id.clone(),
                patient_records,
                ..Event::default()
            };
            self.audit.append(&context, event).await?;
        }
        Ok(Response::new(response))
    }

    async fn get_person(
        &self,
        request: Request<proto::GetPersonRequest>,
    ) -> Result<Response<proto::GetPersonResponse>, Status> {
        let context = Context::of(&request)?;
        let proto::GetPersonRequest { by, as_of } = request.into_inner();
        let (by, as_of) = (convert::by_of_get(by)?, convert::time("as_of", as_of)?);
        let (person, records) = self.visible(&context, &format!("{SERVICE}/GetPerson"), &by, as_of).await?;
        let said = |record: &StoredRecord| {
            let demographics = Demographics::decode(&record.demographics[..]);
            Ok(Said {
                source: convert::reference_to_proto(&record.reference),
                updated_us: record.updated_us,
                demographics: demographics.map_err(|_| Status::internal("a stored record cannot be read"))?,
            })
        };
        let said = records.iter().map(said).collect::<Result<_, Status>>()?;
        let (demographics, values) = golden::view(said);
        let demographics = Some(demographics).filter(|_| !records.is_empty());
        let record_count = u32::try_from(records.len()).unwrap_or(u32::MAX);
        let created_at = Some(clock::micros_to_proto(person.created_us));
        let person_id = person.id.to_string();
        let person = proto::Person { person_id, demographics, record_count, created_at, values };
        Ok(Response::new(proto::GetPersonResponse { person: Some(person) }))
    }

    async fn list_person_records(
        &self,
        request: Request<proto::ListPersonRecordsRequest>,
    ) -> Result<Response<proto::ListPersonRecordsResponse>, Status> {
        let context = Context::of(&request)?;
        let proto::ListPersonRecordsRequest { by, page_size, page_token } = request.into_inner();
        let by = convert::by_of_list(by)?;
        let limit = page::size(page_size)?;
        own_identifiers_alone(&context, &by)?;
        let most = i64::from(page::SIZE_MAX);
        let (person, mut records) = self.store.references(&by, most).await?.ok_or(Error::PersonUnknown)?;
        self.looked(&context, &format!("{SERVICE}/ListPersonRecords"), person).await?;
        own_records_alone(&context, &mut records, |record| &record.reference)?;
        let query = format!("person-records {person}");
        if let Some(after) = page::number(query.as_bytes(), &page_token)? {
            records.retain(|record| record.row > after);
        }
        let next_page_token = page::cut(query.as_bytes(), &mut records, limit, |r| r.row.to_string());
        let records = records.iter().map(|record| proto::PersonRecord {
            record_id: record.id.to_string(),
            record: Some(convert::reference_to_proto(&record.reference)),
            updated_at: Some(clock::micros_to_proto(record.updated_us)),
        });
        let (person_id, records) = (person.to_string(), records.collect());
        Ok(Response::new(proto::ListPersonRecordsResponse { person_id, records, next_page_token }))
    }

    async fn link(
        &self,
        request: Request<proto::LinkRequest>,
    ) -> Result<Response<proto::LinkResponse>, Status> {
        let context = Context::of(&request)?;
        let message = request.into_inner();
        let record: RecordId = convert::id_of("record_id", &message.record_id)?;
        let person: PersonId = convert::id_of("person_id", &message.person_id)?;
        convert::reason(&message.reason)?;
        self.deciding(&context, "Link", &message.record_id, &message.request_id).await?;
        let actor = context.actor();
        let attempt = Attempt::new(&actor, "Link", &message.request_id, &message);
        let by = decider(self, &actor, &message.reason);
        let event = self.store.link(record, person, &by, attempt.as_ref()).await?;
        self.decided.notify_waiters();
        Ok(Response::new(proto::LinkResponse { event: Some(event.into()) }))
    }

    async fn unlink(
        &self,
        request: Request<proto::UnlinkRequest>,
    ) -> Result<Response<proto::UnlinkResponse>, Status> {
        let context = Context::of(&request)?;
        let message = request.into_inner();
        let record: RecordId = convert::id_of("record_id", &message.record_id)?;
        convert::reason(&message.reason)?;
        self.deciding(&context, "Unlink", &message.record_id, &message.request_id).await?;
        let actor = context.actor();
        let attempt = Attempt::new(&actor, "Unlink", &message.request_id, &message);
        let by = decider(self, &actor, &message.reason);
        let event = self.store.unlink(record, &by, attempt.as_ref()).await?;
        self.decided.notify_waiters();
        let (disclosures, disclosures_incomplete) =
            self.disclosed(&context, std::slice::from_ref(&event)).await;
        let event = Some(event.into());
        Ok(Response::new(proto::UnlinkResponse { event, disclosures, disclosures_incomplete }))
    }

    async fn merge(
        &self,
        request: Request<proto::MergeRequest>,
    ) -> Result<Response<proto::MergeResponse>, Status> {
        let context = Context::of(&request)?;
        let message = request.into_inner();
        let from: PersonId = convert::id_of("person_id", &message.person_id)?;
        let into: PersonId = convert::id_of("into_person_id", &message.into_person_id)?;
        convert::reason(&message.reason)?;
        self.deciding(&context, "Merge", &message.person_id, &message.request_id).await?;
        let actor = context.actor();
        let attempt = Attempt::new(&actor, "Merge", &message.request_id, &message);
        let by = decider(self, &actor, &message.reason);
        let events = self.store.merge(from, into, &by, attempt.as_ref()).await?;
        self.decided.notify_waiters();
        Ok(Response::new(proto::MergeResponse { events: events.into_iter().map(Into::into).collect() }))
    }

    async fn split(
        &self,
        request: Request<proto::SplitRequest>,
    ) -> Result<Response<proto::SplitResponse>, Status> {
        let context = Context::of(&request)?;
        let message = request.into_inner();
        let person: PersonId = convert::id_of("person_id", &message.person_id)?;
        let records = convert::record_ids(&message.record_ids)?;
        convert::reason(&message.reason)?;
        self.deciding(&context, "Split", &message.person_id, &message.request_id).await?;
        let actor = context.actor();
        let attempt = Attempt::new(&actor, "Split", &message.request_id, &message);
        let by = decider(self, &actor, &message.reason);
        let events = self.store.split(person, &records, &by, attempt.as_ref()).await?;
        self.decided.notify_waiters();
        let (disclosures, disclosures_incomplete) = self.disclosed(&context, &events).await;
        let person_id = events.first().map(|event| event.to.to_string()).unwrap_or_default();
        let events = events.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::SplitResponse { person_id, events, disclosures, disclosures_incomplete }))
    }

    async fn undo(
        &self,
        request: Request<proto::UndoRequest>,
    ) -> Result<Response<proto::UndoResponse>, Status> {
        let context = Context::of(&request)?;
        let message = request.into_inner();
        if message.sequence < 1 {
            return Err(status::invalid("sequence", "must be the position of a decision, from 1"));
        }
        convert::reason(&message.reason)?;
        self.deciding(&context, "Undo", &message.sequence.to_string(), &message.request_id).await?;
        let actor = context.actor();
        let attempt = Attempt::new(&actor, "Undo", &message.request_id, &message);
        let by = decider(self, &actor, &message.reason);
        let event = self.store.undo(message.sequence, &by, attempt.as_ref()).await?;
        self.decided.notify_waiters();
        let (disclosures, disclosures_incomplete) =
            self.disclosed(&context, std::slice::from_ref(&event)).await;
        let event = Some(event.into());
        Ok(Response::new(proto::UndoResponse { event, disclosures, disclosures_incomplete }))
    }

    async fn list_link_events(
        &self,
        request: Request<proto::ListLinkEventsRequest>,
    ) -> Result<Response<proto::ListLinkEventsResponse>, Status> {
        let context = Context::of(&request)?;
        let mut request = request.into_inner();
        let limit = page::size(std::mem::take(&mut request.page_size))?;
        let page_token = std::mem::take(&mut request.page_token);
        let query = request.encode_to_vec();
        let of = convert::of(request.of)?;
        let before = page::number(&query, &page_token)?.unwrap_or(i64::MAX);
        self.looks(&context, "ListLinkEvents", &of.to_string()).await?;
        let mut events = self.store.decisions(&of, before, limit + 1).await?;
        if events.is_empty() && page_token.is_empty() {
            return Err(convert::unknown(&of).into());
        }
        let next_page_token = page::cut(&query, &mut events, limit, |event| event.sequence.to_string());
        let events = events.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ListLinkEventsResponse { events, next_page_token }))
    }

    async fn list_review_tasks(
        &self,
        request: Request<proto::ListReviewTasksRequest>,
    ) -> Result<Response<proto::ListReviewTasksResponse>, Status> {
        let mut request = request.into_inner();
        let filter = convert::task_filter(&request)?;
        let limit = page::size(std::mem::take(&mut request.page_size))?;
        let page_token = std::mem::take(&mut request.page_token);
        let query = request.encode_to_vec();
        let after = page::position(&query, &page_token)?;
        let is_first = after.is_none();
        let after = after
            .map(|text| {
                let (opened, id) = text.split_once('/').unwrap_or_default();
                let opened =
                    opened.parse().map_err(|_| status::invalid("page_token", "is not one of ours"))?;
                Ok::<_, Status>((opened, id.to_owned()))
            })
            .transpose()?;
        let mut tasks = self.store.review_tasks(&filter, after, limit + 1).await?;
        let place = |task: &ReviewTask| format!("{}/{}", task.opened_us, task.id);
        let next_page_token = page::cut(&query, &mut tasks, limit, place);
        let counts = if is_first { self.store.review_counts(&filter).await? } else { vec![] };
        let counts = counts.into_iter().map(|(reason, tasks)| proto::ReviewCount { reason, tasks }).collect();
        let tasks = tasks.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ListReviewTasksResponse { tasks, next_page_token, counts }))
    }

    async fn resolve_review_task(
        &self,
        request: Request<proto::ResolveReviewTaskRequest>,
    ) -> Result<Response<proto::ResolveReviewTaskResponse>, Status> {
        let context = Context::of(&request)?;
        let message = request.into_inner();
        let attempt = Attempt::new(&context.actor(), "ResolveReviewTask", &message.request_id, &message);
        let proto::ResolveReviewTaskRequest { task_id, resolution, request_id, reason } = message;
        let task: TaskId = convert::id_of("task_id", &task_id)?;
        let resolution = match ReviewState::try_from(resolution) {
            Ok(state @ (ReviewState::Linked | ReviewState::KeptApart | ReviewState::Deferred)) => state,
            _ => return Err(status::invalid("resolution", "must be LINKED, KEPT_APART or DEFERRED")),
        };
        let reason = if reason.is_empty() { "review".to_owned() } else { reason };
        convert::reason(&reason)?;
        self.deciding(&context, "ResolveReviewTask", &task_id, &request_id).await?;
        let actor = context.actor();
        let by = decider(self, &actor, &reason);
        let (task, event) = self.store.resolve_task(task, resolution, &by, attempt.as_ref()).await?;
        self.decided.notify_waiters();
        let left: Vec<LinkEvent> =
            event.iter().filter(|event| event.kind == LinkEventKind::Unlink).cloned().collect();
        let (disclosures, disclosures_incomplete) = self.disclosed(&context, &left).await;
        let (task, event) = (Some(task.into()), event.map(Into::into));
        let response = proto::ResolveReviewTaskResponse { task, event, disclosures, disclosures_incomplete };
        Ok(Response::new(response))
    }

    async fn explain_match(
        &self,
        request: Request<proto::ExplainMatchRequest>,
    ) -> Result<Response<proto::ExplainMatchResponse>, Status> {
        let context = Context::of(&request)?;
        let proto::ExplainMatchRequest { left_record_id, right_record_id, sequence } = request.into_inner();
        if sequence != 0 {
            if sequence < 0 || !(left_record_id.is_empty() && right_record_id.is_empty()) {
                let message = "must be the position of a decision, from 1, without records";
                return Err(status::invalid("sequence", message));
            }
            self.looks(&context, "ExplainMatch", &sequence.to_string()).await?;
            return Ok(Response::new(self.explain_decision(sequence).await?));
        }
        let left: RecordId = convert::id_of("left_record_id", &left_record_id)?;
        let right: RecordId = convert::id_of("right_record_id", &right_record_id)?;
        self.looks(&context, "ExplainMatch", &format!("{left} {right}")).await?;
        let left = self.store.prepared(left).await?.ok_or(Error::RecordUnknown)?;
        let right = self.store.prepared(right).await?.ok_or(Error::RecordUnknown)?;
        let explanation = explain(&self.index().model, THRESHOLDS, left.view(), right.view());
        Ok(Response::new(convert::explanation(explanation)))
    }

    type WatchIdentityChangesStream = watch::Changes;

    async fn watch_identity_changes(
        &self,
        request: Request<proto::WatchIdentityChangesRequest>,
    ) -> Result<Response<Self::WatchIdentityChangesStream>, Status> {
        let context = Context::of(&request)?;
        let proto::WatchIdentityChangesRequest { resume_token } = request.into_inner();
        Ok(Response::new(watch::run(Arc::new(self.clone()), context, &resume_token).await?))
    }
}
