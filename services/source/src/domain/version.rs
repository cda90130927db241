//! How versions of a document are named: `ID`, then `ID@2`, `ID@3` and so on. What was registered under a unique id
//! never changes, so bytes or facts that do need another.

const SEPARATOR: char = '@';

/// Returns the unique id that a version is registered under.
pub(crate) fn name(unique_id: &str, version: u32) -> String {
    match version {
        0 | 1 => unique_id.to_owned(),
        _ => format!("{unique_id}{SEPARATOR}{version}"),
    }
}

/// Returns the row's unique id and the version that a registered unique id stands for.
pub(crate) fn parse(registered: &str) -> (&str, u32) {
    let parsed = registered.rsplit_once(SEPARATOR).and_then(|(unique_id, digits)| {
        let version: u32 = digits.parse().ok()?;
        // One spelling only.
        (version > 1 && digits == version.to_string()).then_some((unique_id, version))
    });
    parsed.unwrap_or((registered, 1))
}

/// True for what could be taken for a version of another row's document.
pub(crate) fn is_reserved(unique_id: &str) -> bool {
    parse(unique_id).1 > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_as_it_was_named() {
        for version in [1, 2, 10, u32::MAX] {
            assert_eq!(parse(&name("urn:a@b", version)), ("urn:a@b", version));
        }
        for own in ["urn:a", "jane@example.org", "a@", "a@1", "a@02", "a@+2", "a@4294967296"] {
            assert_eq!(parse(own), (own, 1));
            assert!(!is_reserved(own));
        }
        assert!(is_reserved("a@2"));
    }
}
