//! What is stored is sealed, whoever holds the files; keys change while records come and go.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    panic::AssertUnwindSafe,
    path::Path,
    sync::{Arc, LazyLock, atomic::Ordering},
};

use futures_util::FutureExt;
use signpost_common::{
    db::{self, Location},
    hash::Blinder,
    id::{RecordId, RecordRef},
    seal::{FileKeys, KeyEncryption},
};
use signpost_linkage::{Date, Identifier, Name, Record};
use signpost_mpi::{
    domain::{Incoming, Index, Matching},
    store::{self, By, Decider, Rotation, Store},
};

const ENGINE: Decider<'static> = Decider { actor: "engine", reason: "", model_version: "1", now_us: 5 };

static INDEX: LazyLock<Index> =
    LazyLock::new(|| Index::new(Blinder::new(&[7; 32]).unwrap(), Matching::default()));

fn incoming(number: u32) -> Incoming {
    let name = Name { given: vec!["Zebulon".into()], family: "Quartermaine".into(), ..Name::default() };
    let record = Record {
        names: vec![name],
        birth_dates: Date::parse(&format!("{}-03-04", 1920 + number % 90)).into_iter().collect(),
        identifiers: vec![Identifier {
            system: "ssn".into(),
            value: format!("219-{:02}-{number:04}", number % 89),
        }],
        ..Record::default()
    };
    let reference = RecordRef::new("north".parse().unwrap(), &number.to_string()).unwrap();
    INDEX.incoming(reference, &record, format!("Zebulon Quartermaine 219-00-{number:04}").into_bytes())
}

async fn register(store: &dyn Store, numbers: impl IntoIterator<Item = u32>) -> Vec<RecordId> {
    let decide = |record: &Incoming, snapshot| INDEX.register(record, snapshot);
    let batch: Vec<_> = numbers.into_iter().map(incoming).collect();
    let registered = store.register(&batch, &decide, &ENGINE, None).await.unwrap();
    registered.into_iter().map(|registered| registered.record).collect()
}

/// Everything of a record that is sealed can be read.
async fn is_readable(store: &dyn Store, number: u32, record: RecordId) {
    let reference = RecordRef::new("north".parse().unwrap(), &number.to_string()).unwrap();
    let person = store.person(&By::Record(reference.clone())).await.unwrap().unwrap();
    let records = store.person_records(person.id, 0, 500).await.unwrap();
    let stored = records.iter().find(|stored| stored.reference == reference).unwrap();
    assert_eq!(stored.demographics, incoming(number).demographics);
    assert_eq!(store.prepared(record).await.unwrap().unwrap(), incoming(number).prepared);
}

async fn databases() -> Vec<(Option<tempfile::TempDir>, Location)> {
    let folder = tempfile::tempdir().unwrap();
    let file = Location::File(folder.path().join("mpi.sqlite"));
    let mut databases = vec![(Some(folder), file)];
    databases.extend(db::scratch_postgres("mpi_sealing").map(|location| (None, location)));
    databases
}

async fn open(location: &Location, wrapping: &Arc<dyn KeyEncryption>) -> Arc<dyn Store> {
    Arc::from(store::open(location, wrapping.clone(), 1).await.unwrap())
}

async fn rotate(store: &dyn Store) -> Rotation {
    store.rotate_keys(10, &|_, _| {}).await.unwrap()
}

/// Blanks ids that the exchange made: their random digits may be anything, also somebody's last four.
fn without_ids(mut bytes: Vec<u8>) -> Vec<u8> {
    const CHARS: usize = "01980000-0000-7000-8000-000000000000".len();
    let is_id =
        |window: &[u8]| std::str::from_utf8(window).is_ok_and(|text| text.parse::<RecordId>().is_ok());
    for at in 0..bytes.len().saturating_sub(CHARS - 1) {
        let window = &mut bytes[at..at + CHARS];
        if window[8] == b'-' && is_id(window) {
            window.fill(b'-');
        }
    }
    bytes
}

#[tokio::test]
async fn files_show_nothing_of_anybody() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::File(folder.path().join("mpi.sqlite"));
    let wrapping: Arc<dyn KeyEncryption> = Arc::new(FileKeys::random());
    let store = open(&location, &wrapping).await;
    register(&*store, 0..200).await;
    rotate(&*store).await;
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.iter().any(|file| file.extension().is_some_and(|name| name == "sqlite-wal")));
    for file in files {
        let bytes = without_ids(std::fs::read(&file).unwrap().to_ascii_lowercase());
        for value in ["zebulon", "quartermaine", "219-00-0007", "219070007", "0007"] {
            let shown = bytes.windows(value.len()).any(|window| window == value.as_bytes());
            assert!(!shown, "{value} in {}", file.display());
        }
    }
}

#[tokio::test]
async fn keys_rotate_while_others_write() {
    for (_folder, location) in databases().await {
        let wrapping: Arc<dyn KeyEncryption> = Arc::new(FileKeys::random());
        let (one, two) = (open(&location, &wrapping).await, open(&location, &wrapping).await);
        let mut records = register(&*one, 0..700).await;
        let writer = two.clone();
        let writing = tokio::spawn(async move {
            let mut records = vec![];
            for number in 700..760 {
                records.extend(register(&*writer, [number]).await);
            }
            records
        });
        let Rotation { newest, resealed, rewrapped } = rotate(&*one).await;
        assert_eq!((newest, rewrapped), (2, 0));
        assert!(resealed >= 1400, "{resealed}");
        records.extend(writing.await.unwrap());
        for store in [&one, &two, &open(&location, &wrapping).await] {
            for number in [0, 350, 699, 700, 759] {
                is_readable(&**store, number, records[number as usize]).await;
            }
        }
        assert_eq!(rotate(&*two).await.newest, 3);
        is_readable(&*one, 5, records[5]).await;
    }
}

