//! What lies within a member's base URL.
//!
//! A server names URLs: of attachments, of further pages. Whoever follows them is led wherever the server likes, into the
//! exchange's own network too. So nothing is followed that is not below the base which the directory names; a reference that
//! could be read in two ways is refused rather than mended.

use http::Uri;
use url::{Url, form_urlencoded::Serializer};

/// Most bytes of a reference.
const REFERENCE_BYTES_MAX: usize = 4096;

/// A member's base URL; its path ends in a slash.
pub(crate) struct Base(Url);

impl Base {
    /// Parses what the directory has checked.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Url::parse(&format!("{}/", text.trim_end_matches('/'))).ok().map(Self)
    }

    /// Returns the URL of a search for resources of this type.
    pub(crate) fn search(&self, resource_type: &str, parameters: &[(&str, &str)]) -> Option<Uri> {
        let mut url = self.0.join(resource_type).ok()?;
        let query = Serializer::new(String::new()).extend_pairs(parameters).finish();
        // A plus is a space in forms, and not to every server.
        url.set_query(Some(&query.replace('+', "%20")));
        url.as_str().parse().ok()
    }

    /// Returns the URL that a reference stands for, relative to the base or absolute; `None` when it does not lie within.
    pub(crate) fn within(&self, reference: &str) -> Option<Uri> {
        let (path, query) = reference.split_once('?').unwrap_or((reference, ""));
        let absolute = path.strip_prefix("https://");
        let first = path.split('/').next().unwrap_or_default();
        // "https:x" and "x:y" are absolute to some parsers and relative to others.
        let unclear = absolute.is_none() && first.contains(':');
        let authority = absolute.and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let plain = path_is_plain(absolute.unwrap_or(path)) && query.bytes().all(is_of_query);
        let bounded = !path.is_empty() && reference.len() <= REFERENCE_BYTES_MAX;
        if unclear || authority.contains('@') || !plain || !bounded {
            return None;
        }
        let url = self.0.join(reference).ok()?;
        let nobody = url.username().is_empty() && url.password().is_none();
        let same_place = url.origin() == self.0.origin() && url.scheme() == self.0.scheme();
        // The base itself is within: further pages of a search are often there.
        let base = self.0.path();
        let below = url.path().starts_with(base) || url.path() == base.trim_end_matches('/');
        let within = nobody && same_place && below && url.fragment().is_none();
        within.then(|| url.as_str().parse().ok()).flatten()
    }
}

fn is_of_query(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'\\' && byte != b'#'
}

/// True when every server and every parser takes the segments of a path for the same.
fn path_is_plain(path: &str) -> bool {
    let graphic = |byte: u8| byte.is_ascii_graphic() && !br##"\#"<>^`{|}"##.contains(&byte);
    let dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    path.bytes().all(graphic)
        && !path.contains("//")
        && !path.split('/').any(dots)
        && path.split('%').skip(1).all(escape_is_plain)
}

