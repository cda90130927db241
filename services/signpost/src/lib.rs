//! Signpost's one binary: wires the services together, in one process or in many, and speaks to them from the
//! command line.
//!
//! Everything that only a process has is here: configuration, keys on disk, listening, commands. The services know
//! none of it.

pub mod cli;
pub mod client;
pub mod config;
pub mod pki;
pub mod population;
pub mod port;
pub mod wiring;

mod bench;
mod demo;
