//! Disclosures in plain English.

use jiff::Timestamp;
use signpost_proto::{
    audit::v1::EventOutcome,
    common::v1::{PurposeOfUse, Role},
};

/// Who reads the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// The patient, who may also know how much was withheld from others.
    Patient,
    /// A privacy officer of a member that treats the patient.
    Officer,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Looked up records.
    LookUp,
    /// Asked for all documents; each that is fetched is told by itself.
    AskForAll,
    /// Fetched documents.
    Fetch,
    /// Opened emergency access.
    OpenEmergency,
    /// Closed it.
    CloseEmergency,
    /// Reviewed it.
    ReviewEmergency,
    /// Did something else with it.
    UseEmergency,
}

/// Who.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A user of a member.
    User {
        /// User name.
        name: String,
        /// Role.
        role: Role,
        /// Member.
        member_id: String,
    },
    /// A service of the exchange, for itself.
    Exchange,
}

/// One access to a patient's information.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Who.
    pub actor: Actor,
    /// What was done.
    pub deed: Deed,
    /// Why.
    pub purpose: PurposeOfUse,
    /// How it ended.
    pub outcome: EventOutcome,
    /// Number of documents that were released.
    pub released: usize,
    /// Number of documents that were withheld.
    pub withheld: usize,
    /// When.
    pub at: Timestamp,
}

/// Tells of an access in one sentence.
pub fn sentence(access: &Access, reader: Reader) -> String {
    let whose = match reader {
        Reader::Patient => "your",
        Reader::Officer => "the patient's",
    };
    let (did, to_do, what) = deed(access.deed);
    let verb = match access.outcome {
        EventOutcome::Success => did.to_owned(),
        EventOutcome::Refused | EventOutcome::Failed | EventOutcome::Unspecified => {
            format!("asked to {to_do}")
        }
    };
    let (who, why, end) = (actor(&access.actor), purpose(access.purpose), ending(access, reader));
    let when = access.at.strftime("%Y-%m-%d %H:%M UTC");
    format!("{who} {verb} {whose} {what} for {why} on {when}{end}.")
}

fn deed(deed: Deed) -> (&'static str, &'static str, &'static str) {
    match deed {
        Deed::LookUp => ("looked up", "look up", "records"),
        Deed::AskForAll => ("asked for all of", "see all of", "documents"),
        Deed::Fetch => ("fetched", "fetch", "documents"),
        Deed::OpenEmergency => ("opened emergency access to", "open emergency access to", "records"),
        Deed::CloseEmergency => ("closed emergency access to", "close emergency access to", "records"),
        Deed::ReviewEmergency => ("reviewed emergency access to", "review emergency access to", "records"),
        Deed::UseEmergency => ("used emergency access to", "use emergency access to", "records"),
    }
}

fn ending(access: &Access, reader: Reader) -> String {
    let received = matches!(access.deed, Deed::LookUp | Deed::Fetch);
    let shown = match access.released {
        0 => "was shown no documents".to_owned(),
        1 => "was shown 1 document".to_owned(),
        n => format!("was shown {n} documents"),
    };
    let withheld = match (reader, access.withheld) {
        (Reader::Officer, _) | (Reader::Patient, 0) => String::new(),
        (Reader::Patient, 1) => "; 1 was withheld".to_owned(),
        (Reader::Patient, n) => format!("; {n} were withheld"),
    };
    match access.outcome {
        EventOutcome::Success if received || access.released > 0 => format!(" and {shown}{withheld}"),
        EventOutcome::Success => String::new(),
        EventOutcome::Refused => " and was refused".to_owned(),
        EventOutcome::Failed | EventOutcome::Unspecified if access.released > 0 => {
            format!(" and {shown} before the request failed{withheld}")
        }
        EventOutcome::Failed | EventOutcome::Unspecified => ", but the request failed".to_owned(),
    }
}

fn actor(actor: &Actor) -> String {
    match actor {
        Actor::Exchange => "the exchange itself".to_owned(),
        // The user name of a patient is an identifier of that patient.
        Actor::User { role: Role::Patient, member_id, .. } => format!("a patient at {member_id}"),
        Actor::User { role: Role::Representative, member_id, .. } => {
            format!("somebody who acts for a patient at {member_id}")
        }
        Actor::User { name, role, member_id } => format!("{name} ({}) at {member_id}", role_words(*role)),
    }
}

