//! Pages of a list (AIP-158): sizes with a limit, and tokens that belong to one query.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use tonic::Status;

use super::status;
use crate::hash;

/// Largest page.
pub const SIZE_MAX: i32 = 500;

/// Page size when none is asked for.
pub const SIZE_DEFAULT: i32 = 100;

/// Reads a page size: 0 means the default; more than the largest is cut to it.
pub fn size(page_size: i32) -> Result<i64, Status> {
    match page_size {
        0 => Ok(i64::from(SIZE_DEFAULT)),
        1.. => Ok(i64::from(page_size.min(SIZE_MAX))),
        _ => Err(status::invalid("page_size", "must not be negative")),
    }
}

/// Makes the token that continues after `position`, for one query only.
pub fn token(query: &[u8], position: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode([&tag(query)[..], position.as_bytes()].concat())
}

/// Cuts a page that was read with one row too many, and makes the token that continues after it, empty on the last page.
pub fn cut<T>(query: &[u8], rows: &mut Vec<T>, limit: i64, position: impl Fn(&T) -> String) -> String {
    let limit = usize::try_from(limit).unwrap_or(0);
    let more = rows.len() > limit;
    rows.truncate(limit);
    rows.last().filter(|_| more).map(|last| token(query, &position(last))).unwrap_or_default()
}

/// Reads a token; `None` for the first page. A token of another query is refused.
pub fn position(query: &[u8], token: &str) -> Result<Option<String>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let wrong = || status::invalid("page_token", "must come from the previous page of the same query");
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
    let (seen, position) = bytes.split_at_checked(8).ok_or_else(wrong)?;
    if seen != tag(query) {
        return Err(wrong());
    }
    let position = String::from_utf8(position.to_vec()).map_err(|_| wrong())?;
    // Positions go into statements, and PostgreSQL takes no NUL.
    if position.chars().any(char::is_control) { Err(wrong()) } else { Ok(Some(position)) }
}

/// Reads a numeric position.
pub fn number(query: &[u8], token: &str) -> Result<Option<i64>, Status> {
    position(query, token)?
        .map(|text| text.parse().map_err(|_| status::invalid("page_token", "is not one of ours")))
        .transpose()
}

fn tag(query: &[u8]) -> [u8; 8] {
    let mut tag = [0; 8];
    tag.copy_from_slice(&hash::sha256(query)[..8]);
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_belongs_to_its_query() {
        let made = token(b"one", "42");
        assert_eq!(number(b"one", &made).unwrap(), Some(42));
        assert!(position(b"two", &made).is_err());
        assert!(position(b"one", "!!").is_err());
        assert_eq!(position(b"one", "").unwrap(), None);
    }

    #[test]
    fn a_page_that_is_not_the_last_says_where_it_ends() {
        let mut rows = vec![1, 2, 3];
        let token = cut(b"q", &mut rows, 2, i32::to_string);
        assert_eq!((rows.len(), number(b"q", &token).unwrap()), (2, Some(2)));
        assert_eq!(cut(b"q", &mut rows, 2, i32::to_string), "");
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(size(0).unwrap(), 100);
        assert_eq!(size(9999).unwrap(), 500);
        assert!(size(-1).is_err());
    }
}
