//! What the bench of the master patient index found.

use std::time::Duration;

use serde::Serialize;

use super::{
    frame::Measured,
    load::{Answers, Calls, Fed},
    seed::Seeded,
    table::{Form, packed, ratio, rounded},
};

/// The result, in the form and order of the JSON. A new field needs a row above when people are to see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Report {
    bench: &'static str,
    version: &'static str,
    measured_at: String,
    people: u32,
    database: &'static str,
    seconds: u64,
    cores: usize,
    members: usize,
    match_p50_us: u64,
    match_p99_us: u64,
    match_p999_us: u64,
    match_per_s: f64,
    register_batch_per_s: f64,
    register_one_p50_us: u64,
    register_one_p95_us: u64,
    register_one_p99_us: u64,
    import_wall_s: f64,
    bytes_per_record: f64,
    peak_rss_mb: f64,
    anonymous_rss_mb: f64,
    match_audited_p50_us: u64,
    match_audited_p99_us: u64,
    match_audited_calls: u64,
    match_busy_p50_us: u64,
    match_busy_p99_us: u64,
    match_busy_calls: u64,
    match_in_flight: usize,
    match_cpu_us: f64,
    match_calls: u64,
    match_known_certain: u64,
    match_known_more_needed: u64,
    match_known_not_found: u64,
    match_stranger_certain: u64,
    match_stranger_more_needed: u64,
    match_stranger_not_found: u64,
    register_one_calls: u64,
    register_batch_s: f64,
    register_batch_cpu_us: f64,
    import_linked: u64,
    import_founded: u64,
    import_to_review: u64,
    feed_attached: u64,
    feed_new_person: u64,
    feed_review: u64,
    records: u64,
    index_bytes: u64,
    match_histogram_us_v2: String,
}

/// Under which conditions it was measured.
pub(super) struct Conditions {
    pub(super) measured_at: String,
    pub(super) people: u32,
    pub(super) database: &'static str,
    pub(super) seconds: u64,
    pub(super) members: usize,
    pub(super) in_flight: usize,
}

/// What the phases found.
pub(super) struct Found {
    pub(super) seeded: Seeded,
    pub(super) fed: Fed,
    pub(super) fed_cpu: Duration,
    pub(super) alone: Calls,
    pub(super) busy: Calls,
    pub(super) busy_cpu: Duration,
    pub(super) audited: Calls,
    pub(super) registered: Calls,
    pub(super) peak_rss_mb: f64,
    pub(super) anonymous_rss_mb: f64,
    pub(super) index_bytes: u64,
}

impl Report {
    /// Sums up.
    pub(super) fn new(conditions: Conditions, found: &Found) -> anyhow::Result<Self> {
        let Conditions { measured_at, people, database, seconds, members, in_flight } = conditions;
        let Found { seeded, fed, fed_cpu, alone, busy, busy_cpu, audited, registered, index_bytes, .. } =
            found;
        let records = seeded.counts.records + fed.records();
        let records_at_end = records + registered.count();
        let Answers { certain, more_needed, not_found } = alone.known;
        let strangers = alone.strangers;
        Ok(Self {
            bench: Self::FORM.bench,
            version: env!("CARGO_PKG_VERSION"),
            measured_at,
            people,
            database,
            seconds,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            members,
            match_p50_us: at(alone, 0.5),
            match_p99_us: at(alone, 0.99),
            match_p999_us: at(alone, 0.999),
            match_per_s: rounded(ratio(busy.count() as f64, busy.took.as_secs_f64())),
            register_batch_per_s: rounded(ratio(fed.records() as f64, fed.took.as_secs_f64())),
            register_one_p50_us: at(registered, 0.5),
            register_one_p95_us: at(registered, 0.95),
            register_one_p99_us: at(registered, 0.99),
            import_wall_s: seeded.took.as_secs_f64(),
            bytes_per_record: rounded(ratio(*index_bytes as f64, records_at_end as f64)),
            peak_rss_mb: rounded(found.peak_rss_mb),
            anonymous_rss_mb: rounded(found.anonymous_rss_mb),
            match_audited_p50_us: at(audited, 0.5),
            match_audited_p99_us: at(audited, 0.99),
            match_audited_calls: audited.count(),
            match_busy_p50_us: at(busy, 0.5),
            match_busy_p99_us: at(busy, 0.99),
            match_busy_calls: busy.count(),
            match_in_flight: in_flight,
            match_cpu_us: rounded(ratio(busy_cpu.as_secs_f64() * 1e6, busy.count() as f64)),
            match_calls: alone.count(),
            match_known_certain: certain,
            match_known_more_needed: more_needed,
            match_known_not_found: not_found,
            match_stranger_certain: strangers.certain,
            match_stranger_more_needed: strangers.more_needed,
            match_stranger_not_found: strangers.not_found,
            register_one_calls: registered.count(),
            register_batch_s: fed.took.as_secs_f64(),
            register_batch_cpu_us: rounded(ratio(fed_cpu.as_secs_f64() * 1e6, fed.records() as f64)),
            import_linked: seeded.counts.linked,
            import_founded: seeded.counts.founded,
            import_to_review: seeded.counts.to_review,
            feed_attached: fed.attached,
            feed_new_person: fed.new_person,
            feed_review: fed.review,
            records,
            index_bytes: *index_bytes,
            match_histogram_us_v2: packed(&alone.latencies_us)?,
        })
    }
}

