//! What is kept of models: those that decide, that decided, and that may. Every method is one transaction.

use async_trait::async_trait;
use signpost_common::{
    db::Attempt,
    id::{PersonId, RecordId, RecordRef},
};
use signpost_proto::mpi::v1::ModelState;

use super::{Decider, Error, StoredRecord};
use crate::domain::{Decide, Incoming};

/// A model, without what it learnt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredModel {
    /// Position, for pages.
    pub row: i64,
    /// Its name.
    pub version: String,
    /// State.
    pub state: ModelState,
    /// Model that was in force when it was begun; empty for one that was not learnt here.
    pub compared_with: String,
    /// Number of records it was learnt from.
    pub records: i64,
    /// How far it is.
    pub progress: Progress,
    /// Why it failed: a stable reason, or empty.
    pub failure: String,
    /// When it was begun or first seen, microseconds since 1970.
    pub created_us: i64,
    /// When it came into force.
    pub promoted_us: Option<i64>,
    /// When whoever works on it said so last.
    pub touched_us: i64,
    /// Changes that wait to be carried out.
    pub pending: i64,
    /// Who put it in force or gave it up, and why.
    pub decided: (String, String),
}

/// How far a piece of work is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// What is being done; empty when nothing is.
    pub step: String,
    /// How much of it is done.
    pub done: i64,
    /// Of how much; 0 when nobody can say.
    pub total: i64,
}

/// A decision that comes out otherwise under a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelChange {
    /// The record.
    pub record: RecordId,
    /// Person it is with.
    pub person: PersonId,
    /// What was decided: a stable code.
    pub before: String,
    /// What would be decided.
    pub after: String,
    /// Person that it would go to, or that would be asked about.
    pub candidate: Option<PersonId>,
    /// Probability that the record is that person's.
    pub probability: f64,
}

/// A steward's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// On this record,
    pub record: RecordId,
    /// and this person, by the id that it has now:
    pub person: PersonId,
    /// they are one; otherwise they are kept apart.
    pub linked: bool,
}

/// Keeps models.
#[async_trait]
pub trait Models: Send + Sync {
    /// Returns a model.
    async fn model(&self, version: &str) -> Result<Option<StoredModel>, Error>;

    /// Returns the model that decides.
    async fn model_in_force(&self) -> Result<Option<StoredModel>, Error>;

    /// Returns models, the latest first, before a position.
    async fn models(&self, before: i64, limit: i64) -> Result<Vec<StoredModel>, Error>;

    /// Returns what a model learnt, as JSON.
    async fn model_body(&self, version: &str) -> Result<Option<String>, Error>;

    /// Keeps a model that was not learnt here, unless one of its name is there. In force, it retires the one that was.
    async fn keep_model(&self, version: &str, body: &str, in_force: bool, now_us: i64) -> Result<(), Error>;

    /// Begins a model, unless another is being learnt by somebody who has said something since `alive_us`.
    async fn begin_model(
        &self,
        version: &str,
        compared_with: &str,
        alive_us: i64,
        now_us: i64,
        attempt: Option<&Attempt>,
    ) -> Result<StoredModel, Error>;

    /// Takes models for failed whose learner has said nothing since `alive_us`; returns how many.
    async fn fail_silent(&self, alive_us: i64) -> Result<u64, Error>;

    /// Says how far a model is; false when it was given up meanwhile.
    async fn touch_model(&self, version: &str, progress: &Progress, now_us: i64) -> Result<bool, Error>;

    /// Takes over the work on a model that nobody has done since `alive_us`; false when somebody does it.
    async fn take_over(&self, version: &str, alive_us: i64, now_us: i64) -> Result<bool, Error>;

    /// Keeps what a model learnt and what it would change: it is ready.
    async fn model_learnt(
        &self,
        version: &str,
        body: &str,
        records: i64,
        changes: &[ModelChange],
        now_us: i64,
    ) -> Result<(), Error>;

    /// Says why a model was not learnt.
    async fn model_failed(&self, version: &str, failure: &'static str, now_us: i64) -> Result<(), Error>;

    /// Puts a model in force; the one that was retires.
    async fn promote_model(
        &self,
        version: &str,
        by: &Decider<'_>,
        attempt: Option<&Attempt>,
    ) -> Result<StoredModel, Error>;

    /// Gives a model up that was never in force.
    async fn discard_model(
        &self,
        version: &str,
        by: &Decider<'_>,
        attempt: Option<&Attempt>,
    ) -> Result<StoredModel, Error>;

    /// Returns what a model would change, after a position.
    async fn model_changes(
        &self,
        version: &str,
        after: i64,
        limit: i64,
    ) -> Result<Vec<(i64, RecordRef, ModelChange)>, Error>;

    /// Counts what a model would change by what was and what would be decided, the most frequent first.
    async fn model_change_counts(&self, version: &str) -> Result<Vec<(String, String, i64)>, Error>;

    /// Returns records that wait to be decided on anew since a model is in force, with the positions of their changes.
    async fn pending_changes(&self, version: &str, limit: i64) -> Result<Vec<(i64, StoredRecord)>, Error>;

    /// Decides anew on records that say what they said and that no steward linked, and ticks their changes off.
    async fn carry_out(
        &self,
        batch: &[Incoming],
        changes: &[i64],
        decide: &dyn Decide,
        by: &Decider<'_>,
    ) -> Result<(), Error>;

    /// Returns what stewards said.
    async fn words(&self) -> Result<Vec<Word>, Error>;
}