#[tokio::test]
async fn who_writes_the_other_way_round_and_a_rotation_do_not_wait_for_each_other() {
    // SQLite has one writer at a time.
    if let Some(location) = db::scratch_postgres("mpi_sealing") {
        let wrapping: Arc<dyn KeyEncryption> = Arc::new(FileKeys::random());
        let (one, two) = (open(&location, &wrapping).await, open(&location, &wrapping).await);
        register(&*one, 0..200).await;
        let writing = tokio::spawn(async move {
            for round in 0..10u8 {
                let changed = |number| Incoming { demographics: vec![round], ..incoming(number) };
                let batch: Vec<Incoming> = (0..200).rev().map(changed).collect();
                let decide = |record: &Incoming, snapshot| INDEX.register(record, snapshot);
                two.register(&batch, &decide, &ENGINE, None).await.unwrap();
            }
        });
        while !writing.is_finished() {
            rotate(&*one).await;
        }
        writing.await.unwrap();
    }
}

#[tokio::test]
async fn a_rotation_that_was_killed_goes_on() {
    for (_folder, location) in databases().await {
        let wrapping: Arc<dyn KeyEncryption> = Arc::new(FileKeys::random());
        let store = open(&location, &wrapping).await;
        let records = register(&*store, 0..1200).await;
        let seen = std::sync::atomic::AtomicU64::new(0);
        let killed = |_, rows| {
            seen.store(rows, Ordering::Relaxed);
            assert!(rows < 600, "killed");
        };
        let rotation = AssertUnwindSafe(store.rotate_keys(10, &killed)).catch_unwind().await;
        assert!(rotation.is_err() && seen.load(Ordering::Relaxed) >= 600);
        let store = open(&location, &wrapping).await;
        is_readable(&*store, 0, records[0]).await;
        is_readable(&*store, 1199, records[1199]).await;
        let Rotation { newest, resealed, .. } = rotate(&*store).await;
        assert_eq!(newest, 2, "it goes on under the key that it had made");
        assert!((1200..2400).contains(&resealed), "{resealed}");
        is_readable(&*store, 600, records[600]).await;
    }
}

#[tokio::test]
async fn another_key_takes_over() {
    let keys = tempfile::tempdir().unwrap();
    let file = |name: &str, digit: &str| {
        let path = keys.path().join(name);
        std::fs::write(&path, digit.repeat(64)).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    };
    let (old, new) = (file("old", "1"), file("new", "2"));
    let read = |now: &Path, before: &[&Path]| -> Arc<dyn KeyEncryption> {
        Arc::new(FileKeys::read(now, before.iter().copied()).unwrap())
    };
    for (_folder, location) in databases().await {
        let store = open(&location, &read(&old, &[])).await;
        let records = register(&*store, [0]).await;
        assert!(
            store::open(&location, read(&new, &[]), 1).await.is_err(),
            "nothing is opened without the key"
        );
        let both = open(&location, &read(&new, &[&old])).await;
        assert_eq!(rotate(&*both).await.rewrapped, 1);
        is_readable(&*open(&location, &read(&new, &[])).await, 0, records[0]).await;
        assert!(store::open(&location, read(&old, &[]), 1).await.is_err());
    }
}

/// Readers hold no connection while they learn a key: all of them at once would wait for one another.
#[tokio::test(flavor = "multi_thread")]
async fn many_readers_learn_a_new_key_at_once() {
    for (_folder, location) in databases().await {
        let wrapping: Arc<dyn KeyEncryption> = Arc::new(FileKeys::random());
        let (one, two) = (open(&location, &wrapping).await, open(&location, &wrapping).await);
        register(&*one, 0..20).await;
        rotate(&*one).await;
        let readers: Vec<_> = (0..16)
            .map(|number| {
                let two = two.clone();
                tokio::spawn(async move {
                    two.candidates(&incoming(number).keys).await.map(|found| found.0.len())
                })
            })
            .collect();
        for reader in readers {
            assert!(reader.await.unwrap().unwrap() > 0);
        }
    }
}

#[tokio::test]
async fn a_value_in_the_place_of_another_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mpi.sqlite");
    let wrapping: Arc<dyn KeyEncryption> = Arc::new(FileKeys::random());
    let store = open(&Location::File(file.clone()), &wrapping).await;
    let records = register(&*store, [0, 1]).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    for forgery in [
        "UPDATE comparison SET prepared = (SELECT prepared FROM comparison WHERE record_row = 1)",
        "UPDATE source_record SET demographics = (SELECT demographics FROM source_record WHERE record_row = 1)",
    ] {
        sqlx::query(forgery).execute(&pool).await.unwrap();
    }
    assert!(store.prepared(records[0]).await.is_ok());
    assert!(store.prepared(records[1]).await.is_err());
    let reference = RecordRef::new("north".parse().unwrap(), "1").unwrap();
    let person = store.person(&By::Record(reference)).await.unwrap().unwrap();
    assert!(store.person_records(person.id, 0, 9).await.is_err());
}
