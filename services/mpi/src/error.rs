//! What goes wrong in the index, and what callers see of it.

use signpost_common::{db, rpc::status};
use tonic::Status;

/// Why the index did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] db::Error),
    /// There is no such person.
    #[error("there is no such person")]
    PersonUnknown,
    /// There is no such record.
    #[error("there is no such record, or it is not that person's")]
    RecordUnknown,
    /// There is no such review task.
    #[error("there is no such review task")]
    TaskUnknown,
    /// The task was decided otherwise.
    #[error("the review task was decided otherwise before")]
    TaskResolved,
    /// The two are one person already.
    #[error("the two are one person already")]
    OnePerson,
    /// Nothing was before the decision that is to be taken back.
    #[error("the decision founded a person: there is nothing before it to go back to")]
    NothingBefore,
    /// The record was decided on again.
    #[error("the record was decided on since: take the later decision back first")]
    DecidedSince,
    /// There is no such decision.
    #[error("there is no such decision")]
    EventUnknown,
    /// There was nobody to compare the record with.
    #[error("the decision compared the record with nobody: it founded a person, or the others have left")]
    NothingCompared,
    /// A model could not be learnt.
    #[error("the model could not be learnt")]
    TrainingFailed,
    /// There are not enough records to learn from.
    #[error("a model is learnt from a thousand records or more")]
    TooFewRecords,
    /// There is no such model.
    #[error("there is no such model")]
    ModelUnknown,
    /// A model of this name is there.
    #[error("a model of this name is there: choose another")]
    ModelExists,
    /// Another model is being learnt.
    #[error("another model is being learnt: wait for it, or discard it")]
    TrainingUnderWay,
    /// The model is not in a state for this.
    #[error(
        "the state of the model does not allow it: it must be ready, or have been in force to be put in force again"
    )]
    ModelNotReady,
    /// Another model is in force than the changes were found against.
    #[error(
        "another model came into force since it was learnt, so its changes are not the true ones: learn again"
    )]
    ModelOutdated,
    /// The record is its person's only one.
    #[error(
        "the record is the only one of its person, or all that the person has were named: somebody must remain"
    )]
    AlreadyAlone,
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Database(error) => status::database(&error),
            Error::PersonUnknown => status::not_found("PERSON_UNKNOWN", text),
            Error::RecordUnknown => status::not_found("RECORD_UNKNOWN", text),
            Error::TaskUnknown => status::not_found("TASK_UNKNOWN", text),
            Error::TaskResolved => status::precondition("TASK_RESOLVED", text),
            Error::OnePerson => status::precondition("ONE_PERSON", text),
            Error::NothingBefore => status::precondition("NOTHING_BEFORE", text),
            Error::DecidedSince => status::precondition("DECIDED_SINCE", text),
            Error::EventUnknown => status::not_found("EVENT_UNKNOWN", text),
            Error::NothingCompared => status::precondition("NOTHING_COMPARED", text),
            Error::TrainingFailed => status::precondition("TRAINING_FAILED", text),
            Error::TooFewRecords => status::precondition("TOO_FEW_RECORDS", text),
            Error::ModelUnknown => status::not_found("MODEL_UNKNOWN", text),
            Error::ModelExists => status::already_exists("MODEL_EXISTS", text),
            Error::TrainingUnderWay => status::precondition("TRAINING_UNDER_WAY", text),
            Error::ModelNotReady => status::precondition("MODEL_NOT_READY", text),
            Error::ModelOutdated => status::precondition("MODEL_OUTDATED", text),
            Error::AlreadyAlone => status::precondition("ALREADY_ALONE", text),
        }
    }
}
