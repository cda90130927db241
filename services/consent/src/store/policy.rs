//! Where policies and past decisions are kept.

use async_trait::async_trait;
use signpost_common::{
    db::Attempt,
    id::{DecisionId, DirectiveId},
};

use super::{Error, Position};
use crate::domain::{Decision, Directive, DocumentFacts, Request};

/// A version of the policy, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPolicy {
    /// Version: a name and the number.
    pub version: String,
    /// Its place among all versions, from 1.
    pub number: i64,
    /// What it is for.
    pub summary: String,
    /// The document.
    pub source: String,
    /// SHA-256 of the document.
    pub sha256: Vec<u8>,
    /// When it was drafted, microseconds since 1970.
    pub drafted_us: i64,
    /// Who drafted it, as `member/user`.
    pub drafted_by: String,
    /// Its last activation.
    pub activated: Option<Activation>,
    /// True for the version in force.
    pub active: bool,
}

/// When a policy came into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// Its place among all activations, from 1.
    pub sequence: i64,
    /// When, microseconds since 1970.
    pub at_us: i64,
    /// Who did it, as `member/user`.
    pub by: String,
}

/// A policy to store.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Name in the document.
    pub name: String,
    /// What it is for.
    pub summary: String,
    /// The document.
    pub source: String,
}

/// Who does something, and when.
#[derive(Debug, Clone)]
pub struct Actor {
    /// Who, as `member/user`.
    pub by: String,
    /// When, microseconds since 1970.
    pub now_us: i64,
}

/// A question that was decided, with all that the decisions rested on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Id, in the order of time.
    pub id: DecisionId,
    /// Person that the documents belong to.
    pub person_id: String,
    /// The question.
    pub request: Request,
    /// Version of the policy.
    pub policy_version: String,
    /// Directives that were in force.
    pub directives: Vec<DirectiveId>,
    /// Documents with what was decided.
    pub documents: Vec<(DocumentFacts, Decision)>,
}

/// Keeps policies, their activations, and what was decided under them.
#[async_trait]
pub trait Policies: Send + Sync {
    /// Stores a policy. The same document again is the version that it was before.
    async fn draft_policy(
        &self,
        draft: &Draft,
        actor: &Actor,
        attempt: Option<&Attempt>,
    ) -> Result<StoredPolicy, Error>;

    /// Returns a version.
    async fn policy(&self, version: &str) -> Result<Option<StoredPolicy>, Error>;

    /// Returns versions, newest first, below a number.
    async fn policies(&self, below: i64, limit: i64) -> Result<Vec<StoredPolicy>, Error>;

    /// Returns the version that an activation put in force; the last activation when none is named. `None` as long as there
    /// was none.
    async fn activated(&self, sequence: Option<i64>) -> Result<Option<StoredPolicy>, Error>;

    /// Puts a version in force, at once and for everybody. One that is in force stays so.
    async fn activate(
        &self,
        version: &str,
        actor: &Actor,
        attempt: Option<&Attempt>,
    ) -> Result<StoredPolicy, Error>;

    /// Returns the version that was in force before the present one.
    async fn previous(&self) -> Result<Option<String>, Error>;

    /// Keeps decisions.
    async fn keep_decisions(&self, decisions: &[Kept]) -> Result<(), Error>;

    /// Returns a question that was decided.
    async fn decision(&self, id: DecisionId) -> Result<Option<Kept>, Error>;

    /// Returns questions that were decided since a moment, newest first, below a position.
    async fn decisions(
        &self,
        since_us: i64,
        below: Option<&Position>,
        limit: i64,
    ) -> Result<Vec<Kept>, Error>;

    /// Keeps the document of a version that is shipped, so that what was decided by it can be explained by later releases.
    async fn keep_shipped(&self, version: &str, source: &str) -> Result<(), Error>;

    /// Returns the document of a version that was shipped once.
    async fn shipped(&self, version: &str) -> Result<Option<String>, Error>;

    /// Forgets decisions that were made, and notices that somebody took note of, before a moment, oldest first, as many as
    /// one step may, and returns how many there were.
    async fn forget(&self, before_us: i64) -> Result<u64, Error>;

    /// Returns directives, in any order; those that do not exist are left out.
    async fn directives_of(&self, ids: &[DirectiveId]) -> Result<Vec<Directive>, Error>;
}
