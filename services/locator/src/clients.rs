//! The services that the locator puts together, and members' document sources.

use std::{collections::HashMap, sync::Arc, time::Duration};

use signpost_common::{
    clock::SharedClock,
    rpc::{Context, Transport, audit::AuditTrail, page, status},
};
use signpost_proto::{
    audit::v1::{Event, EventOutcome},
    common::v1::{RecordReference, Role},
    consent::v1::{
        DecideRequest, DecideResponse, Decision, Effect, RecordReleaseNoticesRequest,
        consent_service_client::ConsentServiceClient, notice_service_client::NoticeServiceClient,
    },
    directory::v1::{GetMemberRequest, MemberState, directory_service_client::DirectoryServiceClient},
    mpi::v1::{
        ListPersonRecordsRequest, list_person_records_request::By,
        master_patient_index_service_client::MasterPatientIndexServiceClient,
    },
    registry::v1::{
        DocumentEntry, DocumentFilter, ReportRetrievalRequest, SearchDocumentsRequest,
        document_registry_service_client::DocumentRegistryServiceClient,
    },
};
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::{
    convert,
    duties::Duties,
    error::{self, Error},
    sources::{Source, Sources},
};

/// Most records of one person that are looked at; the registry takes no more in one search.
const RECORDS_MAX: usize = 200;

/// Time to record how something went, beyond the deadline of the call.
pub(crate) const TO_RECORD: Duration = Duration::from_secs(1);

/// Most documents of one person that are released in one call; consent takes no more in one question.
const DOCUMENTS_MAX: usize = 1000;

/// Most documents of one person that are looked at in one call.
const LOOKED_AT_MAX: usize = 10_000;

#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) mpi: MasterPatientIndexServiceClient<Transport>,
    pub(crate) registry: DocumentRegistryServiceClient<Transport>,
    pub(crate) consent: ConsentServiceClient<Transport>,
    pub(crate) notices: NoticeServiceClient<Transport>,
    pub(crate) directory: DirectoryServiceClient<Transport>,
    pub(crate) audit: AuditTrail,
    pub(crate) sources: Arc<Sources>,
    pub(crate) clock: SharedClock,
}

/// A person with all source records.
#[derive(Debug, Clone, Default)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) records: Vec<RecordReference>,
}

impl Person {
    /// Takes all records of a person.
    pub(crate) fn new(id: String, records: Vec<RecordReference>) -> Result<Self, Error> {
        if records.len() > RECORDS_MAX {
            // A directive may stand on a record that would be left out.
            tracing::error!(person_id = id, "person has too many records");
            return Err(Error::TooManyRecords);
        }
        Ok(Self { id, records })
    }
}

/// A document that consent was asked about.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) entry: DocumentEntry,
    pub(crate) decision: Decision,
    /// Id under which consent explains the decision.
    pub(crate) decision_id: String,
    /// When consent must be asked again before a release goes on.
    pub(crate) until: Instant,
}

impl Decided {
    /// True when it may be released: it is permitted, and every obligation is one that can be discharged.
    pub(crate) fn permitted(&self) -> bool {
        self.decision.effect() == Effect::Permit && Duties::of(&self.decision).is_some()
    }

    /// Returns who is to be told of its release, `None` when nobody is.
    pub(crate) fn notice(
        &self,
        person: &Person,
        emergency_session_id: &str,
    ) -> Option<RecordReleaseNoticesRequest> {
        let parties = self.duties().notify;
        (!parties.is_empty()).then(|| RecordReleaseNoticesRequest {
            parties: parties.into_iter().map(Into::into).collect(),
            person_id: person.id.clone(),
            patient_records: person.records.clone(),
            document_id: self.entry.document_id.clone(),
            custodian: convert::custodian(&self.entry),
            emergency_session_id: emergency_session_id.to_owned(),
        })
    }

    /// Returns what must be done with a release; nothing of a document that may not be released.
    pub(crate) fn duties(&self) -> Duties {
        Duties::of(&self.decision).unwrap_or_default()
    }
}

/// How it went to follow a pointer.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    /// Stable reason of the failure, empty when it led to the document.
    pub(crate) failure: String,
    /// How long the source took to begin; 0 when that was not measured.
    pub(crate) took: Duration,
    /// True when nobody waited for the document.
    pub(crate) probe: bool,
}

impl Followed {
    pub(crate) fn failed(reason: &str) -> Self {
        Self { failure: reason.to_owned(), ..Self::default() }
    }
}

impl Clients {
    /// Records that a call failed before anything was released; what the caller got wrong is not worth an entry. The
    /// failure stands whether or not it can be recorded, with time of its own.
    pub(crate) async fn record_failure(&self, context: &Context, attempt: Event, failure: &Status) {
        if failure.code() == Code::InvalidArgument {
            return;
        }
        let event = Event {
            outcome: EventOutcome::Failed.into(),
            reason: format!("{:?} {}", failure.code(), status::reason(failure)).trim().to_owned(),
            ..attempt
        };
        let context = Context { deadline: Instant::now() + TO_RECORD, ..context.clone() };
        // The trail logs its own failure.
        self.audit.append(&context, event).await.ok();
    }

