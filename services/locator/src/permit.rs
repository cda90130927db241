//! What was permitted, for as long as its release goes on.

use signpost_common::rpc::Context;
use signpost_proto::{
    consent::v1::{DecideRequest, Effect, Obligation},
    mpi::v1::list_person_records_request::By,
};
use tokio::time::Instant;
use tonic::Status;

use crate::{
    clients::{Clients, Decided, Person},
    convert,
    error::Error,
};

/// How often consent is asked in a row when its answers come late.
const ASKED_MAX: usize = 3;

/// Documents that consent permitted, and how to ask about them again.
///
/// Consent says how long its answer is good for a release, and acknowledges a revocation only when every such time has passed:
/// whoever asks again in time releases nothing after an acknowledged revocation.
#[derive(Default)]
pub(crate) struct Permit {
    request: DecideRequest,
    obligations: Vec<Vec<Obligation>>,
    until: Option<Instant>,
}

impl Permit {
    /// Makes a permit of documents that consent was just asked about.
    pub(crate) fn new<'a>(
        person: &Person,
        permitted: impl IntoIterator<Item = &'a Decided>,
        emergency_session_id: &str,
    ) -> Self {
        let mut permit = Self {
            request: DecideRequest {
                person_id: person.id.clone(),
                patient_records: person.records.clone(),
                documents: vec![],
                emergency_session_id: emergency_session_id.to_owned(),
                again: true,
            },
            ..Self::default()
        };
        for decided in permitted {
            permit.request.documents.push(convert::facts(&decided.entry));
            permit.obligations.push(decided.decision.obligations.clone());
            permit.until = Some(decided.until);
        }
        permit
    }

    /// Asks consent again when its answer has grown old.
    ///
    /// # Errors
    /// When something is no longer permitted as it was, or cannot be found out to be.
    pub(crate) async fn holds(&mut self, clients: &Clients, context: &Context) -> Result<(), Status> {
        // Without documents there is nothing to be released. An answer that takes longer than it is good for is no answer.
        for _ in 0..ASKED_MAX {
            if self.until.is_none_or(|until| Instant::now() < until) {
                return Ok(());
            }
            // A record that was linked since may bear a denial.
            let person = clients.person(context, By::PersonId(self.request.person_id.clone())).await?;
            if person.is_none_or(|person| person.records != self.request.patient_records) {
                return Err(Error::Stopped.into());
            }
            let (response, until) = clients.ask_consent(context, self.request.clone()).await?;
            let as_before = response.decisions.len() == self.obligations.len()
                && response.decisions.iter().zip(&self.obligations).all(|(decision, obligations)| {
                    decision.effect() == Effect::Permit && decision.obligations == *obligations
                });
            if !as_before {
                return Err(Error::Stopped.into());
            }
            self.until = Some(until);
        }
        match self.until.is_none_or(|until| Instant::now() < until) {
            true => Ok(()),
            false => Err(Error::Service("consent service").into()),
        }
    }
}
