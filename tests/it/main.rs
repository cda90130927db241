//! End-to-end tests: a whole exchange, with members, over mutual TLS.

mod bad_input;
mod bench;
mod cli;
mod command;
mod contract;
mod emergency;
mod faults;
mod journey;
mod models;
mod onboard;
mod people;
mod policy;
mod privacy;
mod python;
mod release;
mod replicas;
mod sealed;
mod steward_cli;
mod stewards;
mod tenancy;
mod tidy;
mod trust;
mod watch;