impl Measured for Report {
    const FORM: Form = Form {
        bench: "mpi",
        conditions: &[
            ("database", "database"),
            ("people", "number of records"),
            ("seconds", "time"),
            ("cores", "number of cores"),
        ],
        rows: &[
            ("import_wall_s", "bulk import, s"),
            ("import_linked", "bulk import, joined a person"),
            ("import_founded", "bulk import, new persons"),
            ("import_to_review", "bulk import, questions to a steward"),
            ("register_batch_per_s", "fed, records a second"),
            ("register_batch_cpu_us", "fed, server's processor time a record, us"),
            ("feed_attached", "fed, joined a person known already"),
            ("feed_new_person", "fed, new persons"),
            ("feed_review", "fed, wait for a steward"),
            ("records", "records in the index when matching starts"),
            ("match_p50_us", "matching, one at a time, p50, us"),
            ("match_p99_us", "matching, one at a time, p99, us"),
            ("match_p999_us", "matching, one at a time, p99.9, us"),
            ("match_calls", "matching, one at a time, calls"),
            ("match_known_certain", "  known people: found"),
            ("match_known_more_needed", "  known people: more is needed"),
            ("match_known_not_found", "  known people: not found"),
            ("match_stranger_certain", "  strangers: found"),
            ("match_stranger_more_needed", "  strangers: more is needed"),
            ("match_stranger_not_found", "  strangers: not found"),
            ("match_per_s", "matching, many at once, a second"),
            ("match_busy_p50_us", "matching, many at once, p50, us"),
            ("match_busy_p99_us", "matching, many at once, p99, us"),
            ("match_cpu_us", "matching, many at once, server's processor time a call, us"),
            ("match_audited_p50_us", "matching for a member, audited, p50, us"),
            ("match_audited_p99_us", "matching for a member, audited, p99, us"),
            ("register_one_p50_us", "registering one, p50, us"),
            ("register_one_p95_us", "registering one, p95, us"),
            ("register_one_p99_us", "registering one, p99, us"),
            ("register_one_calls", "registering one, calls"),
            ("index_bytes", "index on disk, bytes"),
            ("bytes_per_record", "index on disk, bytes a record"),
            ("peak_rss_mb", "server's peak memory, with mapped files, MB"),
            ("anonymous_rss_mb", "server's memory at the end, without, MB"),
        ],
    };

    fn heading(&self) -> String {
        let Self { people, database, members, cores, .. } = self;
        format!("{people} records of {members} members on {database}, {cores} cores")
    }
}

