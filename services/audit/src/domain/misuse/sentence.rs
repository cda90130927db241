//! What a sign says to people. Patients are not named: whoever may know them finds them by the events.

use signpost_proto::{common::v1::Caller, directory::v1::MemberKind};

use super::{By, Policy, Raised, Reason};

/// Writes a sentence on a sign that rests on so many events.
pub(super) fn sentence(policy: &Policy, raised: &Raised, caller: &Caller, kind: MemberKind) -> String {
    let &Raised { reason, by, ref evidence } = raised;
    let (events, count) = (evidence.len(), policy.usual(reason, by));
    let many = |what: &str| {
        let whose = if by == By::Member { " of all its users" } else { "" };
        format!("{events} {what}{whose} within {}; at most {} are usual", time(count.within_us), count.most)
    };
    match reason {
        Reason::NoRelationship => {
            "looked at a patient for treatment, without an encounter, and the organisation \
             holds no record of the patient"
                .to_owned()
        }
        Reason::Colleague => "looked at a patient who works at the same organisation".to_owned(),
        Reason::Household => "looked at a patient who lives with them".to_owned(),
        Reason::OwnRecord => "looked at their own record".to_owned(),
        Reason::Watched => "looked at a patient who is on the list of those to be watched".to_owned(),
        Reason::Velocity => many("looks"),
        Reason::Breadth => many("patients"),
        Reason::Enumeration => many("attempts that found nobody"),
        Reason::EmergencyWithoutEncounter => "opened emergency access without an encounter".to_owned(),
        Reason::TakesOnly => format!(
            "received documents of others {events} times within {} and has given none",
            time(count.within_us)
        ),
        Reason::UnfitPurpose => {
            let kind = kind.as_str_name().trim_start_matches("MEMBER_KIND_").to_ascii_lowercase();
            let purpose = caller.purpose().as_str_name().trim_start_matches("PURPOSE_OF_USE_");
            format!("asked for {purpose}, which does not fit a member of kind {}", kind.replace('_', "-"))
        }
    }
}

/// Writes a time in the largest unit that it has a whole number of.
fn time(us: i64) -> String {
    let seconds = us / 1_000_000;
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let (length, unit) = units.into_iter().find(|(length, _)| seconds % length == 0).unwrap_or((1, "second"));
    let number = seconds / length;
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}
