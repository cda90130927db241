//! Between the contract's messages and the domain; the only place.

use jiff::{Timestamp, ToSpan, civil::Date as CalendarDate};
use signpost_common::{
    clock,
    id::{RecordId, RecordRef},
    rpc::{Context, status::invalid},
};
use signpost_linkage::{
    Address, Date, Identifier, Name, Record, Sex,
    explain::{Explanation, FieldPart},
};
use signpost_proto::{
    common::v1::{self as common, AdministrativeSex, NameUse},
    mpi::v1::{self as proto, ReviewState},
};
use tonic::Status;

use crate::store::{By, Error, LinkEvent, Of, ReviewTask, TaskFilter};

const LIST_MAX: usize = 16;
const TEXT_CHARS_MAX: usize = 256;
const BIRTH_ORDER_MAX: u32 = 12;
const REASON_CHARS_MAX: usize = 500;
const RECORDS_MAX: usize = 500;
const BIRTH_YEAR_MIN: i16 = 1850;

/// Reads the records that a split takes out.
pub(crate) fn record_ids(ids: &[String]) -> Result<Vec<RecordId>, Status> {
    if ids.is_empty() || ids.len() > RECORDS_MAX {
        return Err(invalid("record_ids", format!("must have 1 to {RECORDS_MAX} entries")));
    }
    let mut records = vec![];
    for (i, id) in ids.iter().enumerate() {
        let at = format!("record_ids[{i}]");
        let record = id_of(&at, id)?;
        if records.contains(&record) {
            return Err(invalid(&at, "stands there twice"));
        }
        records.push(record);
    }
    Ok(records)
}

/// Reads a time, when there is one.
pub(crate) fn time(at: &str, time: Option<prost_types::Timestamp>) -> Result<Option<Timestamp>, Status> {
    time.map(|time| clock::from_proto(&time).ok_or_else(|| invalid(at, "is not a time"))).transpose()
}

/// Reads which review tasks to list.
pub(crate) fn task_filter(request: &proto::ListReviewTasksRequest) -> Result<TaskFilter, Status> {
    let state = match ReviewState::try_from(request.state) {
        Ok(ReviewState::Unspecified) => ReviewState::Open,
        Ok(state) => state,
        Err(_) => return Err(invalid("state", "is not a state of a review task")),
    };
    if !(0.0..=1.0).contains(&request.probability_min) {
        return Err(invalid("probability_min", "must be between 0 and 1"));
    }
    let member_id = Some(&request.member_id).filter(|id| !id.is_empty());
    let opened_before = time("opened_before", request.opened_before)?;
    Ok(TaskFilter {
        state,
        reason: Some(text("reason", &request.reason)?).filter(|reason| !reason.is_empty()),
        member_id: member_id.map(|id| id_of("member_id", id)).transpose()?,
        probability_min: request.probability_min,
        opened_before_us: opened_before.map(Timestamp::as_microsecond),
    })
}

/// Reads demographics. `at` is the path of the message in the request.
pub(crate) fn record(
    at: &str,
    demographics: Option<&common::Demographics>,
    now: Timestamp,
) -> Result<Record, Status> {
    let demographics = demographics.ok_or_else(|| invalid(at, "must be set"))?;
    let common::Demographics {
        names,
        birth_date,
        sex,
        addresses,
        phones,
        emails,
        identifiers,
        multiple_birth_order,
        mother,
    } = demographics;
    let birth_order = u8::try_from(*multiple_birth_order).ok().filter(|n| u32::from(*n) <= BIRTH_ORDER_MAX);
    let birth_order =
        birth_order.ok_or_else(|| invalid(&format!("{at}.multiple_birth_order"), "must be at most 12"))?;
    Ok(Record {
        names: each(&format!("{at}.names"), names, name)?,
        birth_dates: date(&format!("{at}.birth_date"), birth_date, now)?.into_iter().collect(),
        sex: sex_of(&format!("{at}.sex"), *sex)?,
        addresses: each(&format!("{at}.addresses"), addresses, address)?,
        phones: each(&format!("{at}.phones"), phones, |at, phone| text(at, phone))?,
        emails: each(&format!("{at}.emails"), emails, |at, email| text(at, email))?,
        identifiers: each(&format!("{at}.identifiers"), identifiers, identifier)?,
        // A record that comes again under its number is found by that, not by comparing.
        record_numbers: vec![],
        multiple_birth_order: (birth_order > 0).then_some(birth_order),
        mother: mother.as_ref().map(|mother| name(&format!("{at}.mother"), mother)).transpose()?,
    })
}

