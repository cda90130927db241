//! FHIR's dateTime and Period (R4 and R5, datatypes): a time is as long as what it leaves out.

use jiff::{
    SignedDuration, Timestamp, ToSpan,
    civil::{Date, DateTime},
    tz::Offset,
};
use serde_json::{Value, json};

use super::json::{Faults, Object, text};

const SECOND_US: i64 = 1_000_000;

/// When something begins and when it is over, microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) begin_us: i64,
    pub(super) end_us: i64,
}

/// Reads a time: a year, a month, a day, or a moment with its offset. Finer than microseconds is not read.
pub(super) fn moment(text: &str) -> Option<Moment> {
    let bytes = text.as_bytes();
    if !text.is_ascii() {
        return None;
    }
    match bytes.len() {
        4 | 7 | 10 => days(text),
        20.. => instant(text),
        _ => None,
    }
}

fn number(text: &str) -> Option<i16> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn days(text: &str) -> Option<Moment> {
    let mut parts = text.split('-');
    let year = number(parts.next().filter(|year| year.len() == 4)?)?;
    let mut two = || match parts.next() {
        None => Some(None),
        Some(part) if part.len() == 2 => Some(Some(i8::try_from(number(part)?).ok()?)),
        Some(_) => None,
    };
    let (month, day) = (two()?, two()?);
    let begin = Date::new(year, month.unwrap_or(1), day.unwrap_or(1)).ok()?;
    let length = match (month, day) {
        (None, _) => 1.year(),
        (_, None) => 1.month(),
        _ => 1.day(),
    };
    let micros = |date: Date| {
        Some(Offset::UTC.to_timestamp(date.to_datetime(Default::default())).ok()?.as_microsecond())
    };
    Some(Moment { begin_us: micros(begin)?, end_us: micros(begin.checked_add(length).ok()?)? })
}

fn instant(text: &str) -> Option<Moment> {
    let (clock, rest) = text.split_at_checked(19)?;
    let shaped = clock.bytes().enumerate().all(|(i, b)| match i {
        4 | 7 => b == b'-',
        10 => b == b'T',
        13 | 16 => b == b':',
        _ => b.is_ascii_digit(),
    });
    let zone_at = rest.find(['Z', '+', '-'])?;
    let (fraction, zone) = rest.split_at(zone_at);
    let digits = match fraction.strip_prefix('.') {
        Some(digits) if (1..=6).contains(&digits.len()) && number_like(digits) => digits.len(),
        None if fraction.is_empty() => 0,
        _ => return None,
    };
    if !shaped || clock.ends_with("60") {
        return None;
    }
    let local: DateTime = text[..19 + zone_at].parse().ok()?;
    let begin = offset(zone)?.to_timestamp(local).ok()?;
    let length_us = SECOND_US / 10_i64.pow(u32::try_from(digits).ok()?);
    let end = begin.checked_add(SignedDuration::from_micros(length_us)).ok()?;
    Some(Moment { begin_us: begin.as_microsecond(), end_us: end.as_microsecond() })
}

fn number_like(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

fn offset(zone: &str) -> Option<Offset> {
    if zone == "Z" {
        return Some(Offset::UTC);
    }
    let (sign, rest) = zone.split_at_checked(1)?;
    let (hours, minutes) = rest.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    if hours > 14 || minutes > 59 {
        return None;
    }
    let seconds = (i32::from(hours) * 60 + i32::from(minutes)) * 60;
    Offset::from_seconds(if sign == "-" { -seconds } else { seconds }).ok()
}

/// Reads a period as its begin and the moment from which it is over.
pub(super) fn period(faults: &mut Faults, path: &str, value: &Value) -> Option<(Option<i64>, Option<i64>)> {
    let object = Object::read(faults, path, value, &["id", "start", "end"])?;
    let mut at = |name: &str| -> Option<Option<Moment>> {
        let Some((path, value)) = object.field(name) else { return Some(None) };
        read_moment(faults, &path, value).map(Some)
    };
    let (start, end) = (at("start")?, at("end")?);
    let (from_us, to_us) = (start.map(|start| start.begin_us), end.map(|end| end.end_us));
    match (from_us, to_us) {
        (None, None) => faults.refuse(path, "must have a start or an end"),
        (Some(from_us), Some(to_us)) if to_us <= from_us => {
            faults.refuse(&format!("{path}.end"), "must not be before the start")
        }
        both => Some(both),
    }
}

/// Reads a time at a path.
pub(super) fn read_moment(faults: &mut Faults, path: &str, value: &Value) -> Option<Moment> {
    let moment = moment(text(faults, path, value)?);
    if moment.is_none() {
        faults.add(path, "must be a date, or a time with an offset and at most six digits of a fraction");
    }
    moment
}

/// Writes a period. An end is the last moment that still belongs to it. `None` where FHIR's years do not reach.
pub(super) fn write_period(from_us: Option<i64>, to_us: Option<i64>) -> Option<Value> {
    let mut period = json!({});
    if let Some(from_us) = from_us {
        period["start"] = write_moment(from_us, from_us % SECOND_US == 0)?.into();
    }
    if let Some(to_us) = to_us {
        let whole = to_us % SECOND_US == 0;
        let last_us = to_us.checked_sub(if whole { SECOND_US } else { 1 })?;
        period["end"] = write_moment(last_us, whole)?.into();
    }
    Some(period)
}

/// Writes a moment in whole seconds, or with all its microseconds.
pub(super) fn write_moment(at_us: i64, whole: bool) -> Option<String> {
    let at = Timestamp::from_microsecond(at_us).ok()?;
    let year = Offset::UTC.to_datetime(at).year();
    let form = if whole { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S.%6fZ" };
    (1..=9999).contains(&year).then(|| at.strftime(form).to_string())
}
