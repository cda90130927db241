//! A log that is changed behind the service's back, in every way that an attacker has who holds the database.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use signpost_audit::{
    Alarms, Config, Deps, build,
    domain::{
        Entry, Logged, Query,
        checkpoint::Verifier,
        merkle::{self, Hash, Node, Subtree},
        misuse::Policy,
        verify::{Fault, PART, part::Row},
    },
    signing::Signer,
    store::{self, Counts, Kept, Pair, Scan, Store},
    verify::{self, Note, Verdict},
};
use signpost_common::{
    clock,
    db::{self, Location},
    hash::Blinder,
    id::EventId,
    lifecycle::Lifecycle,
    rpc::Context,
};
use signpost_proto::{
    audit::v1::{
        AppendRequest, Event, EventKind, EventOutcome, audit_log_service_client::AuditLogServiceClient,
    },
    common::v1::{Caller, RecordReference},
};
use sqlx::{Connection, PgConnection, SqliteConnection};
use tonic::Request;

/// A log in a file, and what was signed of it on the way.
struct World {
    folder: tempfile::TempDir,
    file: String,
    notes: Vec<Note>,
}

fn signer() -> Signer {
    Signer::new("log", &[1; 32].into()).unwrap()
}

fn event(number: u64) -> Event {
    Event {
        event_id: EventId::generate().to_string(),
        kind: EventKind::Locate.into(),
        action: "/signpost.locator.v1.RecordLocatorService/Locate".into(),
        outcome: EventOutcome::Success.into(),
        caller: Some(Caller { member_id: "north".into(), user: "dr.lee".into(), ..Caller::default() }),
        patient_records: (0..=number % 3)
            .map(|n| RecordReference { member_id: "north".into(), local_id: format!("{number}-{n}") })
            .collect(),
        occurred_at: Some(clock::to_proto(clock::system().now())),
        request_id: format!("r {number}"),
        ..Event::default()
    }
}

impl World {
    /// Makes a log of so many entries, signed at these sizes.
    async fn new(signed_at: &[u64]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut world = Self { folder, file: "audit.sqlite".into(), notes: vec![] };
        for size in signed_at {
            world.grow(*size).await;
        }
        world
    }

    fn location(&self) -> Location {
        Location::File(self.path())
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(&self.file)
    }

    /// Lets the service append up to a size, and sign that.
    async fn grow(&mut self, size: u64) {
        self.notes.push(grow(&self.location(), size).await);
    }

    /// Runs statements with nothing in their way.
    async fn tamper(&self, statements: &[String]) {
        let mut c = SqliteConnection::connect(&self.path().display().to_string()).await.unwrap();
        let triggers: Vec<(String,)> = sqlx::query_as(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name <> 'log_append'",
        )
        .fetch_all(&mut c)
        .await
        .unwrap();
        let drops = triggers.into_iter().map(|(name,)| format!("DROP TRIGGER {name}"));
        for sql in drops.chain(statements.iter().cloned()) {
            // The statements are those of the tests.
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut c).await.unwrap();
        }
    }

    /// Writes all hashes anew, as an attacker does who knows the code.
    async fn mend(&self) {
        let mut c = SqliteConnection::connect(&self.path().display().to_string()).await.unwrap();
        let leaves: Vec<(Vec<u8>,)> =
            sqlx::query_as("SELECT leaf FROM event ORDER BY sequence").fetch_all(&mut c).await.unwrap();
        let hashes = leaves.iter().map(|(leaf,)| merkle::leaf_hash(leaf));
        let nodes: HashMap<_, _> = merkle::grow(0, hashes, |_| None).unwrap().into_iter().collect();
        sqlx::raw_sql("DELETE FROM node").execute(&mut c).await.unwrap();
        for (node, hash) in nodes {
            sqlx::query("INSERT INTO node VALUES ($1, $2, $3)")
                .bind(i64::from(node.level))
                .bind(node.position as i64)
                .bind(&hash[..])
                .execute(&mut c)
                .await
                .unwrap();
        }
    }

    async fn verify_with(&self, elsewhere: &[Note]) -> Verdict {
        let scan = Arc::from(store::open_scan(&self.location()).await.unwrap());
        let keys: [Verifier; 1] = [signer().verifier().clone()];
        verify::database::verify(scan, &keys, elsewhere, &|_, _| ()).await.unwrap()
    }

    /// Returns the first that is wrong: where, what, and in words.
    async fn finds(&self) -> (u64, u64, &'static str, String) {
        let found = self.verify_with(&self.notes).await.finding.unwrap();
        (found.first, found.last, found.fault.name(), found.to_string())
    }
}