    /// Returns a person with all records; `None` when the index does not know it. Patients, and who acts for them, know
    /// themselves alone.
    pub(crate) async fn person(&self, context: &Context, by: By) -> Result<Option<Person>, Status> {
        let request =
            ListPersonRecordsRequest { by: Some(by), page_size: page::SIZE_MAX, page_token: String::new() };
        let response = match self.mpi.clone().list_person_records(context.request(request)).await {
            Err(error) if error.code() == Code::NotFound => return Ok(None),
            response => response.map_err(error::of("index"))?.into_inner(),
        };
        let records = response.records.into_iter().filter_map(|record| record.record).collect();
        let person = Person::new(response.person_id, records)?;
        let own = RecordReference {
            member_id: context.caller.member_id.clone(),
            local_id: context.caller.user.clone(),
        };
        if context.is(&[Role::Patient, Role::Representative]) && !person.records.contains(&own) {
            return Ok(None);
        }
        Ok(Some(person))
    }

    /// Asks consent about a person's documents, the newest first, until [`DOCUMENTS_MAX`] are permitted or none is left. Says
    /// whether there are more; how many are hidden does not count, up to a bound that nobody's history reaches.
    pub(crate) async fn decided(
        &self,
        context: &Context,
        person: &Person,
        filter: Option<DocumentFilter>,
        emergency_session_id: &str,
    ) -> Result<(Vec<Decided>, bool), Status> {
        let mut request = SearchDocumentsRequest {
            patients: person.records.clone(),
            filter,
            page_size: page::SIZE_MAX,
            page_token: String::new(),
            as_of: None,
        };
        let (mut decided, mut permitted) = (vec![], 0);
        loop {
            let response = self.registry.clone().search_documents(context.request(request.clone())).await;
            let response = response.map_err(error::of("registry"))?.into_inner();
            for one in self.decide(context, person, response.entries, emergency_session_id, false).await? {
                permitted += usize::from(one.permitted());
                if permitted > DOCUMENTS_MAX {
                    return Ok((decided, true));
                }
                decided.push(one);
            }
            if response.next_page_token.is_empty() || decided.len() >= LOOKED_AT_MAX {
                return Ok((decided, !response.next_page_token.is_empty()));
            }
            request.page_token = response.next_page_token;
        }
    }

    /// Asks consent about documents of a person, for the first time or again before their release. A document without a
    /// decision counts as denied.
    pub(crate) async fn decide(
        &self,
        context: &Context,
        person: &Person,
        entries: Vec<DocumentEntry>,
        emergency_session_id: &str,
        again: bool,
    ) -> Result<Vec<Decided>, Status> {
        if entries.is_empty() && emergency_session_id.is_empty() {
            return Ok(vec![]);
        }
        let request = DecideRequest {
            person_id: person.id.clone(),
            patient_records: person.records.clone(),
            documents: entries.iter().map(convert::facts).collect(),
            emergency_session_id: emergency_session_id.to_owned(),
            again,
        };
        let (response, until) = self.ask_consent(context, request).await?;
        let decision_id = response.decision_id;
        let mut decisions: HashMap<String, Decision> =
            response.decisions.into_iter().map(|decision| (decision.document_id.clone(), decision)).collect();
        let decided = |entry: DocumentEntry| {
            let decision = decisions.remove(&entry.document_id).unwrap_or_default();
            Decided { entry, decision, decision_id: decision_id.clone(), until }
        };
        Ok(entries.into_iter().map(decided).collect())
    }

    /// Asks consent, and says until when its answer is good for a release.
    pub(crate) async fn ask_consent(
        &self,
        context: &Context,
        request: DecideRequest,
    ) -> Result<(DecideResponse, Instant), Status> {
        // Before the question is sent: consent counts from when it answers, which is later.
        let asked = Instant::now();
        let response = self.consent.clone().decide(context.request(request)).await;
        let response = response.map_err(error::of("consent service"))?.into_inner();
        let until = asked + Duration::from_millis(response.lease_ms.into());
        Ok((response, until))
    }

    /// Has those told who are to know of a release, before it is made.
    pub(crate) async fn notify(
        &self,
        context: &Context,
        notice: RecordReleaseNoticesRequest,
    ) -> Result<(), Status> {
        let recorded = self.notices.clone().record_release_notices(context.request(notice)).await;
        recorded.map(drop).map_err(error::of("consent service"))
    }

    /// Tells the registry whether a pointer led anywhere. Its failure changes nothing for the caller.
    pub(crate) async fn report(&self, context: &Context, document_id: &str, followed: Followed) {
        let Followed { failure, took, probe } = followed;
        // 0 stands for a time that was not measured.
        let least = u32::from(!took.is_zero());
        let request = ReportRetrievalRequest {
            document_id: document_id.to_owned(),
            succeeded: failure.is_empty(),
            reason: failure,
            request_id: String::new(),
            elapsed_ms: u32::try_from(took.as_millis()).unwrap_or(u32::MAX).max(least),
            probe,
        };
        if let Err(error) = self.registry.clone().report_retrieval(context.request(request)).await {
            tracing::warn!(document_id, code = ?error.code(), "retrieval could not be reported");
        }
    }

    /// Returns where an active member serves its documents; `None` when it serves none.
    pub(crate) async fn source(
        &self,
        context: &Context,
        member_id: &str,
    ) -> Result<Option<Arc<Source>>, Status> {
        if let Some(known) = self.sources.known(member_id) {
            return Ok(known);
        }
        let request = GetMemberRequest { member_id: member_id.to_owned() };
        let member = match self.directory.clone().get_member(context.request(request)).await {
            Err(error) if error.code() == Code::NotFound => None,
            response => response.map_err(error::of("directory"))?.into_inner().member,
        };
        let active = member.filter(|member| member.state() == MemberState::Active);
        Ok(self.sources.learn(member_id, active.and_then(|member| member.endpoint)))
    }
}
