//! Bulk work on files of people, without a server: make synthetic ones, link records, measure the links.

pub mod evaluate;
pub mod read;
pub mod synth;
