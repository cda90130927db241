use signpost_common::id::DocumentId;

use super::*;

fn some() -> Journal {
    let record = |version, state, seen| Record {
        document_id: DocumentId::generate(),
        version,
        state,
        patient: [1; 16],
        facts: [2; 16],
        sha256: [3; 32],
        seen,
    };
    let stamp = Stamp { size_bytes: 5, modified_ns: -1, changed_ns: i64::MAX };
    let seen = Some(Seen { path: "a/b.txt".into(), stamp });
    Journal::from([
        ("urn:a\"\n".to_owned(), record(1, State::Current, seen)),
        ("urn:b".to_owned(), record(7, State::Past, None)),
    ])
}

fn open(folder: &Path) -> StateFolder {
    StateFolder::open(folder, Path::new("/nowhere"), "north".parse().unwrap()).unwrap()
}

#[track_caller]
fn whole(found: Found) -> Journal {
    match found {
        Found::Whole(journal) => journal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_written_is_read_and_private() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let state = open(&path);
    assert!(matches!(state.read(), Found::Nothing));
    for journal in [Journal::new(), some()] {
        state.write(&journal).unwrap();
        assert_eq!(whole(state.read()), journal);
    }
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&state.file())), (0o700, 0o600));
    assert_eq!(fs::read_dir(&path).unwrap().count(), 2, "the lock and the journal");
}

#[test]
fn a_state_that_was_cut_or_changed_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    state.write(&some()).unwrap();
    let text = fs::read(state.file()).unwrap();
    let mut broken: Vec<Vec<u8>> = (0..text.len() - 1).map(|end| text[..end].to_vec()).collect();
    broken.push([&text[..], b"{}\n"].concat());
    broken.push(text.iter().map(|byte| if *byte == b'7' { b'8' } else { *byte }).collect());
    broken.push(vec![0xff; 100]);
    for text in broken {
        fs::write(state.file(), &text).unwrap();
        assert!(matches!(state.read(), Found::Broken(_)), "{}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn a_state_is_one_members_and_one_processs() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    state.write(&some()).unwrap();
    fs::write(folder.path().join(".north.journal-abc"), "half").unwrap();
    let again = StateFolder::open(folder.path(), Path::new("/nowhere"), "north".parse().unwrap());
    assert!(matches!(again, Err(Error::State(..))));
    fs::copy(state.file(), folder.path().join("south.journal")).unwrap();
    let other = StateFolder::open(folder.path(), Path::new("/nowhere"), "south".parse().unwrap()).unwrap();
    assert!(matches!(other.read(), Found::Broken(_)));
    drop(state);
    assert_eq!(whole(open(folder.path()).read()).len(), 2);
    assert!(!folder.path().join(".north.journal-abc").exists(), "what was half written is swept");
}

#[test]
fn a_state_does_not_lie_among_documents() {
    let folder = tempfile::tempdir().unwrap();
    let documents = folder.path().canonicalize().unwrap();
    let opened = StateFolder::open(&documents.join("state"), &documents, "north".parse().unwrap());
    assert!(matches!(opened, Err(Error::StateServed(_))));
}
