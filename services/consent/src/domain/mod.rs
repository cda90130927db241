//! Who may see what: rules, requests, and the decision; all of it pure.

pub mod decide;
pub mod directive;
pub mod network;
pub mod rule;
pub mod session;

pub use decide::{Decision, Explained, Requester, Snapshot, decide, explain};
pub use directive::Directive;
pub use network::NetworkDefault;
pub use rule::{DocumentFacts, Effect, Layer, Matcher, Rule, Validity};
pub use session::Session;