/// Lets a service append up to a size, and sign that.
async fn grow(location: &Location, size: u64) -> Note {
    let lifecycle = Lifecycle::new();
    let blinder = Blinder::new(&[7; 32]).unwrap();
    let config = Config {
        database: location.clone(),
        blinder,
        signer: signer(),
        keys_before: vec![],
        journal: None,
        misuse: Policy::default(),
    };
    let deps = Deps {
        clock: clock::system(),
        lifecycle: lifecycle.clone(),
        alarms: Alarms::default(),
        directory: Arc::default(),
    };
    let client = AuditLogServiceClient::new(build(config, deps).await.unwrap().prepare());
    let store = store::open(location).await.unwrap();
    let appends = (store.size().await.unwrap()..size).map(|number| {
        let mut client = client.clone();
        async move {
            let mut request = Request::new(AppendRequest { event: Some(event(number)) });
            request.extensions_mut().insert(Context::exchange("locator"));
            client.append(request).await.unwrap();
        }
    });
    futures_util::future::join_all(appends).await;
    lifecycle.drain(std::time::Duration::from_secs(10)).await;
    let last = store.last_checkpoint().await.unwrap().unwrap();
    assert_eq!(last.size, size);
    Note { name: format!("mine of {size}"), note: last.note }
}

fn sql(statements: &[&str]) -> Vec<String> {
    statements.iter().map(|sql| (*sql).to_owned()).collect()
}

/// Changes what entries say by a letter.
const EDIT: &str =
    "UPDATE event SET leaf = CAST(replace(CAST(leaf AS TEXT), 'dr.lee', 'dr.moe') AS BLOB) WHERE sequence = ";

#[tokio::test]
async fn a_log_that_nobody_touched_is_good() {
    let world = World::new(&[5, PART + 3, 2 * PART + 700]).await;
    let verdict = world.verify_with(&world.notes).await;
    assert_eq!(verdict.finding, None);
    assert_eq!((verdict.size, verdict.proved), (2 * PART + 700, verdict.checkpoints));
    assert!(verdict.checkpoints >= 6, "{}", verdict.checkpoints);
    let store = store::open(&world.location()).await.unwrap();
    let root = store.hashes(&[Subtree::whole(verdict.size)]).await.unwrap();
    assert_eq!(root, [verdict.root]);
}

/// A log that grows, and is signed, whenever it was asked what there is or what was signed.
struct Growing {
    scan: Box<dyn Scan>,
    location: Location,
}

impl Growing {
    async fn grow(&self) {
        let size = self.scan.size().await.unwrap();
        grow(&self.location, size + 3).await;
    }
}

type Done<T> = Result<T, store::Error>;

