//! Bulk work on files of people, without a server: make synthetic ones, link records, measure the links.

pub mod columns;
pub mod evaluate;
pub mod job;
pub mod output;
pub mod problems;
pub mod read;
pub mod report;
pub mod reviews;
mod row;
pub mod synth;
pub mod write;
