//! How every service appends to the audit log.

use jiff::Timestamp;
use signpost_proto::{
    audit::v1::{
        AppendRequest, Disclosure, Event, EventKind, EventOutcome, ListDisclosuresRequest,
        SearchEventsRequest, SearchEventsResponse, audit_log_service_client::AuditLogServiceClient,
    },
    common::v1::RecordReference,
};
use tonic::Status;

use super::{Context, Transport, page, replay, status};
use crate::{clock, clock::SharedClock, id::EventId, telemetry};

/// Appends events in the name of callers.
#[derive(Clone)]
pub struct AuditTrail {
    client: AuditLogServiceClient<Transport>,
    clock: SharedClock,
}

impl std::fmt::Debug for AuditTrail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuditTrail")
    }
}

impl AuditTrail {
    /// Appends through a transport to the audit service.
    pub fn new(audit: Transport, clock: SharedClock) -> Self {
        Self { client: AuditLogServiceClient::new(audit), clock }
    }

    /// Appends an event and returns once it is durable. When this fails, nothing may be released or changed.
    ///
    /// Id, caller, time and trace are filled in.
    pub async fn append(&self, context: &Context, event: Event) -> Result<(), Status> {
        replay::counts().await?;
        let event = Event {
            event_id: EventId::generate().to_string(),
            caller: Some(context.caller.clone()),
            occurred_at: Some(clock::to_proto(self.clock.now())),
            trace_id: telemetry::trace_id(),
            ..event
        };
        let request = context.request(AppendRequest { event: Some(event) });
        match self.client.clone().append(request).await {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::error!(code = ?error.code(), "audit event could not be appended");
                Err(status::unavailable(
                    "AUDIT_UNAVAILABLE",
                    "the audit log does not answer: nothing was done",
                ))
            }
        }
    }

    /// Returns what was disclosed of a patient since a time, newest first.
    pub async fn disclosures(
        &self,
        context: &Context,
        patient: RecordReference,
        since: Timestamp,
    ) -> Result<Vec<Disclosure>, Status> {
        let at = |disclosure: &Disclosure| {
            let event = disclosure.logged.as_ref()?.event.as_ref()?;
            clock::from_proto(event.occurred_at.as_ref()?)
        };
        let mut disclosures = vec![];
        let mut page_token = String::new();
        loop {
            let patient = Some(patient.clone());
            let request = ListDisclosuresRequest { patient, page_size: page::SIZE_MAX, page_token };
            let listed = self.client.clone().list_disclosures(context.request(request)).await?.into_inner();
            // The log is in its own order: clocks of two processes may differ.
            let recent = |disclosure: &Disclosure| at(disclosure).is_none_or(|at| at >= since);
            disclosures.extend(listed.disclosures.into_iter().filter(recent));
            page_token = listed.next_page_token;
            if page_token.is_empty() {
                return Ok(disclosures);
            }
        }
    }

    /// Returns events of one member's calls, newest first; that they were read is recorded there.
    pub async fn search(
        &self,
        context: &Context,
        request: SearchEventsRequest,
    ) -> Result<SearchEventsResponse, Status> {
        Ok(self.client.clone().search_events(context.request(request)).await?.into_inner())
    }

    /// Appends the event of an administrative change, before it is made.
    pub async fn change(
        &self,
        context: &Context,
        kind: EventKind,
        action: &str,
        object_id: &str,
        request_id: &str,
    ) -> Result<(), Status> {
        let event = Event {
            kind: kind.into(),
            action: action.to_owned(),
            outcome: EventOutcome::Success.into(),
            object_id: object_id.to_owned(),
            request_id: request_id.to_owned(),
            ..Event::default()
        };
        self.append(context, event).await
    }
}
