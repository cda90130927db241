use signpost_common::id::DocumentId;

use super::*;
use crate::domain::{Record, State};

const SETTLE: Duration = Duration::from_secs(1);

fn write_index(folder: &Path, rows: &[&str]) {
    let text = format!("{}\n{}\n", index::COLUMNS.join(","), rows.join("\n"));
    fs::write(folder.join(index::FILE), text).unwrap();
}

/// Looks at a folder at a moment; returns what is known of the first row's file.
fn look(folder: &Path, journal: &Journal, looks: &mut Looks, now: Instant) -> Option<File> {
    let (index, stamp) = (Index::load(folder).unwrap(), index_stamp(folder).unwrap());
    let scan = scan(&index, stamp, journal, looks, now, SETTLE);
    *looks = scan.looks;
    assert_eq!(scan.settled, !scan.rows.is_empty());
    scan.rows.first().map(|row| row.file)
}

#[test]
fn a_file_counts_when_two_looks_agree_and_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_index(folder, &["p1,a,a.txt,text/plain,c,,,,,,"]);
    let document = folder.join("a.txt");
    fs::write(&document, "one").unwrap();
    let (mut looks, mut journal, begin) = (Looks::default(), Journal::new(), Instant::now());
    assert_eq!(look(folder, &journal, &mut looks, begin), None, "the index may be being written");
    assert_eq!(look(folder, &journal, &mut looks, begin + SETTLE / 2), None);
    let before = stamp(&fs::metadata(&document).unwrap());
    assert_eq!(look(folder, &journal, &mut looks, begin + SETTLE), Some(File::There(before)));
    fs::write(&document, "one, more").unwrap();
    assert_eq!(look(folder, &journal, &mut looks, begin + 2 * SETTLE), Some(File::Unsettled));
    let now = stamp(&fs::metadata(&document).unwrap());
    assert_eq!(look(folder, &journal, &mut looks, begin + 3 * SETTLE), Some(File::There(now)));

    let running = AtomicBool::new(false);
    assert_eq!(hash(&document, before, &running).unwrap(), File::Unsettled, "it is another than was meant");
    let hashed = hash(&document, now, &running).unwrap();
    let File::Hashed(_, sha256) = hashed else { panic!("{hashed:?}") };
    assert!(hash(&document, now, &AtomicBool::new(true)).is_err(), "it ends when it is told to");
    let seen = Seen { path: "a.txt".into(), stamp: now };
    looks.keep(seen.clone(), sha256);
    for n in 4..6 {
        assert_eq!(look(folder, &journal, &mut looks, begin + n * SETTLE), Some(hashed));
    }

    let record = Record {
        document_id: DocumentId::generate(),
        version: 1,
        state: State::Current,
        patient: [0; 16],
        facts: [0; 16],
        sha256,
        seen: Some(seen),
    };
    journal.insert("a".into(), record);
    assert_eq!(look(folder, &journal, &mut looks, begin + 6 * SETTLE), Some(File::There(now)));
    assert!(looks.hashes.is_empty() && looks.since.len() == 1, "only the index is still looked at");
    // A restart asks for a second look at the index and not at what is registered.
    let mut looks = Looks::default();
    look(folder, &journal, &mut looks, begin);
    assert!(!looks.since.contains_key(Path::new("a.txt")));
    fs::remove_file(&document).unwrap();
    assert_eq!(look(folder, &journal, &mut looks, begin + SETTLE), Some(File::Missing));
}
