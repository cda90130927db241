//! A rule told in plain English, for people who do not read its document.

use std::fmt::Display;

use jiff::{Timestamp, tz::TimeZone};
use signpost_proto::{
    common::v1::{PurposeOfUse, Role},
    consent::v1::EmergencyReason,
};

use crate::domain::{
    Criterion, Effect, Layer, Matcher, Obligation, Party, Relationship, Rule, Validity,
    vocabulary::purpose_code,
};

/// Tells a rule of a policy: what it says of which documents, where it does not hold, what it asks for, whether emergency
/// access goes past it, since when, and where it comes from.
pub fn told(rule: &Rule) -> String {
    let verb = match rule.effect {
        Effect::Permit => "Permits",
        Effect::Deny => "Denies",
    };
    let mut sentences = vec![format!("{verb} access to {}.", scope(&rule.matcher))];
    for (number, exception) in rule.exceptions.iter().enumerate() {
        let begins = if number == 0 { "It does not hold" } else { "Nor does it hold" };
        sentences.push(format!("{begins} {}.", narrowed(&exception.matcher)));
        if !exception.obligations.is_empty() {
            let duties = duties(&exception.obligations);
            sentences.push(format!("What is released under this exception comes with duties: {duties}."));
        }
    }
    if !rule.obligations.is_empty() {
        let duties = duties(&rule.obligations);
        sentences.push(format!("Whatever it speaks of comes with duties when it is released: {duties}."));
    }
    sentences.extend(emergency(rule));
    sentences.extend(held(&rule.validity).map(|when| format!("It holds {when}.")));
    if !rule.source.is_empty() {
        sentences.push(format!("Source: {}.", rule.source.trim_end_matches('.')));
    }
    sentences.join(" ")
}

/// Says whether emergency access goes past a denial.
fn emergency(rule: &Rule) -> Option<String> {
    let open = |matcher: &Matcher| matcher.criteria().iter().any(|c| matches!(c, Criterion::Emergency(_)));
    let goes_past = match (rule.effect, rule.layer, rule.overridable) {
        (Effect::Permit, ..) => return None,
        (Effect::Deny, Layer::Statutory, _) if rule.exceptions.iter().any(|e| open(&e.matcher)) => {
            "Emergency access goes past it by the exception alone."
        }
        (Effect::Deny, _, true) => "Emergency access goes past it.",
        (Effect::Deny, _, false) => "Emergency access does not go past it.",
    };
    Some(goes_past.to_owned())
}

/// Says when a rule holds, unless it always does.
pub(super) fn held(validity: &Validity) -> Option<String> {
    Some(match (validity.from_us, validity.to_us) {
        (None, None) => return None,
        (Some(from), None) => format!("from {} on", moment(from)),
        (None, Some(to)) => format!("until {}", moment(to)),
        (Some(from), Some(to)) => format!("from {} until {}", moment(from), moment(to)),
    })
}

/// Says what is spoken of: documents, then who asks.
fn scope(matcher: &Matcher) -> String {
    let [conditions, documents] = parts(matcher);
    let documents = match documents.is_empty() {
        true => "any document".to_owned(),
        false => format!("documents {}", documents.join(", ")),
    };
    match conditions.is_empty() {
        true => format!("{documents}, whoever asks"),
        false => format!("{documents} when {}", conditions.join(" and ")),
    }
}

/// Says where an exception holds.
pub(super) fn narrowed(matcher: &Matcher) -> String {
    let [conditions, documents] = parts(matcher);
    let documents = (!documents.is_empty()).then(|| format!("for documents {}", documents.join(", ")));
    let conditions = (!conditions.is_empty()).then(|| format!("when {}", conditions.join(" and ")));
    let said: Vec<String> = documents.into_iter().chain(conditions).collect();
    said.join(" ")
}

