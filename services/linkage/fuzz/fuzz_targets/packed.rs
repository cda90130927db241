//! Any bytes are a stored record or are refused.
#![no_main]

#[path = "../bodies/packed.rs"]
mod packed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| packed::run(bytes));
