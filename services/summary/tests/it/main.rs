//! What a summary says about documents, seen from outside.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../fuzz/bodies.rs"]
mod bodies;
mod build;
mod conflicts;
mod input;
mod merging;
mod negation;
mod samples;
mod validate;