/// Returns what is said of who asks and what is said of documents.
fn parts(matcher: &Matcher) -> [Vec<String>; 2] {
    let mut parts = [vec![], vec![]];
    for criterion in matcher.criteria() {
        let listed = listed(&items(criterion), "or");
        let (part, phrase) = match criterion {
            Criterion::Requesters(_) => (0, format!("the organisation that asks is {listed}")),
            Criterion::Roles(_) => (0, format!("who asks is {listed}")),
            Criterion::Purposes(_) => (0, format!("the purpose is {listed}")),
            Criterion::Relationships(_) => (0, format!("it is asked by {listed}")),
            Criterion::Emergency(_) => (0, format!("emergency access is open because {listed}")),
            Criterion::Consent => (0, "the patient's own directives permit it".to_owned()),
            Criterion::Custodians(_) => (1, format!("held by {listed}")),
            Criterion::Authors(_) => (1, format!("written at {listed}")),
            Criterion::TypeCodes(_) => (1, format!("of the type {listed}")),
            Criterion::ClassCodes(_) => (1, format!("of the category {listed}")),
            Criterion::Labels(_) => (1, format!("that bear the label {listed}")),
            Criterion::Documents(_) => (1, format!("with the id {listed}")),
            Criterion::Period { .. } => (1, format!("whose service began {listed}")),
        };
        parts[part].push(phrase);
    }
    parts
}

/// Returns what a criterion lists, in words.
pub(super) fn items(criterion: &Criterion) -> Vec<String> {
    fn words<T>(list: &[T], word: impl Fn(&T) -> String) -> Vec<String> {
        list.iter().map(word).collect()
    }
    match criterion {
        Criterion::Requesters(list) | Criterion::Custodians(list) => words(list, ToString::to_string),
        Criterion::Roles(list) => words(list, |role| self::role(*role).to_owned()),
        Criterion::Purposes(list) => words(list, |purpose| self::purpose(*purpose)),
        Criterion::Relationships(list) => words(list, |of| relationship(*of).to_owned()),
        Criterion::Emergency(list) => words(list, |of| reason(*of).to_owned()),
        Criterion::Consent => vec![],
        Criterion::Authors(list) | Criterion::TypeCodes(list) | Criterion::ClassCodes(list) => {
            words(list, |text| format!("\"{text}\""))
        }
        Criterion::Labels(list) => words(list, |text| label(text)),
        Criterion::Documents(list) => words(list, ToString::to_string),
        Criterion::Period { from_us, to_us } => vec![match (from_us, to_us) {
            (Some(from), Some(to)) => format!("at or after {} and before {}", moment(*from), moment(*to)),
            (Some(from), None) => format!("at or after {}", moment(*from)),
            (None, Some(to)) => format!("before {}", moment(*to)),
            (None, None) => "at any time".to_owned(),
        }],
    }
}

fn duties(duties: &[Obligation]) -> String {
    listed(&duties.iter().map(duty).collect::<Vec<_>>(), "and")
}

/// Says what must accompany a release.
pub(super) fn duty(duty: &Obligation) -> String {
    match duty {
        Obligation::RedisclosureNotice(text) => format!("the notice \"{text}\" goes with it"),
        Obligation::Mask(of) => format!("its custodian masks what bears the label {}", label(of)),
        Obligation::Notify(Party::Patient) => "the patient is told".to_owned(),
        Obligation::Notify(Party::PrivacyOfficer) => "the custodian's privacy officer is told".to_owned(),
        Obligation::PurposeLimit(code) => {
            let known = crate::domain::vocabulary::purposes(code);
            let purpose = known.first().map_or_else(|| code.clone(), |known| purpose(*known));
            format!("it serves {purpose} alone")
        }
        Obligation::EraseAfterDays(1) => "it is erased after a day".to_owned(),
        Obligation::EraseAfterDays(days) => format!("it is erased after {days} days"),
    }
}

/// Lists words as a sentence does.
pub(super) fn listed<T: Display>(words: &[T], last: &str) -> String {
    match words {
        [] => String::new(),
        [one] => one.to_string(),
        [some @ .., end] => {
            let some: Vec<String> = some.iter().map(ToString::to_string).collect();
            format!("{} {last} {end}", some.join(", "))
        }
    }
}

/// Writes a moment: a date when it is midnight UTC.
fn moment(at_us: i64) -> String {
    let Ok(at) = Timestamp::from_microsecond(at_us) else { return at_us.to_string() };
    match at_us.rem_euclid(86_400_000_000) {
        0 => at.to_zoned(TimeZone::UTC).date().to_string(),
        _ => at.to_string(),
    }
}

