//! Any record can be normalised, blocked and compared.
#![no_main]

#[path = "../bodies/normalise.rs"]
mod normalise;
#[path = "../bodies/packed.rs"]
mod packed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| normalise::run(bytes));
