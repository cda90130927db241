//! What goes wrong in the consent service, and what callers see of it.

use signpost_common::{db, rpc::status};
use tonic::Status;

use crate::store::STANDING_MAX;

/// Why the consent service did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] db::Error),
    /// There is no such directive, or the caller may not know of it.
    #[error("there is no such directive")]
    DirectiveUnknown,
    /// The patient has as many directives in force as are kept.
    #[error("the patient has {STANDING_MAX} directives in force, which is all that may be; revoke some")]
    TooManyDirectives,
    /// The index does not know the patient.
    #[error("no such patient of your organisation was fed to the exchange")]
    RecordUnknown,
    /// The signature is that of an earlier directive.
    #[error(
        "the signature is that of an earlier directive; sign a statement that differs, for instance in `valid_from`"
    )]
    SignatureUsed,
    /// There is no such person.
    #[error("there is no such person")]
    PersonUnknown,
    /// There is no such session, or the caller may not know of it.
    #[error("there is no such emergency session")]
    SessionUnknown,
    /// The session does not serve this caller and this person now.
    #[error("the emergency session is not open for this user and this person")]
    SessionInvalid,
    /// The user has opened emergency access as often as one may in a day.
    #[error(
        "you opened emergency access {0} times in the last 24 hours, which is all; ask your privacy officer"
    )]
    EmergencyQuota(u32),
    /// There is no such notice, or it is for somebody else.
    #[error("there is no such notice")]
    NoticeUnknown,
    /// There is no such version of the policy.
    #[error("there is no such version of the policy")]
    PolicyUnknown,
    /// No policy was in force before the present one.
    #[error("no version was in force before this one; name the one to go back to")]
    PolicyFirst,
    /// Somebody else changes the policy at the same moment.
    #[error("somebody else changes the policy at the same moment; look at it and try again")]
    PolicyBusy,
    /// There is no such decision among those that are kept.
    #[error("there is no such decision")]
    DecisionUnknown,
    /// The session was reviewed otherwise.
    #[error("the emergency session has been reviewed")]
    ReviewCompleted,
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
            Error::DirectiveUnknown => status::not_found("DIRECTIVE_UNKNOWN", text),
            Error::TooManyDirectives => status::precondition("DIRECTIVES_TOO_MANY", text),
            Error::RecordUnknown => status::not_found("RECORD_UNKNOWN", text),
            Error::SignatureUsed => status::error(tonic::Code::AlreadyExists, "SIGNATURE_USED", &text),
            Error::PersonUnknown => status::not_found("PERSON_UNKNOWN", text),
            Error::SessionUnknown => status::not_found("SESSION_UNKNOWN", text),
            Error::SessionInvalid => status::precondition("EMERGENCY_SESSION_INVALID", text),
            Error::EmergencyQuota(_) => {
                status::error(tonic::Code::ResourceExhausted, "EMERGENCY_QUOTA", &text)
            }
            Error::NoticeUnknown => status::not_found("NOTICE_UNKNOWN", text),
            Error::PolicyUnknown => status::not_found("POLICY_UNKNOWN", text),
            Error::PolicyFirst => status::precondition("POLICY_FIRST", text),
            Error::PolicyBusy => status::error(tonic::Code::Aborted, "POLICY_BUSY", &text),
            Error::DecisionUnknown => status::not_found("DECISION_UNKNOWN", text),
            Error::ReviewCompleted => status::precondition("REVIEW_COMPLETED", text),
        }
    }
}
