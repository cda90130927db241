//! Who may see what: rules, requests, and the decision; all of it pure.

pub mod criterion;
pub mod decide;
pub mod directive;
pub mod explain;
pub mod notice;
pub mod policy;
pub mod request;
pub mod rule;
pub mod session;
pub mod vocabulary;

pub use criterion::Criterion;
pub use decide::{Decision, decide};
pub use directive::{Directive, Grantor, Signature};
pub use explain::{Explained, explain};
pub use policy::Policy;
pub use request::{Emergency, Relationship, Request, Requester};
pub use rule::{DocumentFacts, Effect, Exception, Layer, Matcher, Obligation, Party, Rule, Validity};
pub use session::Session;
