//! The network's policy: law and the network's own rules, in one version that never changes.

use super::{
    rule::{Layer, Rule},
    vocabulary::LABELS,
};

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Version, such as `opt-out@3`.
    pub version: String,
    /// Rules of the layers [`Layer::Statutory`] and [`Layer::Network`], in the order in which the document has them.
    pub rules: Vec<Rule>,
    /// Labels of the operator's own, in upper case.
    labels: Vec<String>,
}

impl Policy {
    /// Makes a policy of rules and of labels that HL7 does not have.
    pub fn new(version: String, rules: Vec<Rule>, labels: Vec<String>) -> Self {
        debug_assert!(rules.iter().all(|rule| matches!(rule.layer, Layer::Statutory | Layer::Network)));
        Self { version, rules, labels }
    }

    /// True when a label, in upper case, is one of HL7's or of the operator's own.
    pub fn knows(&self, label: &str) -> bool {
        LABELS.binary_search(&label).is_ok() || self.labels.iter().any(|own| own == label)
    }

    /// Returns the labels of the operator's own.
    pub fn own_labels(&self) -> &[String] {
        &self.labels
    }
}
