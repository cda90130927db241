//! The handlers: authorise, convert, call, convert.

use std::sync::Arc;

use signpost_common::{
    clock::SharedClock,
    id::RecordRef,
    rpc::{Context, audit::AuditTrail, page},
};
use signpost_proto::{
    audit::v1::{Event, EventKind, EventOutcome},
    common::v1::Role,
};
use tonic::Status;

use crate::{
    convert,
    domain::{Directive, NetworkDefault, Session},
    error::Error,
    patients::Patients,
    store::{Position, Store},
};

mod consent;
mod emergency;
mod policy;

#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) audit: AuditTrail,
    pub(crate) patients: Arc<dyn Patients>,
    pub(crate) clock: SharedClock,
    pub(crate) network_default: NetworkDefault,
}

impl Service {
    fn now_us(&self) -> i64 {
        self.clock.now().as_microsecond()
    }

    /// Records a change of a directive before it is made.
    async fn changing_directive(
        &self,
        context: &Context,
        method: &str,
        directive: &Directive,
        request_id: &str,
    ) -> Result<(), Status> {
        let event = Event {
            kind: EventKind::Consent.into(),
            action: format!("/signpost.consent.v1.ConsentService/{method}"),
            outcome: EventOutcome::Success.into(),
            object_id: directive.id.to_string(),
            patient_records: vec![convert::record_to_proto(&directive.patient)],
            request_id: request_id.to_owned(),
            ..Event::default()
        };
        self.audit.append(context, event).await
    }

    /// Records a change of a session before it is made, under the person's records, so that patients find it.
    async fn changing_session(
        &self,
        context: &Context,
        method: &str,
        session: &Session,
        request_id: &str,
    ) -> Result<(), Status> {
        let person_id = session.person_id.to_string();
        let records = self.patients.records(context, person_id.clone()).await?.ok_or(Error::PersonUnknown)?;
        let event = Event {
            kind: EventKind::Emergency.into(),
            action: format!("/signpost.consent.v1.EmergencyAccessService/{method}"),
            outcome: EventOutcome::Success.into(),
            object_id: session.id.to_string(),
            person_id,
            patient_records: records,
            emergency_session_id: session.id.to_string(),
            request_id: request_id.to_owned(),
            ..Event::default()
        };
        self.audit.append(context, event).await
    }
}

/// True for the caller's own patients; patients see themselves only.
fn own(context: &Context, patient: &RecordRef) -> bool {
    let permitted = !context.is(&[Role::Patient]) || context.caller.user == patient.local_id();
    permitted && context.caller.member_id == patient.member_id.as_str()
}

/// Reads where a page begins.
fn position(query: &[u8], token: &str) -> Result<Option<Position>, Status> {
    let wrong = || signpost_common::rpc::status::invalid("page_token", "is not one of ours");
    let Some(text) = page::position(query, token)? else { return Ok(None) };
    let (time_us, id) = text.split_once('/').ok_or_else(wrong)?;
    Ok(Some((time_us.parse().map_err(|_| wrong())?, id.to_owned())))
}
