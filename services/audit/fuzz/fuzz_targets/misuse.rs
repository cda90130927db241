//! Any text is a policy on misuse, or is refused at its line.
#![no_main]

#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::misuse(bytes));