/// True when what follows a percent sign stands for a character that means nothing in a path.
fn escape_is_plain(rest: &str) -> bool {
    let byte = rest.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    byte.is_some_and(|byte| byte >= b' ' && byte != 0x7f && !br"./\%;?#".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Base {
        Base::parse("https://fhir.north:8443/fhir/R4").unwrap()
    }

    #[test]
    fn what_lies_within_the_base_is_followed() {
        let good = [
            ("Binary/1", "https://fhir.north:8443/fhir/R4/Binary/1"),
            ("Binary/1/_history/2", "https://fhir.north:8443/fhir/R4/Binary/1/_history/2"),
            ("/fhir/R4/Binary/1", "https://fhir.north:8443/fhir/R4/Binary/1"),
            ("https://fhir.north:8443/fhir/R4/Binary/1", "https://fhir.north:8443/fhir/R4/Binary/1"),
            ("https://FHIR.north:8443/fhir/R4/Binary/1", "https://fhir.north:8443/fhir/R4/Binary/1"),
            (
                "https://fhir.north:8443/fhir/R4?_getpages=a%7C1",
                "https://fhir.north:8443/fhir/R4?_getpages=a%7C1",
            ),
            ("files/a%20%C3%A9", "https://fhir.north:8443/fhir/R4/files/a%20%C3%A9"),
            ("files/a..b/..c", "https://fhir.north:8443/fhir/R4/files/a..b/..c"),
            ("Binary/1?next=https://evil", "https://fhir.north:8443/fhir/R4/Binary/1?next=https://evil"),
        ];
        for (reference, url) in good {
            assert_eq!(base().within(reference).unwrap().to_string(), url, "{reference}");
        }
    }

    #[test]
    fn what_lies_elsewhere_is_not_followed() {
        let long = format!("Binary/{}", "1".repeat(REFERENCE_BYTES_MAX));
        let hostile = [
            "",
            "?a=b",
            "#fragment",
            "Binary/1#fragment",
            "http://fhir.north:8443/fhir/R4/Binary/1",
            "https://fhir.north/fhir/R4/Binary/1",
            "https://fhir.north:443/fhir/R4/Binary/1",
            "https://fhir.north:84430/fhir/R4/Binary/1",
            "https://fhir.north.evil:8443/fhir/R4/Binary/1",
            "https://fhir.north.:8443/fhir/R4/Binary/1",
            "https://evil:8443/fhir/R4/Binary/1",
            "https://127.0.0.1:8443/fhir/R4/Binary/1",
            "https://[::1]:8443/fhir/R4/Binary/1",
            "https://169.254.169.254/latest/meta-data",
            "https://user@fhir.north:8443/fhir/R4/Binary/1",
            "https://@fhir.north:8443/fhir/R4/Binary/1",
            "https://fhir.north:8443@evil/fhir/R4/Binary/1",
            "https://fhir.north:8443/fhir/R4evil/Binary/1",
            "https://fhir.north:8443/fhir/R5/Binary/1",
            "https://fhir.north:8443/",
            "https://fhir.north:8443",
            "//evil/fhir/R4/Binary/1",
            "//fhir.north:8443/fhir/R4/Binary/1",
            "///evil/x",
            "/\\evil/x",
            "\\\\evil\\x",
            "https:\\\\evil\\x",
            "https:/evil/x",
            "https:evil/x",
            "HTTPS://evil/fhir/R4/Binary/1",
            "file:///etc/passwd",
            "gopher://evil:70/x",
            "data:text/plain,hello",
            "javascript:alert(1)",
            "urn:uuid:1",
            "/Binary/1",
            "/fhir/Binary/1",
            "../Binary/1",
            "../../admin",
            "Binary/../../admin",
            "Binary/./1",
            "Binary/..",
            "..;/admin",
            "Binary/..;a=b/../admin",
            "%2e%2e/admin",
            "%2E%2E/admin",
            ".%2e/admin",
            "Binary/%2e%2e%2fadmin",
            "Binary/..%2fadmin",
            "Binary/..%5cadmin",
            "Binary/%252e%252e/admin",
            "Binary/%00",
            "Binary/%0d%0aHost:%20evil",
            "Binary/1%",
            "Binary/1%zz",
            "Binary/1 2",
            "Binary/1\r\nHost: evil",
            "\thttps://evil/x",
            "Bi\tnary/1",
            "Binary/\u{ff0e}\u{ff0e}/1",
            "https://fhir.north:8443/fhir/R4/../admin",
            "https://fhir.north:8443/fhir/R4//admin",
            "https://fhir.north:8443/fhir/%52%34/..%2f",
            "Binary/1?a=\r\nb",
            long.as_str(),
        ];
        for reference in hostile {
            assert_eq!(base().within(reference), None, "{reference:?}");
        }
    }

    #[test]
    fn a_base_without_a_path_confines_to_its_place() {
        let base = Base::parse("https://north:443").unwrap();
        assert_eq!(base.within("Binary/1").unwrap(), "https://north/Binary/1");
        assert_eq!(base.within("https://north/x").unwrap(), "https://north/x");
        assert_eq!(base.within("https://north:8443/x"), None);
    }

    #[test]
    fn a_search_is_a_url_whatever_is_asked_for() {
        let parameters = [("identifier", "urn:oid:1.2^3&x=y#z+ é"), ("status", "current")];
        assert_eq!(
            base().search("DocumentReference", &parameters).unwrap().to_string(),
            "https://fhir.north:8443/fhir/R4/DocumentReference\
             ?identifier=urn%3Aoid%3A1.2%5E3%26x%3Dy%23z%2B%20%C3%A9&status=current"
        );
    }
}
