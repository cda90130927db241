//! Identifiers as types: parsed once at the edge, then known to be well formed.

use std::{fmt, str::FromStr};

use uuid::Uuid;

/// Why a text is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing was given.
    #[error("must not be empty")]
    Empty,
    /// It is too long.
    #[error("must be at most {0} characters")]
    TooLong(usize),
    /// It has a character that is not allowed.
    #[error("{0}")]
    Characters(&'static str),
    /// It is not a UUID.
    #[error("must be a UUID, lower case with hyphens")]
    NotUuid,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a new id; ids made later sort later.
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                if text.is_empty() {
                    return Err(Error::Empty);
                }
                let id = Uuid::try_parse(text).map_err(|_| Error::NotUuid)?;
                // One spelling only, so that ids compare as texts in every store.
                if id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) != text {
                    return Err(Error::NotUuid);
                }
                Ok(Self(id))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }
    };
}

uuid_id!(
    /// A person: a cluster of source records.
    PersonId
);
uuid_id!(
    /// A source record, as the exchange knows it.
    RecordId
);
uuid_id!(
    /// A pointer to a document.
    DocumentId
);
uuid_id!(
    /// A patient's directive.
    DirectiveId
);
uuid_id!(
    /// A session of emergency access.
    SessionId
);
uuid_id!(
    /// A question that consent decided, in the order of time.
    DecisionId
);
uuid_id!(
    /// Something that a patient or a privacy officer is told.
    NoticeId
);
uuid_id!(
    /// A review task of the index.
    TaskId
);
uuid_id!(
    /// An audit event.
    EventId
);

/// A member of the exchange: lower case letters, digits and hyphens, at most 64.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(String);

impl MemberId {
    /// Longest id.
    pub const CHARS_MAX: usize = 64;

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MemberId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::Empty);
        }
        if text.len() > Self::CHARS_MAX {
            return Err(Error::TooLong(Self::CHARS_MAX));
        }
        if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(Error::Characters("must be lower case letters, digits and hyphens"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A member's own identifier of a patient. Its local part is patient data: `Debug` leaves it out.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordRef {
    /// Member that assigned the identifier.
    pub member_id: MemberId,
    local_id: String,
}

impl RecordRef {
    /// Longest local identifier, in characters.
    pub const LOCAL_CHARS_MAX: usize = 128;

    /// Makes a reference; the local part must be printable, without space at its ends.
    pub fn new(member_id: MemberId, local_id: &str) -> Result<Self, Error> {
        if local_id.is_empty() {
            return Err(Error::Empty);
        }
        if local_id.chars().count() > Self::LOCAL_CHARS_MAX {
            return Err(Error::TooLong(Self::LOCAL_CHARS_MAX));
        }
        if local_id.chars().any(crate::text::is_unfit) || local_id.trim() != local_id {
            return Err(Error::Characters(
                "must have no control or invisible characters and no space at its ends",
            ));
        }
        Ok(Self { member_id, local_id: local_id.to_owned() })
    }

    /// Returns the local identifier.
    pub fn local_id(&self) -> &str {
        &self.local_id
    }
}

impl fmt::Debug for RecordRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordRef({}, redacted)", self.member_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_one_spelling() {
        let id = PersonId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse::<PersonId>(), Err(Error::NotUuid));
        assert_eq!(format!("{{{id}}}").parse::<PersonId>(), Err(Error::NotUuid));
        assert_eq!("".parse::<PersonId>(), Err(Error::Empty));
    }

    #[test]
    fn a_member_id_is_a_slug() {
        assert!("st-mary-2".parse::<MemberId>().is_ok());
        for bad in ["", "St-Mary", "a b", "a/b", "é", &"x".repeat(65)] {
            assert!(bad.parse::<MemberId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_local_id_never_shows_in_debug() {
        let record = RecordRef::new("north".parse().unwrap(), "MRN-778").unwrap();
        assert!(!format!("{record:?}").contains("778"));
        for bad in ["", " x", "a\0b", "a\nb"] {
            assert!(RecordRef::new("north".parse().unwrap(), bad).is_err(), "{bad:?}");
        }
    }
}
