//! What the bench of the locator found.

use serde::Serialize;

use super::{
    super::{
        frame::Measured,
        table::{Form, packed, ratio, rounded},
    },
    load::{Hung, Located},
};

/// The result, in the form and order of the JSON. A new field needs a row above when people are to see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Report {
    bench: &'static str,
    version: &'static str,
    measured_at: String,
    people: u32,
    pointers: u64,
    members: usize,
    database: &'static str,
    processes: usize,
    seconds: u64,
    cores: usize,
    first_pointer_p50_us: u64,
    first_pointer_p99_us: u64,
    complete_p50_us: u64,
    complete_p99_us: u64,
    complete_p999_us: u64,
    locate_per_s: f64,
    hung_first_pointer_p99_ratio: f64,
    fetch_mb_per_s: f64,
    fetch_extra_rss_mb: f64,
    peak_rss_mb: f64,
    locates: u64,
    pointers_per_locate: f64,
    empty: u64,
    open_per_s: f64,
    open_first_pointer_p50_us: u64,
    open_first_pointer_p99_us: u64,
    open_complete_p99_us: u64,
    busy_complete_p50_us: u64,
    busy_complete_p99_us: u64,
    busy_in_flight: usize,
    asked_first_pointer_p99_us: u64,
    asked_complete_p50_us: u64,
    hung_first_pointer_p99_us: u64,
    hung_named: u64,
    hung_named_ms: u64,
    first_pointer_histogram_us_v2: String,
    complete_histogram_us_v2: String,
}

/// Under which conditions it was measured.
pub(super) struct Conditions {
    pub(super) measured_at: String,
    pub(super) people: u32,
    pub(super) pointers: u64,
    pub(super) members: usize,
    pub(super) database: &'static str,
    pub(super) processes: usize,
    pub(super) seconds: u64,
    pub(super) in_flight: usize,
}

/// What the phases found.
pub(super) struct Found {
    pub(super) alone: Located,
    pub(super) steady: Located,
    pub(super) busy: Located,
    pub(super) asked: Hung,
    pub(super) hung: Hung,
    pub(super) fetch_mb_per_s: f64,
    pub(super) fetch_extra_rss_mb: f64,
    pub(super) peak_rss_mb: f64,
}

impl Report {
    /// Sums up.
    pub(super) fn new(conditions: Conditions, found: &Found) -> anyhow::Result<Self> {
        let Conditions { measured_at, people, pointers, members, database, processes, seconds, in_flight } =
            conditions;
        let Found { alone, steady, busy, asked, hung, .. } = found;
        let first = |located: &Located, quantile| located.first_us.value_at_quantile(quantile);
        let complete = |located: &Located, quantile| located.complete_us.value_at_quantile(quantile);
        let per_s = |located: &Located| {
            rounded(ratio((located.count() + located.empty) as f64, located.took.as_secs_f64()))
        };
        let (well, ill) = (first(&asked.located, 0.99), first(&hung.located, 0.99));
        Ok(Self {
            bench: Self::FORM.bench,
            version: env!("CARGO_PKG_VERSION"),
            measured_at,
            people,
            pointers,
            members,
            database,
            processes,
            seconds,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            first_pointer_p50_us: first(alone, 0.5),
            first_pointer_p99_us: first(alone, 0.99),
            complete_p50_us: complete(alone, 0.5),
            complete_p99_us: complete(alone, 0.99),
            complete_p999_us: complete(alone, 0.999),
            locate_per_s: per_s(busy),
            hung_first_pointer_p99_ratio: (ratio(ill as f64, well as f64) * 100.0).round() / 100.0,
            fetch_mb_per_s: rounded(found.fetch_mb_per_s),
            fetch_extra_rss_mb: rounded(found.fetch_extra_rss_mb),
            peak_rss_mb: rounded(found.peak_rss_mb),
            locates: alone.count(),
            pointers_per_locate: rounded(ratio(alone.pointers as f64, alone.count() as f64)),
            empty: alone.empty,
            open_per_s: per_s(steady),
            open_first_pointer_p50_us: first(steady, 0.5),
            open_first_pointer_p99_us: first(steady, 0.99),
            open_complete_p99_us: complete(steady, 0.99),
            busy_complete_p50_us: complete(busy, 0.5),
            busy_complete_p99_us: complete(busy, 0.99),
            busy_in_flight: in_flight,
            asked_first_pointer_p99_us: well,
            asked_complete_p50_us: complete(&asked.located, 0.5),
            hung_first_pointer_p99_us: ill,
            hung_named: hung.named,
            hung_named_ms: hung.named_ms,
            first_pointer_histogram_us_v2: packed(&alone.first_us)?,
            complete_histogram_us_v2: packed(&alone.complete_us)?,
        })
    }
}

impl Measured for Report {
    const FORM: Form = Form {
        bench: "locate",
        conditions: &[
            ("database", "database"),
            ("people", "number of records"),
            ("pointers", "number of pointers"),
            ("members", "number of members"),
            ("processes", "number of processes"),
            ("seconds", "time"),
            ("cores", "number of cores"),
        ],
        rows: &[
            ("first_pointer_p50_us", "one at a time, first pointer, p50, us"),
            ("first_pointer_p99_us", "one at a time, first pointer, p99, us"),
            ("complete_p50_us", "one at a time, complete, p50, us"),
            ("complete_p99_us", "one at a time, complete, p99, us"),
            ("complete_p999_us", "one at a time, complete, p99.9, us"),
            ("locates", "one at a time, locates"),
            ("pointers_per_locate", "one at a time, pointers a locate"),
            ("empty", "one at a time, locates that show nothing, not timed"),
            ("open_per_s", "at a steady rate, locates a second"),
            ("open_first_pointer_p50_us", "at a steady rate, first pointer, p50, us"),
            ("open_first_pointer_p99_us", "at a steady rate, first pointer, p99, us"),
            ("open_complete_p99_us", "at a steady rate, complete, p99, us"),
            ("locate_per_s", "many at once, locates a second"),
            ("busy_complete_p50_us", "many at once, complete, p50, us"),
            ("busy_complete_p99_us", "many at once, complete, p99, us"),
            ("asked_first_pointer_p99_us", "members asked, all well, first pointer, p99, us"),
            ("asked_complete_p50_us", "members asked, all well, complete, p50, us"),
            ("hung_first_pointer_p99_us", "members asked, one hung, first pointer, p99, us"),
            ("hung_first_pointer_p99_ratio", "members asked, one hung against all well, first pointer, p99"),
            ("hung_named", "members asked, one hung, answers that name it"),
            ("hung_named_ms", "members asked, one hung, named within, ms"),
            ("fetch_mb_per_s", "fetch of 50 MB, MB (2^20 bytes) a second"),
            ("fetch_extra_rss_mb", "fetch of 50 MB, more memory in the locator, MB"),
            ("peak_rss_mb", "peak memory of all processes, with mapped files, MB"),
        ],
    };

    fn heading(&self) -> String {
        let Self { people, pointers, members, database, processes, cores, .. } = self;
        let where_it_ran = format!("{processes} process(es) on {database}, {cores} cores");
        format!("{people} records and {pointers} pointers of {members} members; {where_it_ran}")
    }
}
