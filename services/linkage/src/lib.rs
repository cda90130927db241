//! Probabilistic person linkage after Fellegi and Sunter (1969): a pure library, without I/O, time or randomness.
//!
//! A [`Record`] is normalised once into a [`Prepared`] one; [`block::keys`] says with which others it should be
//! compared; [`compare::compare`] finds the level of agreement of each field; a [`Model`] turns levels into bits and
//! a probability, and [`decide::decide`] into a decision. The same functions serve a query, one arriving record
//! and a bulk job.
//!
//! Invariants: normalising twice changes nothing; comparing is symmetric; a missing value is no evidence.

pub mod block;
pub mod compare;
pub mod decide;
pub mod model;
pub mod nickname;
pub mod normalize;
pub mod record;

pub use model::{Model, Score};
pub use normalize::{Prepared, prepare};
pub use record::{Address, Date, Identifier, Name, Record, Sex};
