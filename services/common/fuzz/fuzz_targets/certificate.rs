//! Any bytes are a certificate that names a member, or are refused.
#![no_main]

#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::certificate(bytes));
