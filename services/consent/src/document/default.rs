//! What the network does as long as no policy was activated.

use serde::{Deserialize, Serialize};
use signpost_common::hash;

use super::{Document, TEMPLATES};
use crate::domain::Policy;

/// A policy that is shipped, to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkDefault {
    /// Denied unless the patient permits.
    OptIn,
    /// Permitted for treatment, emergency treatment and a patient's request for their own, unless the patient objects.
    OptOut,
}

impl NetworkDefault {
    const ALL: [Self; 2] = [Self::OptIn, Self::OptOut];

    /// Returns the default whose version this is.
    pub fn of_version(version: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|default| default.version() == version)
    }

    /// Returns the name of the template that it stands for.
    fn name(self) -> &'static str {
        match self {
            Self::OptIn => "opt-in",
            Self::OptOut => "opt-out",
        }
    }

    /// Returns its version: the name, and the beginning of the document's SHA-256, as another release may ship another document.
    pub fn version(self) -> String {
        let [a, b, c, d, ..] = hash::sha256(self.source().as_bytes());
        format!("{}@shipped-{:08x}", self.name(), u32::from_be_bytes([a, b, c, d]))
    }

    /// Returns its document.
    pub fn source(self) -> &'static str {
        TEMPLATES.iter().find(|(name, _)| *name == self.name()).map_or("", |(_, source)| source)
    }

    /// Returns its rules.
    pub fn policy(self) -> Policy {
        // Without rules everything is denied.
        let nothing = |_| Policy::new(self.version(), vec![], vec![]);
        Document::parse(self.source()).map_or_else(nothing, |document| document.policy(&self.version()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_spells_it_with_a_hyphen() {
        let read = |text| serde_json::from_str::<NetworkDefault>(text);
        assert_eq!(read("\"opt-in\"").unwrap(), NetworkDefault::OptIn);
        assert_eq!(read("\"opt-out\"").unwrap(), NetworkDefault::OptOut);
        assert!(read("\"OptOut\"").is_err());
    }

    #[test]
    fn a_version_names_its_document() {
        for default in NetworkDefault::ALL {
            assert_eq!(NetworkDefault::of_version(&default.version()), Some(default));
        }
        assert_eq!(NetworkDefault::of_version("opt-out@shipped-00000000"), None);
        assert!(NetworkDefault::OptOut.version().starts_with("opt-out@shipped-"));
    }

    #[test]
    fn both_have_rules() {
        assert_eq!(NetworkDefault::OptIn.policy().rules.len(), 2);
        assert_eq!(NetworkDefault::OptOut.policy().rules.len(), 2);
    }
}