fn purpose(purpose: PurposeOfUse) -> String {
    let name = match purpose {
        PurposeOfUse::Unspecified => return "one that is not stated".to_owned(),
        PurposeOfUse::Treat => "treatment",
        PurposeOfUse::Etreat => "emergency treatment",
        PurposeOfUse::Btg => "breaking the glass",
        PurposeOfUse::Hpaymt => "payment",
        PurposeOfUse::Hoperat => "health care operations",
        PurposeOfUse::Pubhlth => "public health",
        PurposeOfUse::Hresch => "research",
        PurposeOfUse::Patrqt => "the patient's own request",
    };
    format!("{name} ({})", purpose_code(purpose))
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Unspecified => "somebody without a role",
        Role::Physician => "a physician",
        Role::Nurse => "a nurse",
        Role::Clerk => "a clerk",
        Role::Steward => "a steward",
        Role::PrivacyOfficer => "a privacy officer",
        Role::Operator => "an operator",
        Role::Patient => "a patient",
        Role::Representative => "a representative",
        Role::System => "a system",
    }
}

fn relationship(relationship: Relationship) -> &'static str {
    match relationship {
        Relationship::Myself => "the patient",
        Relationship::Representative => "a representative of the patient",
        Relationship::Treating => "an organisation that has a record of the patient",
    }
}

fn reason(reason: EmergencyReason) -> &'static str {
    match reason {
        EmergencyReason::Unspecified => "of a reason that is not stated",
        EmergencyReason::Unconscious => "the patient is unconscious",
        EmergencyReason::LifeThreatening => "life is in danger",
        EmergencyReason::DangerToOthers => "others are in danger",
    }
}

/// Writes a label with what it stands for; one of the operator's own stands for itself.
fn label(code: &str) -> String {
    let names = LABEL_NAMES.iter().find(|(known, _)| *known == code);
    names.map_or_else(|| code.to_owned(), |(_, name)| format!("{code} ({name})"))
}