fn each<T, U>(at: &str, items: &[T], read: impl Fn(&str, &T) -> Result<U, Status>) -> Result<Vec<U>, Status> {
    if items.len() > LIST_MAX {
        return Err(invalid(at, format!("must have at most {LIST_MAX} entries")));
    }
    items.iter().enumerate().map(|(i, item)| read(&format!("{at}[{i}]"), item)).collect()
}

/// A text without control or invisible characters, which no name, address or identifier has.
fn text(at: &str, text: &str) -> Result<String, Status> {
    if text.chars().count() > TEXT_CHARS_MAX {
        return Err(invalid(at, format!("must be at most {TEXT_CHARS_MAX} characters")));
    }
    if text.chars().any(signpost_common::text::is_unfit) {
        return Err(invalid(at, "must have no control or invisible characters"));
    }
    Ok(text.to_owned())
}

fn name(at: &str, name: &common::HumanName) -> Result<Name, Status> {
    let common::HumanName { given, family, suffix, r#use, maternal_family } = name;
    NameUse::try_from(*r#use).map_err(|_| invalid(&format!("{at}.use"), "is not a use of a name"))?;
    let name = Name {
        given: each(&format!("{at}.given"), given, |at, given| text(at, given))?,
        family: text(&format!("{at}.family"), family)?,
        maternal: text(&format!("{at}.maternal_family"), maternal_family)?,
        suffix: text(&format!("{at}.suffix"), suffix)?,
        recorded_on: None,
    };
    if name.family.trim().is_empty() && name.given.iter().all(|given| given.trim().is_empty()) {
        return Err(invalid(at, "must have a given or a family name"));
    }
    Ok(name)
}

fn date(at: &str, text: &str, now: Timestamp) -> Result<Option<Date>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let date = Date::parse(text).ok_or_else(|| invalid(at, "must be of the form YYYY-MM-DD"))?;
    let calendar: CalendarDate =
        text.parse().map_err(|_| invalid(at, "must be a date that the calendar has"))?;
    // A day ahead: somewhere it is tomorrow already.
    let latest = now.checked_add(24.hours()).unwrap_or(now).to_zoned(jiff::tz::TimeZone::UTC).date();
    if calendar.year() < BIRTH_YEAR_MIN || calendar > latest {
        return Err(invalid(at, format!("must be between {BIRTH_YEAR_MIN} and today")));
    }
    Ok(Some(date))
}

fn sex_of(at: &str, value: i32) -> Result<Option<Sex>, Status> {
    match AdministrativeSex::try_from(value).map_err(|_| invalid(at, "is not an administrative sex"))? {
        AdministrativeSex::Female => Ok(Some(Sex::Female)),
        AdministrativeSex::Male => Ok(Some(Sex::Male)),
        AdministrativeSex::Other | AdministrativeSex::Unspecified => Ok(None),
    }
}

fn address(at: &str, address: &common::Address) -> Result<Address, Status> {
    let common::Address { line, city, state, postcode } = address;
    Ok(Address {
        line: text(&format!("{at}.line"), line)?,
        city: text(&format!("{at}.city"), city)?,
        state: text(&format!("{at}.state"), state)?,
        postcode: text(&format!("{at}.postcode"), postcode)?,
        recorded_on: None,
    })
}

fn identifier(at: &str, identifier: &common::Identifier) -> Result<Identifier, Status> {
    let common::Identifier { system, value } = identifier;
    let filled = |part: &str, value: &String| {
        let at = format!("{at}.{part}");
        if value.trim().is_empty() { Err(invalid(&at, "must not be empty")) } else { text(&at, value) }
    };
    Ok(Identifier { system: filled("system", system)?, value: filled("value", value)? })
}

/// A query must say enough not to be a fishing trip: a name and one attribute more.
pub(crate) fn enough_to_match(record: &Record) -> Result<(), Status> {
    if record.names.is_empty() {
        return Err(invalid("demographics.names", "must have at least one name"));
    }
    let more = !record.birth_dates.is_empty()
        || !record.addresses.is_empty()
        || !record.phones.is_empty()
        || !record.emails.is_empty()
        || !record.identifiers.is_empty();
    if more {
        return Ok(());
    }
    let attributes = "a birth date, an address, a phone, an e-mail address or an identifier";
    Err(invalid("demographics", format!("must have {attributes} besides the name")))
}

pub(crate) fn local_reference(context: &Context, local_id: &str) -> Result<RecordRef, Status> {
    let member = context.caller.member_id.parse().map_err(|error| invalid("member_id", error))?;
    RecordRef::new(member, local_id).map_err(|error| invalid("local_id", error))
}

fn reference(at: &str, record: &common::RecordReference) -> Result<RecordRef, Status> {
    let common::RecordReference { member_id, local_id } = record;
    let member = member_id.parse().map_err(|error| invalid(&format!("{at}.member_id"), error))?;
    RecordRef::new(member, local_id).map_err(|error| invalid(&format!("{at}.local_id"), error))
}

pub(crate) fn reference_to_proto(reference: &RecordRef) -> common::RecordReference {
    common::RecordReference {
        member_id: reference.member_id.to_string(),
        local_id: reference.local_id().to_owned(),
    }
}

pub(crate) fn by_of_get(by: Option<proto::get_person_request::By>) -> Result<By, Status> {
    use proto::get_person_request::By as Proto;
    match by.ok_or_else(|| invalid("by", "must be set"))? {
        Proto::PersonId(id) => id_of("person_id", &id).map(By::Person),
        Proto::Record(record) => reference("record", &record).map(By::Record),
    }
}

pub(crate) fn by_of_list(by: Option<proto::list_person_records_request::By>) -> Result<By, Status> {
    use proto::list_person_records_request::By as Proto;
    match by.ok_or_else(|| invalid("by", "must be set"))? {
        Proto::PersonId(id) => id_of("person_id", &id).map(By::Person),
        Proto::Record(record) => reference("record", &record).map(By::Record),
    }
}

pub(crate) fn id_of<T>(at: &str, text: &str) -> Result<T, Status>
where
    T: std::str::FromStr<Err = signpost_common::id::Error>,
{
    text.parse().map_err(|error| invalid(at, error))
}

/// Reads whose decisions to list.
pub(crate) fn of(of: Option<proto::list_link_events_request::Of>) -> Result<Of, Status> {
    use proto::list_link_events_request::Of::{PersonId, RecordId};
    match of.ok_or_else(|| invalid("of", "must be set"))? {
        RecordId(id) => Ok(Of::Record(id_of("record_id", &id)?)),
        PersonId(id) => Ok(Of::Person(id_of("person_id", &id)?)),
    }
}

/// Every record and every person has a decision.
pub(crate) fn unknown(of: &Of) -> Error {
    match of {
        Of::Record(_) => Error::RecordUnknown,
        Of::Person(_) => Error::PersonUnknown,
    }
}

pub(crate) fn reason(reason: &str) -> Result<(), Status> {
    let long = reason.chars().count() > REASON_CHARS_MAX;
    if reason.trim().is_empty() || long || reason.chars().any(signpost_common::text::is_unfit) {
        return Err(invalid("reason", "must be 1 to 500 characters without control or invisible characters"));
    }
    Ok(())
}

impl From<LinkEvent> for proto::LinkEvent {
    fn from(event: LinkEvent) -> Self {
        Self {
            sequence: event.sequence,
            record_id: event.record.to_string(),
            record: Some(reference_to_proto(&event.reference)),
            from_person_id: event.from.map(|id| id.to_string()).unwrap_or_default(),
            to_person_id: event.to.to_string(),
            kind: event.kind.into(),
            weight_bits: event.bits,
            model_version: event.model_version,
            actor: event.actor,
            decided_at: Some(clock::micros_to_proto(event.decided_us)),
            undoes: event.undoes.unwrap_or_default(),
            reason: event.reason,
            candidate_person_id: event.candidate.map(|id| id.to_string()).unwrap_or_default(),
        }
    }
}

impl From<ReviewTask> for proto::ReviewTask {
    fn from(task: ReviewTask) -> Self {
        let ReviewTask { id, record, reference, candidate, probability, reason, state, opened_us } = task;
        Self {
            task_id: id.to_string(),
            record_id: record.to_string(),
            candidate_person_id: candidate.to_string(),
            probability,
            reason,
            state: state.into(),
            record: Some(reference_to_proto(&reference)),
            opened_at: Some(clock::micros_to_proto(opened_us)),
        }
    }
}

/// Says why a pair weighs what it weighs.
pub(crate) fn explanation(explanation: Explanation) -> proto::ExplainMatchResponse {
    let Explanation {
        model,
        fields,
        prior_bits,
        calibration_bits,
        bits,
        probability,
        same,
        household,
        unrelated,
        rule,
    } = explanation;
    let field = |part: FieldPart| {
        let FieldPart { field, level, bits, frequency_bits } = part;
        let (field, level) = (field.name().to_owned(), level.to_owned());
        proto::FieldWeight { field, level, bits, frequency_bits }
    };
    proto::ExplainMatchResponse {
        fields: fields.into_iter().map(field).collect(),
        total_bits: bits,
        probability,
        model_version: model,
        prior_bits,
        calibration_bits,
        same,
        household,
        unrelated,
        rule: rule.to_owned(),
        ..proto::ExplainMatchResponse::default()
    }
}

#[cfg(test)]
mod tests {
    use signpost_common::rpc::status;

    use super::*;

    fn field_of(demographics: &common::Demographics) -> String {
        let now = "2026-01-02T00:00:00Z".parse().unwrap();
        record("demographics", Some(demographics), now).map_err(|s| status::field(&s)).unwrap_err()
    }

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        let named = |given: &str, family: &str| common::HumanName {
            given: vec![given.into()],
            family: family.into(),
            ..Default::default()
        };
        let with_name =
            |name| common::Demographics { names: vec![named("A", "B"), name], ..Default::default() };
        assert_eq!(field_of(&with_name(named(" ", ""))), "demographics.names[1]");
        assert_eq!(field_of(&with_name(named("a\0", "b"))), "demographics.names[1].given[0]");
        assert_eq!(field_of(&with_name(named("a", &"b".repeat(257)))), "demographics.names[1].family");
        let born = |date: &str| common::Demographics { birth_date: date.into(), ..Default::default() };
        for bad in
            ["1980-02-30", "1980-13-01", "80-01-01", "2026-01-04", "1700-01-01", "1980-01-01T00:00:00Z"]
        {
            assert_eq!(field_of(&born(bad)), "demographics.birth_date", "{bad}");
        }
        let sex = common::Demographics { sex: 9, ..Default::default() };
        assert_eq!(field_of(&sex), "demographics.sex");
        let phones = common::Demographics { phones: vec![String::new(); 17], ..Default::default() };
        assert_eq!(field_of(&phones), "demographics.phones");
        let twin = common::Demographics { multiple_birth_order: 13, ..Default::default() };
        assert_eq!(field_of(&twin), "demographics.multiple_birth_order");
        let daughter =
            |mother| common::Demographics { mother: Some(mother), ..with_name(named("Ann", "Roe")) };
        assert_eq!(field_of(&daughter(named(" ", ""))), "demographics.mother");
        assert_eq!(field_of(&daughter(named("a", "b\u{7}"))), "demographics.mother.family");
        let maternal = common::HumanName { maternal_family: "c".repeat(257), ..named("a", "b") };
        assert_eq!(field_of(&with_name(maternal)), "demographics.names[1].maternal_family");
    }

    #[test]
    fn the_mothers_name_is_read() {
        let named = |family: &str, maternal_family: &str| common::HumanName {
            family: family.into(),
            maternal_family: maternal_family.into(),
            ..Default::default()
        };
        let demographics = common::Demographics {
            names: vec![named("García", "Lorca")],
            mother: Some(named("Lorca", "")),
            ..Default::default()
        };
        let now = "2026-01-02T00:00:00Z".parse().unwrap();
        let record = record("demographics", Some(&demographics), now).unwrap();
        assert_eq!(record.names[0].maternal, "Lorca");
        assert_eq!(record.mother.unwrap().family, "Lorca");
    }
}
