//! What the network does when no directive speaks of a request.

use serde::{Deserialize, Serialize};
use signpost_proto::common::v1::PurposeOfUse;

use super::rule::{Effect, Layer, Matcher, Rule, Validity};

/// Id of the rule that denies what no other rule speaks of.
pub const DEFAULT_RULE: &str = "default:deny";

/// Purposes for which care is given in an emergency.
pub(super) const EMERGENCY_PURPOSES: [PurposeOfUse; 3] =
    [PurposeOfUse::Treat, PurposeOfUse::Etreat, PurposeOfUse::Btg];

/// What the network does when no directive speaks of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkDefault {
    /// Denied unless the patient permits.
    OptIn,
    /// Permitted for treatment, emergency treatment and the patient's own request, unless the patient objects.
    OptOut,
}

impl NetworkDefault {
    /// Returns the name of the policy that it stands for.
    pub fn version(self) -> &'static str {
        match self {
            Self::OptIn => "opt-in",
            Self::OptOut => "opt-out",
        }
    }

    /// Returns its rules, the last resort included.
    pub fn rules(self) -> Vec<Rule> {
        let mut rules = match self {
            // The denial stands before the permit, which is reached only when an emergency goes past the denial.
            Self::OptIn => vec![
                rule("network:opt-in", Layer::Network, Effect::Deny, true, &[]),
                rule("network:opt-in", Layer::Network, Effect::Permit, false, &EMERGENCY_PURPOSES),
            ],
            Self::OptOut => {
                let purposes = [PurposeOfUse::Treat, PurposeOfUse::Etreat, PurposeOfUse::Patrqt];
                vec![rule("network:opt-out", Layer::Network, Effect::Permit, false, &purposes)]
            }
        };
        rules.push(rule(DEFAULT_RULE, Layer::Default, Effect::Deny, false, &[]));
        rules
    }
}

fn rule(id: &str, layer: Layer, effect: Effect, overridable: bool, purposes: &[PurposeOfUse]) -> Rule {
    Rule {
        id: id.to_owned(),
        layer,
        record: None,
        effect,
        matcher: Matcher { purposes: purposes.to_vec(), ..Matcher::default() },
        exceptions: vec![],
        overridable,
        validity: Validity::default(),
        created_us: 0,
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
}
