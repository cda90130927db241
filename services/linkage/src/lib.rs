//! Probabilistic person linkage after Fellegi and Sunter (1969): a pure library, without I/O, time or randomness.
//!
//! A [`Record`] is prepared once into a [`Packed`] one; [`block::keys`] says with which others it should be compared;
//! [`compare::compare`] finds the level of agreement of each field; a [`Model`] turns levels into bits and a
//! probability, [`decide::decide`] into a decision, and [`explain`] into a text that a person can check. [`bulk`] does the
//! same for millions of records at once and learns the model from them. One scoring function serves a query, one
//! arriving record and a bulk job.
//!
//! Invariants: normalising twice changes nothing; comparing is symmetric; a missing value is no evidence; the same
//! records and seed give the same model and the same links.

pub mod block;
pub mod bulk;
pub mod compare;
pub mod decide;
pub mod explain;
pub mod model;
pub mod nickname;
pub mod normalize;
pub mod packed;
pub mod pattern;
pub mod record;
pub mod text;

pub use model::{Model, Score};
pub use normalize::prepare;
pub use packed::{Packed, View};
pub use record::{Address, Date, Identifier, Name, Record, Sex};
pub use rlibphonenumber::Region;

/// The example of the README is compiled and run with the tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
