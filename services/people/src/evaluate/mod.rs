//! Measures links against a known truth.