fn role_words(role: Role) -> &'static str {
    match role {
        Role::Unspecified => "role unknown",
        Role::Physician => "physician",
        Role::Nurse => "nurse",
        Role::Clerk => "registration clerk",
        Role::Steward => "data steward",
        Role::PrivacyOfficer => "privacy officer",
        Role::Operator => "operator",
        Role::Patient => "patient",
        Role::System => "unattended system",
        Role::Representative => "representative of a patient",
    }
}

fn purpose(purpose: PurposeOfUse) -> &'static str {
    match purpose {
        PurposeOfUse::Unspecified => "a purpose that was not stated",
        PurposeOfUse::Treat => "treatment",
        PurposeOfUse::Etreat => "emergency treatment",
        PurposeOfUse::Hpaymt => "payment",
        PurposeOfUse::Hoperat => "health care operations",
        PurposeOfUse::Pubhlth => "public health",
        PurposeOfUse::Hresch => "research",
        PurposeOfUse::Patrqt => "a request of the patient",
        PurposeOfUse::Btg => "emergency access (break the glass)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        Access {
            actor: Actor::User {
                name: "dr.lee".into(),
                role: Role::Physician,
                member_id: "coast-general".into(),
            },
            deed: Deed::LookUp,
            purpose: PurposeOfUse::Etreat,
            outcome: EventOutcome::Success,
            released: 3,
            withheld: 0,
            at: "2026-03-01T02:14:59Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_look_up_is_told_with_who_why_when_and_what() {
        assert_eq!(
            sentence(&access(), Reader::Patient),
            "dr.lee (physician) at coast-general looked up your records for emergency treatment on \
             2026-03-01 02:14 UTC and was shown 3 documents."
        );
    }

    #[test]
    fn only_the_patient_learns_how_much_was_withheld() {
        let access = Access { released: 1, withheld: 2, deed: Deed::Fetch, ..access() };
        assert_eq!(
            sentence(&access, Reader::Patient),
            "dr.lee (physician) at coast-general fetched your documents for emergency treatment on \
             2026-03-01 02:14 UTC and was shown 1 document; 2 were withheld."
        );
        let told = sentence(&access, Reader::Officer);
        assert!(told.contains("the patient's documents") && !told.contains("withheld"), "{told}");
        let nothing = Access { released: 0, withheld: 1, ..access.clone() };
        assert!(sentence(&nothing, Reader::Patient).ends_with("was shown no documents; 1 was withheld."));
    }

    #[test]
    fn refusals_and_failures_are_told_as_such() {
        let refused = Access { outcome: EventOutcome::Refused, released: 0, ..access() };
        assert_eq!(
            sentence(&refused, Reader::Patient),
            "dr.lee (physician) at coast-general asked to look up your records for emergency treatment on \
             2026-03-01 02:14 UTC and was refused."
        );
        let failed = Access { outcome: EventOutcome::Failed, released: 0, ..access() };
        assert!(sentence(&failed, Reader::Patient).ends_with("UTC, but the request failed."));
        let half = Access { outcome: EventOutcome::Failed, released: 2, ..access() };
        assert!(
            sentence(&half, Reader::Patient)
                .ends_with("and was shown 2 documents before the request failed.")
        );
    }

    #[test]
    fn emergency_access_tells_of_documents_only_when_there_are_some() {
        let opened =
            Access { deed: Deed::OpenEmergency, purpose: PurposeOfUse::Btg, released: 0, ..access() };
        assert_eq!(
            sentence(&opened, Reader::Patient),
            "dr.lee (physician) at coast-general opened emergency access to your records for emergency access \
             (break the glass) on 2026-03-01 02:14 UTC."
        );
    }

    #[test]
    fn a_patient_is_not_named() {
        let actor = Actor::User { name: "MRN-1".into(), role: Role::Patient, member_id: "north".into() };
        let told = sentence(&Access { actor, ..access() }, Reader::Patient);
        assert!(told.starts_with("a patient at north ") && !told.contains("MRN"), "{told}");
        let told = sentence(&Access { actor: Actor::Exchange, ..access() }, Reader::Patient);
        assert!(told.starts_with("the exchange itself looked up"), "{told}");
    }
}