#[async_trait::async_trait]
impl Store for Growing {
    async fn append(&self, batch: &[Entry]) -> Done<Vec<Done<u64>>> {
        self.scan.append(batch).await
    }
    async fn size(&self) -> Done<u64> {
        self.scan.size().await
    }
    async fn event(&self, sequence: u64) -> Done<Option<Logged>> {
        self.scan.event(sequence).await
    }
    async fn nodes(&self, nodes: &[Node]) -> Done<HashMap<Node, Hash>> {
        self.scan.nodes(nodes).await
    }
    async fn search(&self, query: &Query, before: Option<i64>, limit: i64) -> Done<Vec<Logged>> {
        self.scan.search(query, before, limit).await
    }
    async fn disclosures(&self, subject: i64, before: Option<i64>, limit: i64) -> Done<Vec<Logged>> {
        self.scan.disclosures(subject, before, limit).await
    }
    async fn last_checkpoint(&self) -> Done<Option<Kept>> {
        self.scan.last_checkpoint().await
    }
    async fn checkpoints(&self, after: u64, limit: i64) -> Done<Vec<Kept>> {
        let page = self.scan.checkpoints(after, limit).await?;
        if page.is_empty() {
            self.grow().await;
        }
        Ok(page)
    }
    async fn keep_checkpoint(&self, before: u64, new: &Kept) -> Done<bool> {
        self.scan.keep_checkpoint(before, new).await
    }
}

#[async_trait::async_trait]
impl Scan for Growing {
    async fn counts(&self) -> Done<Counts> {
        let counts = self.scan.counts().await?;
        self.grow().await;
        Ok(counts)
    }
    async fn rows(&self, from: u64, to: u64) -> Done<Vec<Row>> {
        self.scan.rows(from, to).await
    }
    async fn stored(&self, level: u32, from: u64, to: u64) -> Done<Vec<Option<Hash>>> {
        self.scan.stored(level, from, to).await
    }
    async fn position_of(&self, hash: &Hash) -> Done<Option<u64>> {
        self.scan.position_of(hash).await
    }
    async fn subjects(&self, from: Pair, to: i64, limit: i64) -> Done<Vec<Pair>> {
        self.scan.subjects(from, to, limit).await
    }
    async fn subjects_of(&self, from: u64, to: u64) -> Done<Vec<Pair>> {
        self.scan.subjects_of(from, to).await
    }
}

#[tokio::test]
async fn a_good_log_that_is_being_signed_is_good() {
    let world = World::new(&[5, 9]).await;
    let location = world.location();
    let scan = store::open_scan(&location).await.unwrap();
    let scan = Arc::new(Growing { scan, location });
    let keys = [signer().verifier().clone()];
    let verdict = verify::database::verify(scan, &keys, &world.notes, &|_, _| ()).await.unwrap();
    assert_eq!(verdict.finding, None);
    assert!(verdict.size > 9, "it grew meanwhile");
}

#[tokio::test]
async fn an_empty_log_is_good_and_one_that_was_emptied_is_not() {
    let world = World { folder: tempfile::tempdir().unwrap(), file: "audit.sqlite".into(), notes: vec![] };
    store::open(&world.location()).await.unwrap();
    assert_eq!(world.verify_with(&[]).await.finding, None);
    let mut world = World::new(&[9]).await;
    let tables = ["event", "event_subject", "node", "checkpoint"].map(|table| format!("DELETE FROM {table}"));
    world.tamper(&tables).await;
    world.tamper(&sql(&["UPDATE log_head SET size = 0", "UPDATE checkpoint_head SET size = 0"])).await;
    assert_eq!(world.verify_with(&[]).await.finding, None, "nothing is left that would tell");
    let (first, last, what, said) = world.finds().await;
    assert_eq!((first, last, what), (0, 8, "truncated"), "{said}");
    assert!(said.contains("mine of 9"), "{said}");
    world.notes[0].note = world.notes[0].note.replacen("9\n", "8\n", 1);
    assert_eq!(world.finds().await.2, "checkpoint", "what nobody signed is no evidence");
}

