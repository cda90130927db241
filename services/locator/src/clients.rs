//! The services that the locator puts together, and members' document sources.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::ClientConfig;
use signpost_common::rpc::{Context, Transport, audit::AuditTrail, client, page, status};
use signpost_proto::{
    audit::v1::{Event, EventOutcome},
    common::v1::RecordReference,
    consent::v1::{
        DecideRequest, DecideResponse, Decision, Effect, consent_service_client::ConsentServiceClient,
        notice_service_client::NoticeServiceClient,
    },
    directory::v1::{
        Endpoint, GetMemberRequest, MemberState, directory_service_client::DirectoryServiceClient,
    },
    mpi::v1::{
        ListPersonRecordsRequest, list_person_records_request::By,
        master_patient_index_service_client::MasterPatientIndexServiceClient,
    },
    registry::v1::{
        DocumentEntry, DocumentFilter, SearchDocumentsRequest,
        document_registry_service_client::DocumentRegistryServiceClient,
    },
    source::v1::document_source_service_client::DocumentSourceServiceClient,
};
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::{
    convert,
    duties::Duties,
    error::{self, Error},
};

/// Most records of one person that are looked at; the registry takes no more in one search.
const RECORDS_MAX: usize = 200;

/// Time to record how something went, beyond the deadline of the call.
pub(crate) const TO_RECORD: Duration = Duration::from_secs(1);

/// Most documents of one person that are looked at; consent takes no more in one question.
pub(crate) const DOCUMENTS_MAX: usize = 1000;

/// Most connections to sources that are kept.
const SOURCES_MAX: usize = 1024;

#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) mpi: MasterPatientIndexServiceClient<Transport>,
    pub(crate) registry: DocumentRegistryServiceClient<Transport>,
    pub(crate) consent: ConsentServiceClient<Transport>,
    pub(crate) notices: NoticeServiceClient<Transport>,
    pub(crate) directory: DirectoryServiceClient<Transport>,
    pub(crate) audit: AuditTrail,
    pub(crate) sources: Arc<Sources>,
}

/// A person with all source records.
#[derive(Debug, Clone, Default)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) records: Vec<RecordReference>,
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

    /// Returns what must be done with a release; nothing of a document that may not be released.
    pub(crate) fn duties(&self) -> Duties {
        Duties::of(&self.decision).unwrap_or_default()
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

    /// Returns a person with all records; `None` when the index does not know it.
    pub(crate) async fn person(&self, context: &Context, by: By) -> Result<Option<Person>, Status> {
        let request =
            ListPersonRecordsRequest { by: Some(by), page_size: page::SIZE_MAX, page_token: String::new() };
        let response = match self.mpi.clone().list_person_records(context.request(request)).await {
            Err(error) if error.code() == Code::NotFound => return Ok(None),
            response => response.map_err(error::of("index"))?.into_inner(),
        };
        let records: Vec<_> = response.records.into_iter().filter_map(|record| record.record).collect();
        if records.len() > RECORDS_MAX {
            // A directive may stand on a record that would be left out.
            tracing::error!(person_id = response.person_id, "person has too many records");
            return Err(Error::TooManyRecords.into());
        }
        Ok(Some(Person { id: response.person_id, records }))
    }

    /// Returns the newest documents of a person, at most [`DOCUMENTS_MAX`].
    pub(crate) async fn documents(
        &self,
        context: &Context,
        person: &Person,
        filter: Option<DocumentFilter>,
    ) -> Result<Vec<DocumentEntry>, Status> {
        let mut request = SearchDocumentsRequest {
            patients: person.records.clone(),
            filter,
            page_size: page::SIZE_MAX,
            page_token: String::new(),
        };
        let mut entries = vec![];
        loop {
            let response = self.registry.clone().search_documents(context.request(request.clone())).await;
            let response = response.map_err(error::of("registry"))?.into_inner();
            entries.extend(response.entries);
            if response.next_page_token.is_empty() || entries.len() >= DOCUMENTS_MAX {
                entries.truncate(DOCUMENTS_MAX);
                return Ok(entries);
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

    /// Returns where an active member serves its documents; `None` when it serves none.
    pub(crate) async fn endpoint(
        &self,
        context: &Context,
        member_id: &str,
    ) -> Result<Option<Endpoint>, Status> {
        let request = GetMemberRequest { member_id: member_id.to_owned() };
        let response = match self.directory.clone().get_member(context.request(request)).await {
            Err(error) if error.code() == Code::NotFound => return Ok(None),
            response => response.map_err(error::of("directory"))?.into_inner(),
        };
        let member = response.member.filter(|member| member.state() == MemberState::Active);
        Ok(member.and_then(|member| member.endpoint))
    }
}

/// Connections to members' document sources, each made when it is first needed.
pub(crate) struct Sources {
    tls: Arc<ClientConfig>,
    channels: Mutex<HashMap<(String, String), Transport>>,
}

impl Sources {
    pub(crate) fn new(tls: Arc<ClientConfig>) -> Self {
        Self { tls, channels: Mutex::default() }
    }

    /// Returns a client of the source at an endpoint that the directory named.
    pub(crate) fn client(
        &self,
        endpoint: &Endpoint,
    ) -> Result<DocumentSourceServiceClient<Transport>, client::Error> {
        let key = (endpoint.uri.clone(), endpoint.tls_server_name.clone());
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if channels.len() >= SOURCES_MAX {
            channels.clear();
        }
        let transport = match channels.get(&key) {
            Some(transport) => transport.clone(),
            None => {
                let transport = client::remote(&endpoint.uri, &endpoint.tls_server_name, self.tls.clone())?;
                channels.insert(key, transport.clone());
                transport
            }
        };
        Ok(DocumentSourceServiceClient::new(transport))
    }
}