/// Returns a quantile of the latencies; 0 without calls.
fn at(calls: &Calls, quantile: f64) -> u64 {
    calls.latencies_us.value_at_quantile(quantile)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use base64::{Engine, prelude::BASE64_STANDARD};
    use hdrhistogram::{Histogram, serialization::Deserializer};
    use signpost_mpi::onboard::Counts;

    use super::{
        super::table::{self, Before},
        *,
    };

    fn calls(latencies_us: impl IntoIterator<Item = u64>) -> Calls {
        let mut calls = Calls::new().unwrap();
        latencies_us.into_iter().for_each(|us| calls.add(Duration::from_micros(us)));
        calls.took = Duration::from_secs(2);
        calls
    }

    fn report(people: u32, database: &'static str) -> Report {
        let conditions = Conditions {
            measured_at: "2026-01-02T03:04:05Z".into(),
            people,
            database,
            seconds: 1,
            members: 12,
            in_flight: 32,
        };
        let alone = Calls {
            known: Answers { certain: 70, more_needed: 8, not_found: 2 },
            strangers: Answers { not_found: 20, ..Answers::default() },
            ..calls(1..=100)
        };
        let counts = Counts { records: 400, linked: 200, founded: 200, to_review: 3, ..Counts::default() };
        let found = Found {
            seeded: Seeded { counts, took: Duration::from_millis(1500) },
            fed: Fed { attached: 40, new_person: 55, review: 5, took: Duration::from_millis(500) },
            fed_cpu: Duration::from_millis(250),
            alone,
            busy: calls(1..=3000),
            busy_cpu: Duration::from_millis(1500),
            audited: calls([]),
            registered: calls([2000; 20]),
            index_bytes: 120_000,
            peak_rss_mb: 40.26,
            anonymous_rss_mb: 30.0,
        };
        Report::new(conditions, &found).unwrap()
    }

    fn written(report: &Report) -> (tempfile::TempDir, Before) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bench.json");
        fs::write(&file, table::to_json(report).unwrap()).unwrap();
        let before = Report::FORM.read(&file).unwrap();
        (folder, before)
    }

    #[test]
    fn the_json_is_flat_and_holds_what_was_measured() {
        let (_folder, Before(fields)) = written(&report(100, "sqlite"));
        assert!(fields.values().all(|value| !value.is_object() && !value.is_array()));
        let number = |key: &str| fields[key].as_f64().unwrap();
        assert_eq!((number("match_p50_us"), number("match_p99_us")), (50.0, 99.0));
        assert_eq!((number("match_per_s"), number("register_batch_per_s")), (1500.0, 200.0));
        assert_eq!((number("match_cpu_us"), number("register_batch_cpu_us")), (500.0, 2500.0));
        assert_eq!((number("import_wall_s"), number("records")), (1.5, 500.0));
        assert_eq!((number("bytes_per_record"), number("peak_rss_mb")), (230.8, 40.3));
        let bytes = BASE64_STANDARD.decode(fields["match_histogram_us_v2"].as_str().unwrap()).unwrap();
        let unpacked: Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
        assert_eq!((unpacked.len(), unpacked.max()), (100, 100));
    }

    #[test]
    fn every_row_of_the_table_has_its_field() {
        let fields = table::fields(&report(100, "sqlite")).unwrap();
        for (key, _) in Report::FORM.rows.iter().chain(Report::FORM.conditions) {
            assert!(fields.contains_key(*key), "{key}");
        }
    }

    #[test]
    fn the_table_is_aligned() {
        let shown = report(100, "sqlite").shown(None).unwrap();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(
            lines[0],
            "100 records of 12 members on sqlite, ".to_owned() + lines[0].rsplit(", ").next().unwrap()
        );
        let ends: Vec<usize> = lines[2..].iter().map(|line| line.trim_end().len()).collect();
        assert!(ends.iter().all(|end| *end == ends[0]), "{shown}");
        assert!(shown.contains("bulk import") && !shown.contains("before"), "{shown}");
    }

    #[test]
    fn what_was_before_stands_beside_it_with_the_ratio() {
        let now = report(100, "sqlite");
        let (_folder, Before(mut fields)) = written(&now);
        fields["match_per_s"] = 1000.into();
        fields.remove("peak_rss_mb");
        let shown = now.shown(Some(&Before(fields))).unwrap();
        let cells = |name: &str| -> Vec<String> {
            let line = shown.lines().find_map(|line| line.trim_start().strip_prefix(name)).unwrap();
            line.split_whitespace().map(str::to_owned).collect()
        };
        assert_eq!(cells("matching, many at once, a second"), ["1500", "1000", "1.50"]);
        assert_eq!(cells("server's peak memory, with mapped files, MB"), ["40.3", "-", "-"]);
        assert_eq!(cells("bulk import, s"), ["1.50", "1.50", "1.00"]);
    }

    #[test]
    fn other_conditions_are_warned_of() {
        let (_folder, before) = written(&report(100, "sqlite"));
        let warnings = |people, database| {
            Report::FORM.warnings(&before, &table::fields(&report(people, database)).unwrap())
        };
        assert!(warnings(100, "sqlite").is_empty());
        let warnings = warnings(200, "postgres");
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].contains("sqlite before and is postgres"), "{warnings:?}");
        assert!(warnings[1].contains("100 before and is 200"), "{warnings:?}");
    }

    #[test]
    fn a_file_that_is_no_result_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path| format!("{:#}", Report::FORM.read(path).unwrap_err());
        let absent = folder.path().join("absent.json");
        assert!(refused(&absent).contains("--json"), "{}", refused(&absent));
        for text in ["", "[]", "{\"bench\": \"other\"}"] {
            let file = folder.path().join("other.json");
            fs::write(&file, text).unwrap();
            assert!(refused(&file).contains("is no result of `signpost bench mpi`"), "{text}");
        }
    }
}