#[tokio::test]
async fn the_first_bad_entry_is_named_with_what_happened() {
    let moved = |from: u64| {
        // Events take the places before theirs.
        sql(&[
            &format!("DELETE FROM event WHERE sequence = {from}"),
            &format!("UPDATE event SET sequence = -sequence WHERE sequence > {from}"),
            "UPDATE event SET sequence = -sequence - 1 WHERE sequence < 0",
            &format!("DELETE FROM event_subject WHERE sequence = {from}"),
            "UPDATE log_head SET size = size - 1",
        ])
    };
    let swapped = |one: u64, two: u64| {
        sql(&[
            &format!("UPDATE event SET sequence = -1 WHERE sequence = {one}"),
            &format!("UPDATE event SET sequence = {one} WHERE sequence = {two}"),
            &format!("UPDATE event SET sequence = {two} WHERE sequence = -1"),
        ])
    };
    let far = PART + 30;
    let cases = [
        (vec![format!("{EDIT}12")], (12, 12, "edited")),
        (vec![format!("{EDIT}12"), format!("{EDIT}7")], (7, 7, "edited")),
        (vec![format!("{EDIT}{far}")], (far, far, "edited")),
        (vec![format!("{EDIT}{}", PART + 99)], (PART + 99, PART + 99, "edited")),
        (sql(&["DELETE FROM event WHERE sequence = 40"]), (40, 40, "dropped")),
        (moved(40), (40, 40, "dropped")),
        (moved(far), (far, far, "dropped")),
        (swapped(20, 21), (20, 20, "reordered")),
        (swapped(50, far), (50, 50, "reordered")),
        (sql(&["DELETE FROM event WHERE sequence >= 90"]), (90, 90, "truncated")),
        (
            sql(&["DELETE FROM event WHERE sequence >= 90", "UPDATE log_head SET size = 90"]),
            (90, PART + 99, "truncated"),
        ),
        (sql(&["UPDATE log_head SET size = 90"]), (90, 90, "head")),
        (sql(&["UPDATE event SET kind = 3 WHERE sequence = 33"]), (33, 33, "column")),
        (sql(&["UPDATE event SET member_id = NULL WHERE sequence = 33"]), (33, 33, "column")),
        (sql(&["UPDATE event SET request_id = '' WHERE sequence = 33"]), (33, 33, "column")),
        (sql(&["UPDATE event SET occurred_at = occurred_at + 1 WHERE sequence = 0"]), (0, 0, "column")),
        (sql(&["UPDATE event SET leaf = x'00' WHERE sequence = 3"]), (3, 3, "edited")),
        (sql(&["DELETE FROM event_subject WHERE sequence = 65"]), (65, 65, "subjects")),
        (
            vec![format!("UPDATE event_subject SET token = token + 1 WHERE sequence = {far}")],
            (far, far, "subjects"),
        ),
        (sql(&["UPDATE node SET hash = zeroblob(32) WHERE level = 0 AND position = 5"]), (5, 5, "node")),
        (sql(&["DELETE FROM node WHERE level = 3 AND position = 2"]), (16, 23, "node")),
        (sql(&["UPDATE checkpoint SET note = replace(note, 'log', 'lag')"]), (99, 99, "checkpoint")),
        (sql(&["DELETE FROM checkpoint WHERE size > 100"]), (PART + 99, PART + 99, "checkpoint")),
    ];
    let mut world = World::new(&[100, PART + 100]).await;
    let copy = world.folder.path().join("copy.sqlite");
    let mut c = SqliteConnection::connect(&world.path().display().to_string()).await.unwrap();
    sqlx::query("VACUUM INTO $1").bind(copy.display().to_string()).execute(&mut c).await.unwrap();
    c.close().await.unwrap();
    let mut seen = vec![];
    for (statements, expected) in cases {
        // A name of its own each time: a connection to the file before that closes late removes the log of its name.
        world.file = format!("case-{}.sqlite", seen.len());
        std::fs::copy(&copy, world.path()).unwrap();
        world.tamper(&statements).await;
        let (first, last, what, said) = world.finds().await;
        assert_eq!((first, last, what), expected, "{statements:?}: {said}");
        assert!(said.contains(&first.to_string()) || what == "checkpoint", "{said}");
        seen.push(what);
    }
    assert!(seen.contains(&"reordered"));
}

