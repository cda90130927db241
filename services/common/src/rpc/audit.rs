//! How every service appends to the audit log.

use signpost_proto::audit::v1::{
    AppendRequest, Event, EventKind, EventOutcome, audit_log_service_client::AuditLogServiceClient,
};
use tonic::Status;

use super::{Context, Transport, status};
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
