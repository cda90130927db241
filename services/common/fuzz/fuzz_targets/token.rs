//! Any bytes are a token that does not verify, or one that does.
#![no_main]

#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::token(bytes));
