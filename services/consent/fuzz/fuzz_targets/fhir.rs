//! Any text is a FHIR Consent, or is refused with its faults.
#![no_main]

#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::fhir(bytes));