/// What HL7's labels stand for.
const LABEL_NAMES: [(&str, &str); 39] = [
    ("ADOL", "adolescents"),
    ("B", "business"),
    ("BH", "behavioral health"),
    ("CEL", "celebrities"),
    ("COGN", "cognitive disability"),
    ("DIA", "a diagnosis"),
    ("DRGIS", "drugs"),
    ("DVD", "developmental disability"),
    ("EMOTDIS", "emotional disturbance"),
    ("EMP", "employers"),
    ("ETH", "substance abuse"),
    ("ETHUD", "alcohol use disorder"),
    ("GDIS", "genetic disease"),
    ("HIV", "HIV and AIDS"),
    ("L", "low confidentiality"),
    ("LOCIS", "location"),
    ("M", "moderate confidentiality"),
    ("MH", "mental health"),
    ("MST", "military sexual trauma"),
    ("N", "normal confidentiality"),
    ("OPIOIDUD", "opioid use disorder"),
    ("PREGNANT", "pregnancy"),
    ("PSY", "psychiatry"),
    ("PSYTHPN", "psychotherapy notes"),
    ("R", "restricted"),
    ("SCA", "sickle cell anemia"),
    ("SDV", "sexual assault, abuse or domestic violence"),
    ("SEX", "sexuality and reproductive health"),
    ("SICKLE", "sickle cell"),
    ("SPI", "specially protected"),
    ("SSP", "sensitive services"),
    ("STD", "sexually transmitted disease"),
    ("SUD", "substance use disorder"),
    ("TBOO", "taboo"),
    ("U", "unrestricted"),
    ("V", "very restricted"),
    ("VIO", "violence"),
    ("VIP", "persons of note"),
    ("WORK", "work"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        document::{Document, TEMPLATES},
        domain::vocabulary::LABELS,
    };

    fn rules(text: &str) -> Vec<String> {
        let document = Document::parse(&format!("name = \"p\"\nlabels = [\"OWN\"]\n{text}")).unwrap();
        document.rules().iter().map(told).collect()
    }

    #[test]
    fn every_label_has_a_name() {
        assert_eq!(LABEL_NAMES.map(|(code, _)| code), LABELS);
        assert_eq!(label("OWN"), "OWN");
    }

    #[test]
    fn a_rule_without_criteria_speaks_of_everything() {
        assert_eq!(
            rules(
                "[[network]]\nname = \"a\"\neffect = \"permit\"\n[[network]]\nname = \"b\"\neffect = \"deny\"\n"
            ),
            [
                "Permits access to any document, whoever asks.",
                "Denies access to any document, whoever asks. Emergency access does not go past it.",
            ]
        );
    }

    #[test]
    fn every_criterion_is_told() {
        let id = "01a2035c-2b37-7179-9aa7-7dd86f89df2f";
        let told = rules(&format!(
            "[[network]]\nname = \"all\"\neffect = \"deny\"\noverridable = true\n\
             match = {{ requesters = [\"ed\", \"west\"], roles = [\"physician\", \"nurse\", \"clerk\"], \
             purposes = [\"TREAT\"], relationships = [\"treating\"], emergency = [\"unconscious\"], consent = true, \
             custodians = [\"north\"], authors = [\"Hill Clinic\"], types = [\"11502-2\"], categories = [\"LAB\"], \
             labels = [\"PSY\", \"OWN\"], documents = [\"{id}\"], service-from = 2020-01-01, \
             service-to = 2024-01-01T08:00:00Z }}\n"
        ));
        let expected = format!(
            "Denies access to documents held by north, written at \"Hill Clinic\", of the type \"11502-2\", of the category \
             \"LAB\", that bear the label PSY (psychiatry) or OWN, with the id {id}, whose service began at or after \
             2020-01-01 and before 2024-01-01T08:00:00Z when the organisation that asks is ed or west and who asks is a \
             physician, a nurse or a clerk and the purpose is treatment (TREAT) and it is asked by an organisation that has \
             a record of the patient and emergency access is open because the patient is unconscious and the patient's own \
             directives permit it. Emergency access goes past it."
        );
        assert_eq!(told, [expected]);
    }

    #[test]
    fn exceptions_duties_validity_and_source_are_told() {
        let told = rules(
            "[[statutory]]\nname = \"law\"\nsource = \"42 CFR 2.31\"\neffect = \"deny\"\nmatch = { labels = [\"SUD\"] }\n\
             except = [{ match = { consent = true } }, \
             { match = { emergency = [\"life-threatening\", \"danger-to-others\"], labels = [\"HIV\"] }, \
             obligations = [{ notify = \"patient\" }, { notify = \"privacy-officer\" }] }]\n\
             obligations = [{ notice = \"No.\" }, { mask = \"PSY\" }, { purpose-limit = \"HRESCH\" }, \
             { erase-after-days = 1 }, { erase-after-days = 30 }]\nfrom = 2026-01-01\nto = 2027-01-01\n",
        );
        assert_eq!(
            told,
            [
                "Denies access to documents that bear the label SUD (substance use disorder), whoever asks. It does not hold \
              when the patient's own directives permit it. Nor does it hold for documents that bear the label HIV (HIV and \
              AIDS) when emergency access is open because life is in danger or others are in danger. What is released under \
              this exception comes with duties: the patient is told and the custodian's privacy officer is told. Whatever it \
              speaks of comes with duties when it is released: the notice \"No.\" goes with it, its custodian masks what \
              bears the label PSY (psychiatry), it serves research (HRESCH) alone, it is erased after a day and it is erased \
              after 30 days. Emergency access goes past it by the exception alone. It holds from 2026-01-01 until \
              2027-01-01. Source: 42 CFR 2.31."
            ]
        );
    }

    #[test]
    fn what_is_shipped_is_told() {
        for (name, source) in TEMPLATES {
            for rule in Document::parse(source).unwrap().rules() {
                let told = told(rule);
                let clean = !told.contains("  ") && !told.contains("..") && !told.contains(" .");
                assert!(clean && told.ends_with('.'), "{name}: {told}");
            }
        }
    }
}