#[tokio::test]
async fn who_mends_the_hashes_is_told_by_the_next_checkpoint() {
    let world = World::new(&[10, 20, 30]).await;
    world.tamper(&[format!("{EDIT}12")]).await;
    world.mend().await;
    let (first, last, what, said) = world.finds().await;
    assert_eq!((first, last, what), (10, 19, "rehashed"), "{said}");

    // Without checkpoints of others it is enough to forge those that are kept, but for the key.
    let forged = "DELETE FROM checkpoint; UPDATE checkpoint_head SET size = 0";
    world.tamper(&sql(&[forged])).await;
    assert_eq!(world.verify_with(&[]).await.finding, None);
    assert_eq!(world.finds().await.2, "rehashed");

    // Mended up to some height, the narrowest subtree is named.
    let world = World::new(&[64]).await;
    let stored = "CREATE TABLE before AS SELECT * FROM node WHERE level > 2";
    world.tamper(&[stored.to_owned(), format!("{EDIT}12")]).await;
    world.mend().await;
    world.tamper(&sql(&["DELETE FROM node WHERE level > 2", "INSERT INTO node SELECT * FROM before"])).await;
    let (first, last, what, said) = world.finds().await;
    assert_eq!((first, last, what), (8, 15, "rehashed"), "{said}");
}

#[tokio::test]
async fn an_entry_that_was_put_in_is_named() {
    let world = World::new(&[20]).await;
    let id = EventId::generate();
    world
        .tamper(&sql(&[
            "UPDATE event SET sequence = -sequence WHERE sequence >= 8",
            "UPDATE event SET sequence = -sequence + 1 WHERE sequence < 0",
            &format!("INSERT INTO event SELECT 8, '{id}', kind, outcome, member_id, occurred_at, x'00', '' FROM event WHERE sequence = 9"),
            "UPDATE log_head SET size = size + 1",
        ]))
        .await;
    let (first, _, what, said) = world.finds().await;
    assert_eq!((first, what), (8, "inserted"), "{said}");
    assert_eq!(Fault::Inserted.name(), what);
}

#[tokio::test]
async fn a_log_on_postgres_is_verified_as_well() {
    let Some(location) = db::scratch_postgres("audit") else {
        eprintln!("skipped: SIGNPOST_TEST_POSTGRES is not set");
        return;
    };
    let notes = [grow(&location, 70).await, grow(&location, PART + 20).await];
    let find = async || {
        let scan = Arc::from(store::open_scan(&location).await.unwrap());
        let keys = [signer().verifier().clone()];
        let found = verify::database::verify(scan, &keys, &notes, &|_, _| ()).await.unwrap();
        found.finding.map(|found| (found.first, found.fault.name()))
    };
    assert_eq!(find().await, None);
    let Location::Postgres { url, schema, .. } = &location else { return };
    let mut c = PgConnection::connect(url.expose()).await.unwrap();
    let tables = ["event", "event_subject", "node", "checkpoint"];
    let off = tables.map(|table| format!("ALTER TABLE {table} DISABLE TRIGGER USER;")).concat();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("SET search_path = {schema}; {off}")))
        .execute(&mut c)
        .await
        .unwrap();
    let changes = [
        ("UPDATE event_subject SET token = token + 1 WHERE sequence = 8195", (8195, "subjects")),
        ("UPDATE node SET hash = sha256(hash) WHERE level = 2 AND position = 20", (80, "node")),
        ("UPDATE event SET outcome = 3 WHERE sequence = 77", (77, "column")),
        ("UPDATE event SET leaf = leaf || 'x' WHERE sequence = 75", (75, "edited")),
        ("DELETE FROM event WHERE sequence = 71", (71, "dropped")),
    ];
    for (sql, expected) in changes {
        sqlx::raw_sql(sql).execute(&mut c).await.unwrap();
        assert_eq!(find().await, Some(expected), "{sql}");
    }
}
