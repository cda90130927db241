//! What the bench of the audit log found.

use std::time::Duration;

use serde::Serialize;

use super::super::{
    frame::Measured,
    load::Calls,
    table::{Form, ratio, rounded},
};

/// The result, in the form and order of the JSON. A new field needs a row above when people are to see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Report {
    bench: &'static str,
    version: &'static str,
    measured_at: String,
    entries: u64,
    database: &'static str,
    seconds: u64,
    cores: usize,
    audited_per_s: f64,
    locate_trust_p50_us: u64,
    verify_1m_s: f64,
    handshake_p50_us: u64,
    audited_p50_us: u64,
    audited_p99_us: u64,
    audited_in_flight: usize,
    append_small_p50_us: u64,
    append_p50_us: u64,
    append_p99_us: u64,
    open_p50_us: u64,
    admitted_p50_us: u64,
    handshake_p99_us: u64,
    handshakes: u64,
    verify_s: f64,
    fill_s: f64,
}

/// Under which conditions it was measured.
pub(super) struct Conditions {
    pub(super) measured_at: String,
    pub(super) entries: u64,
    pub(super) database: &'static str,
    pub(super) seconds: u64,
    pub(super) in_flight: usize,
}

/// What the phases found.
pub(super) struct Found {
    pub(super) handshakes: Calls,
    pub(super) open: Calls,
    pub(super) admitted: Calls,
    pub(super) small: Calls,
    pub(super) large: Calls,
    pub(super) busy: Calls,
    pub(super) filled: Duration,
    pub(super) verified: Duration,
}

impl Report {
    /// Sums up.
    pub(super) fn new(conditions: Conditions, found: &Found) -> Self {
        let Conditions { measured_at, entries, database, seconds, in_flight } = conditions;
        let Found { handshakes, open, admitted, small, large, busy, filled, verified } = found;
        let at = |calls: &Calls, quantile| calls.latencies_us.value_at_quantile(quantile);
        let p50 = |calls: &Calls| at(calls, 0.5);
        // Without the wire, which a call that needs no admission takes as well.
        let alone = |calls: &Calls| p50(calls).saturating_sub(p50(open));
        let hundredths = |seconds: f64| (seconds * 100.0).round() / 100.0;
        Self {
            bench: Self::FORM.bench,
            version: env!("CARGO_PKG_VERSION"),
            measured_at,
            entries,
            database,
            seconds,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            audited_per_s: rounded(ratio(busy.count() as f64, busy.took.as_secs_f64())),
            locate_trust_p50_us: alone(admitted) + alone(large),
            verify_1m_s: hundredths(verified.as_secs_f64() * ratio(1e6, entries as f64)),
            handshake_p50_us: p50(handshakes),
            audited_p50_us: p50(busy),
            audited_p99_us: at(busy, 0.99),
            audited_in_flight: in_flight,
            append_small_p50_us: p50(small),
            append_p50_us: p50(large),
            append_p99_us: at(large, 0.99),
            open_p50_us: p50(open),
            admitted_p50_us: p50(admitted),
            handshake_p99_us: at(handshakes, 0.99),
            handshakes: handshakes.count(),
            verify_s: hundredths(verified.as_secs_f64()),
            fill_s: hundredths(filled.as_secs_f64()),
        }
    }
}

impl Measured for Report {
    const FORM: Form = Form {
        bench: "audit",
        conditions: &[
            ("database", "database"),
            ("entries", "number of entries"),
            ("seconds", "time"),
            ("cores", "number of cores"),
        ],
        rows: &[
            ("audited_per_s", "releases in the log, durable, many at once, a second"),
            ("audited_p50_us", "releases, many at once, p50, us"),
            ("audited_p99_us", "releases, many at once, p99, us"),
            ("append_small_p50_us", "a small event, one at a time, p50, us"),
            ("append_p50_us", "a release, one at a time, p50, us"),
            ("append_p99_us", "a release, one at a time, p99, us"),
            ("locate_trust_p50_us", "trust in one locate: who, may they, and the log, p50, us"),
            ("open_p50_us", "  a call without admission, p50, us"),
            ("admitted_p50_us", "  a call that is admitted, p50, us"),
            ("handshake_p50_us", "a new connection, mutual TLS, p50, us"),
            ("handshake_p99_us", "a new connection, mutual TLS, p99, us"),
            ("verify_1m_s", "verifying a million entries, s"),
            ("verify_s", "verifying the log, s"),
            ("fill_s", "filling the log, s"),
        ],
    };

    fn heading(&self) -> String {
        let Self { entries, database, cores, .. } = self;
        format!("a log of {entries} entries on {database}, {cores} cores")
    }
}
