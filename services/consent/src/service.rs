//! The handlers: authorise, convert, call, convert.

use std::{sync::Arc, time::Duration};

use signpost_common::{
    clock::SharedClock,
    id::RecordRef,
    rpc::{Context, audit::AuditTrail, page},
};
use signpost_proto::{
    audit::v1::{Event, EventKind, EventOutcome},
    common::v1::{RecordReference, Role},
};
use tonic::Status;

use crate::{
    convert,
    document::NetworkDefault,
    domain::{Directive, Session},
    error::Error,
    keeper::Keeper,
    patients::Patients,
    rulebook::Rulebook,
    store::{Position, Store},
};

mod consent;
mod decide;
mod emergency;
mod notice;
mod policy;

/// How long a release may go on before consent is asked again.
const LEASE: Duration = Duration::from_millis(100);

/// Time for a part of a document that was let through at the last moment to be on its way.
const LEASE_MARGIN: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) audit: AuditTrail,
    pub(crate) patients: Arc<dyn Patients>,
    pub(crate) clock: SharedClock,
    pub(crate) network_default: NetworkDefault,
    /// Most sessions of emergency access that one user opens in a day; 0 for any number.
    pub(crate) emergency_per_user_per_day: u32,
    pub(crate) rulebook: Arc<Rulebook>,
    pub(crate) keeper: Keeper,
}

impl Service {
    fn now_us(&self) -> i64 {
        self.clock.now().as_microsecond()
    }

    /// Waits until no release goes on under what was decided before a change, so that none is made after it is acknowledged.
    async fn settle(&self) {
        tokio::time::sleep(LEASE + LEASE_MARGIN).await;
    }

    /// Records a change of a directive before it is made, or that it was not made after all.
    async fn changing_directive(
        &self,
        context: &Context,
        method: &str,
        directive: &Directive,
        outcome: EventOutcome,
        request_id: &str,
    ) -> Result<(), Status> {
        let event = Event {
            kind: EventKind::Consent.into(),
            action: format!("/signpost.consent.v1.ConsentService/{method}"),
            outcome: outcome.into(),
            object_id: directive.id.to_string(),
            patient_records: vec![convert::record_to_proto(&directive.patient)],
            request_id: request_id.to_owned(),
            ..Event::default()
        };
        self.audit.append(context, event).await
    }

    /// Records a change of a session before it is made, or its refusal, under the person's records, so that patients find it;
    /// returns these.
    async fn changing_session(
        &self,
        context: &Context,
        method: &str,
        session: &Session,
        outcome: EventOutcome,
        request_id: &str,
    ) -> Result<Vec<RecordReference>, Status> {
        let person_id = session.person_id.to_string();
        let records = self.patients.records(context, person_id.clone()).await?.ok_or(Error::PersonUnknown)?;
        let event = Event {
            kind: EventKind::Emergency.into(),
            action: format!("/signpost.consent.v1.EmergencyAccessService/{method}"),
            outcome: outcome.into(),
            object_id: session.id.to_string(),
            person_id,
            patient_records: records.clone(),
            emergency_session_id: session.id.to_string(),
            request_id: request_id.to_owned(),
            ..Event::default()
        };
        self.audit.append(context, event).await?;
        Ok(records)
    }
}

/// True for the caller's own patients; patients and who acts for them see one only.
fn own(context: &Context, patient: &RecordRef) -> bool {
    let permitted =
        !context.is(&[Role::Patient, Role::Representative]) || context.caller.user == patient.local_id();
    permitted && context.caller.member_id == patient.member_id.as_str()
}

/// Reads where a page begins.
fn position(query: &[u8], token: &str) -> Result<Option<Position>, Status> {
    let wrong = || signpost_common::rpc::status::invalid("page_token", "is not one of ours");
    let Some(text) = page::position(query, token)? else { return Ok(None) };
    let (time_us, id) = text.split_once('/').ok_or_else(wrong)?;
    Ok(Some((time_us.parse().map_err(|_| wrong())?, id.to_owned())))
}
