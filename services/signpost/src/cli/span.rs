//! Spans of time that have passed, as people write them.

use jiff::{Span, Timestamp, tz::TimeZone};

/// Reads a span of time that has passed.
pub(super) fn span(text: &str) -> Result<Span, String> {
    let span = text.parse::<Span>().ok().filter(|span| span.signum() == 1);
    // Every moment that is told is in the calendar.
    let span = span.filter(|span| since(Timestamp::UNIX_EPOCH, span).is_ok());
    span.ok_or_else(|| "must be a span of time, as 12h, 30d or 2w".to_owned())
}

/// Returns the moment that was a span before another.
pub(super) fn since(now: Timestamp, span: &Span) -> Result<Timestamp, jiff::Error> {
    Ok(now.to_zoned(TimeZone::UTC).checked_sub(*span)?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        let now: Timestamp = "2026-03-31T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("12h", "2026-03-31T00:00:00Z"),
            ("30d", "2026-03-01T12:00:00Z"),
            ("2w", "2026-03-17T12:00:00Z"),
            ("1 month", "2026-02-28T12:00:00Z"),
            ("1d 12h", "2026-03-30T00:00:00Z"),
        ] {
            assert_eq!(since(now, &span(text).unwrap()).unwrap().to_string(), expected, "{text}");
        }
        for text in ["tomorrow", "", "30", "-30d", "30d ago", "0d", "19000y"] {
            assert!(span(text).unwrap_err().contains("30d"), "{text}");
        }
    }
}
