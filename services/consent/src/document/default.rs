//! What the network does as long as no policy was activated.

use serde::{Deserialize, Serialize};

use super::{Document, TEMPLATES};
use crate::domain::Policy;

/// A policy that is shipped, to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkDefault {
    /// Denied unless the patient permits.
    OptIn,
    /// Permitted for treatment, emergency treatment and the patient's own request, unless the patient objects.
    OptOut,
}

impl NetworkDefault {
    /// Returns the name of the template that it stands for, which is its version.
    pub fn version(self) -> &'static str {
        match self {
            Self::OptIn => "opt-in",
            Self::OptOut => "opt-out",
        }
    }

    /// Returns its document.
    pub fn source(self) -> &'static str {
        TEMPLATES.iter().find(|(name, _)| *name == self.version()).map_or("", |(_, source)| source)
    }

    /// Returns its rules.
    pub fn policy(self) -> Policy {
        // Without rules everything is denied.
        let nothing = |_| Policy::new(self.version().to_owned(), vec![], vec![]);
        Document::parse(self.source()).map_or_else(nothing, |document| document.policy(self.version()))
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
    fn both_have_rules() {
        assert_eq!(NetworkDefault::OptIn.policy().rules.len(), 2);
        assert_eq!(NetworkDefault::OptOut.policy().rules.len(), 1);
    }
}
