//! Any text is a policy and cases, or is refused at its lines.
#![no_main]

#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::policy(bytes));
