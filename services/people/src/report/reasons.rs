//! Why pairs are left to a person, in words, and what that person should do.

use signpost_linkage::{bulk::Pair, decide::Stop};

/// Why a pair was not decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A rule forbids to link without a person's word.
    Stop(Stop),
    /// What is known is not enough.
    Uncertain,
}

/// Returns the reason of a pair that was left to a person.
pub(super) fn reason(pair: &Pair) -> Reason {
    pair.stop.map_or(Reason::Uncertain, Reason::Stop)
}

impl Reason {
    const ALL: [Self; 11] = [
        Self::Stop(Stop::SuffixConflict),
        Self::Stop(Stop::MultipleBirthConflict),
        Self::Stop(Stop::IdentifierConflict),
        Self::Stop(Stop::TwinPattern),
        Self::Stop(Stop::GenerationConflict),
        Self::Stop(Stop::FamilyNameConflict),
        Self::Stop(Stop::Newborn),
        Self::Stop(Stop::Unidentified),
        Self::Stop(Stop::TwoPersons),
        Self::Stop(Stop::KeptApart),
        Self::Uncertain,
    ];

    /// Returns the reason with this code.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// Returns the stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Stop(stop) => stop.code(),
            Self::Uncertain => "UNCERTAIN",
        }
    }

    /// Says what it means.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Stop(Stop::SuffixConflict) => "One record says Junior, the other Senior.",
            Self::Stop(Stop::MultipleBirthConflict) => {
                "One record is of the first born of a multiple birth, the other of another child."
            }
            Self::Stop(Stop::IdentifierConflict) => {
                "One authority gave the two records different identifiers."
            }
            Self::Stop(Stop::TwinPattern) => {
                "Born on one day, of one home or family, with two given names: as twins are."
            }
            Self::Stop(Stop::GenerationConflict) => {
                "Alike, but born a generation apart: as a parent and a child of one name are."
            }
            Self::Stop(Stop::FamilyNameConflict) => {
                "Alike, but the family names differ and nothing of the home agrees."
            }
            Self::Stop(Stop::Newborn) => "At least one record is of a child that has no name yet.",
            Self::Stop(Stop::Unidentified) => {
                "At least one record is of somebody whom nobody could identify, or of a test."
            }
            Self::Stop(Stop::TwoPersons) => "A record fits two persons about equally well.",
            Self::Stop(Stop::KeptApart) => "Somebody decided that they are two persons.",
            Self::Uncertain => "The records agree too well to be dismissed and not well enough to be linked.",
        }
    }

    /// Says what to do.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Stop(Stop::SuffixConflict) => {
                "Keep them apart, unless a source confirms that it wrote the suffix by mistake."
            }
            Self::Stop(Stop::MultipleBirthConflict) => {
                "Keep them apart, unless the birth register shows that the order was entered wrongly."
            }
            Self::Stop(Stop::IdentifierConflict) => {
                "Ask the sources to read both identifiers again: link if one was mistyped, otherwise keep them apart."
            }
            Self::Stop(Stop::TwinPattern) => {
                "Look whether one given name is a middle name or a former one of the other: link then, and keep them \
                 apart if both children were seen in their own right."
            }
            Self::Stop(Stop::GenerationConflict) => {
                "Compare the birth dates with a document: link if one was mistyped, otherwise keep them apart."
            }
            Self::Stop(Stop::FamilyNameConflict) => {
                "Ask for a former name, as before a marriage: link if there is one, otherwise keep them apart."
            }
            Self::Stop(Stop::Newborn) => {
                "Find the child's later record by its mother, its day and its place of birth, and link to that."
            }
            Self::Stop(Stop::Unidentified) => {
                "Let the source identify the patient first; link only what it has confirmed, and drop tests."
            }
            Self::Stop(Stop::TwoPersons) => {
                "Decide first whether the two persons are one; then link the record to the one that its source \
                 confirms."
            }
            Self::Stop(Stop::KeptApart) => "Nothing is left to decide.",
            Self::Uncertain => {
                "Compare what both sources hold, above all fields that are missing here, and decide; what you decide \
                 is kept."
            }
        }
    }
}
