//! Points in time as FHIR writes them: a year, a month, a day, or an instant with its zone (FHIR R4, dateTime).

use jiff::{Timestamp, civil};

/// True for digits alone.
fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// True for a day that the calendar has.
fn is_day(year: &str, month: &str, day: &str) -> bool {
    let date = (year.parse(), month.parse(), day.parse());
    let (Ok(year), Ok(month), Ok(day)) = date else { return false };
    year > 0 && civil::Date::new(year, month, day).is_ok()
}

/// Returns a dateTime of FHIR, if it is one.
pub(crate) fn fhir(text: &str) -> Option<String> {
    let text = text.trim();
    if !text.is_ascii() {
        return None;
    }
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let parts: Vec<_> = date.split('-').collect();
    if !parts.iter().all(|part| digits(part)) {
        return None;
    }
    let lengths: Vec<_> = parts.iter().map(|part| part.len()).collect();
    let valid = match (lengths.as_slice(), time) {
        ([4], None) => is_day(parts[0], "1", "1"),
        ([4, 2], None) => is_day(parts[0], parts[1], "1"),
        ([4, 2, 2], None) => is_day(parts[0], parts[1], parts[2]),
        ([4, 2, 2], Some(time)) => {
            is_day(parts[0], parts[1], parts[2]) && is_time(time) && text.parse::<Timestamp>().is_ok()
        }
        _ => false,
    };
    valid.then(|| text.to_owned())
}

/// True for `hh:mm:ss[.f](Z|+hh:mm|-hh:mm)`.
fn is_time(time: &str) -> bool {
    let Some(at) = time.find(['Z', '+', '-']) else { return false };
    let (clock, zone) = time.split_at(at);
    let (seconds, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let shaped = |text: &str, count: usize| {
        let parts: Vec<_> = text.split(':').collect();
        parts.len() == count && parts.iter().all(|part| part.len() == 2 && digits(part))
    };
    let whole = shaped(seconds, 3) && digits(fraction) && fraction.len() <= 9;
    whole && (zone == "Z" || (zone.len() == 6 && shaped(&zone[1..], 2)))
}

/// Returns a date of FHIR, if it is one.
pub(crate) fn fhir_date(text: &str) -> Option<String> {
    fhir(text).filter(|text| !text.contains('T'))
}

/// Returns an instant of FHIR, if it is one.
pub(crate) fn fhir_instant(text: &str) -> Option<String> {
    fhir(text).filter(|text| text.contains('T'))
}

/// Reads a point in time of HL7 v3 (`YYYY[MM[DD[HHMM[SS[.f]]]]][+ZZZZ]`; data types R1, TS) and writes it as FHIR does.
///
/// FHIR has no time of day without a zone: of one, the day is kept.
pub(crate) fn hl7(text: &str) -> Option<String> {
    let text = text.trim();
    let (clock, zone) = match text.find(['+', '-', 'Z']) {
        Some(at) => text.split_at_checked(at)?,
        None => (text, ""),
    };
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    if !digits(whole) || (!fraction.is_empty() && !digits(fraction)) {
        return None;
    }
    let date = match whole.len() {
        4 => whole.to_owned(),
        6 => format!("{}-{}", &whole[..4], &whole[4..]),
        8.. => format!("{}-{}-{}", &whole[..4], &whole[4..6], &whole[6..8]),
        _ => return None,
    };
    if !matches!(whole.len(), 12 | 14) {
        return fhir(&date);
    }
    let zone = match zone.len() {
        5 if digits(&zone[1..]) => format!("{}:{}", &zone[..3], &zone[3..]),
        1 if zone == "Z" => "Z".to_owned(),
        _ => return fhir(&date),
    };
    let seconds = whole.get(12..14).unwrap_or("00");
    fhir(&format!("{date}T{}:{}:{seconds}{zone}", &whole[8..10], &whole[10..12])).or_else(|| fhir(&date))
}

/// True when one says the same as the other, or the same with less precision.
pub(crate) fn agree(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if short == long {
        return true;
    }
    if let (Ok(a), Ok(b)) = (a.parse::<Timestamp>(), b.parse::<Timestamp>()) {
        return a == b;
    }
    long.starts_with(short) && matches!(long.as_bytes().get(short.len()), Some(b'-' | b'T'))
}

/// True when the one is sure to be on an earlier day than the other.
pub(crate) fn before(a: &str, b: &str) -> bool {
    let length = a.len().min(b.len()).min(10);
    a.get(..length) < b.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_hl7_are_written_as_fhir_does() {
        let cases = [
            ("1998", Some("1998")),
            ("199805", Some("1998-05")),
            ("19980501", Some("1998-05-01")),
            ("199805011145-0800", Some("1998-05-01T11:45:00-08:00")),
            ("20130101120000.123+0000", Some("2013-01-01T12:00:00+00:00")),
            ("199805011145", Some("1998-05-01")),
            ("1998050111", Some("1998-05-01")),
            ("19981301", None),
            ("19980230", None),
            ("", None),
            ("-", None),
            ("1998é", None),
        ];
        for (given, expected) in cases {
            assert_eq!(hl7(given).as_deref(), expected, "{given}");
        }
    }

    #[test]
    fn times_of_fhir_are_checked() {
        for good in ["2015", "2015-10", "2015-10-10", "2015-10-10T09:15:00+01:00", "2015-10-10T09:15:00.5Z"] {
            assert_eq!(fhir(good).as_deref(), Some(good));
        }
        for bad in
            ["15", "2015-13", "2015-02-30", "2015-10-10T09:15", "2015-10-10T09:15:00", "0000", "2015-1-1"]
        {
            assert_eq!(fhir(bad), None, "{bad}");
        }
    }

    #[test]
    fn less_precision_agrees() {
        assert!(agree("2015", "2015-10-10"));
        assert!(agree("2015-10-10T09:15:00+01:00", "2015-10-10T08:15:00Z"));
        assert!(!agree("2015-10", "2015-11-01"));
        assert!(before("1998", "1999-05") && !before("1998", "1998-05") && !before("1999", "1998"));
    }
}
