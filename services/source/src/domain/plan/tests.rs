use std::path::PathBuf;

use proptest::prelude::*;
use signpost_common::id::DocumentId;

use super::*;
use crate::domain::{Digest, Hash, Seen, Stamp, State};

fn stamp(bytes: u8) -> Stamp {
    Stamp { size_bytes: 1 + u64::from(bytes), modified_ns: i64::from(bytes), changed_ns: 0 }
}

fn hashed(bytes: u8) -> File {
    File::Hashed(stamp(bytes), [bytes; 32])
}

fn row(unique_id: &str, file: File) -> Row {
    Row {
        unique_id: unique_id.into(),
        replaces: None,
        patient: [1; 16],
        facts: [1; 16],
        path: PathBuf::from(unique_id),
        file,
    }
}

fn replacing(unique_id: &str, file: File, older: &str) -> Row {
    Row { replaces: Some(older.into()), ..row(unique_id, file) }
}

fn record(row: &Row, version: u32, state: State) -> Record {
    Record {
        document_id: DocumentId::generate(),
        version,
        state,
        patient: row.patient,
        facts: row.facts,
        sha256: row.hash(&Journal::new()).expect("hashed"),
        seen: row.seen(),
    }
}

fn journal(records: &[(&str, Record)]) -> Journal {
    records.iter().map(|(id, record)| ((*id).to_owned(), record.clone())).collect()
}

/// Plans where nothing is unread or refused.
fn planned(rows: &[Row], journal: &Journal) -> Vec<Action> {
    plan(rows, &HashSet::new(), journal, &Refused::default())
}

fn register(row: usize, version: u32) -> Action {
    Action::Register { row, version, unknown: vec![] }
}

fn replace(row: usize, version: u32, old: &str) -> Action {
    Action::Replace { row, version, old: old.into() }
}

fn withdraw(unique_id: &str) -> Action {
    Action::Withdraw { unique_id: unique_id.into() }
}

#[test]
fn a_new_row_is_hashed_and_then_registered() {
    let nothing = Journal::new();
    assert_eq!(planned(&[row("a", File::Missing)], &nothing), []);
    assert_eq!(planned(&[row("a", File::Unsettled)], &nothing), []);
    assert_eq!(planned(&[row("a", File::There(stamp(1)))], &nothing), [Action::Hash { row: 0 }]);
    assert_eq!(planned(&[row("a", hashed(1))], &nothing), [register(0, 1)]);
}

#[test]
fn what_is_registered_as_it_is_needs_nothing() {
    let known = journal(&[("a", record(&row("a", hashed(1)), 1, State::Current))]);
    assert_eq!(planned(&[row("a", File::There(stamp(1)))], &known), []);
    // A file that went for a while may come back: its row stands.
    assert_eq!(planned(&[row("a", File::Missing)], &known), []);
    assert_eq!(planned(&[row("a", File::There(stamp(2)))], &known), [Action::Hash { row: 0 }]);
    let touched = Row { file: File::Hashed(stamp(2), [1; 32]), ..row("a", File::Missing) };
    assert_eq!(planned(&[touched], &known), [Action::Note { row: 0 }]);
}

#[test]
fn other_bytes_and_other_facts_are_a_new_version() {
    let known = journal(&[("a", record(&row("a", hashed(1)), 3, State::Current))]);
    assert_eq!(planned(&[row("a", hashed(2))], &known), [replace(0, 4, "a")]);
    let facts = Row { facts: [2; 16], ..row("a", File::There(stamp(1))) };
    assert_eq!(planned(&[facts], &known), [replace(0, 4, "a")]);
}

#[test]
fn another_patient_is_told_by_withdrawal_and_registration() {
    let moved = Row { patient: [2; 16], ..row("a", File::There(stamp(1))) };
    let mut known = journal(&[("a", record(&row("a", hashed(1)), 1, State::Current))]);
    assert_eq!(planned(std::slice::from_ref(&moved), &known), [withdraw("a")]);
    known.get_mut("a").unwrap().state = State::Past;
    assert_eq!(planned(&[moved], &known), [register(0, 2)]);
}

#[test]
fn a_row_that_is_gone_is_withdrawn_and_comes_back_as_a_new_version() {
    let mut known = journal(&[("a", record(&row("a", hashed(1)), 1, State::Current))]);
    assert_eq!(planned(&[], &known), [withdraw("a")]);
    let unread = HashSet::from(["a".to_owned()]);
    assert_eq!(plan(&[], &unread, &known, &Refused::default()), [], "it may be meant to stay");
    known.get_mut("a").unwrap().state = State::Past;
    assert_eq!(planned(&[], &known), []);
    assert_eq!(planned(&[row("a", hashed(1))], &known), [register(0, 2)]);
}

#[test]
fn a_row_replaces_what_it_names_whether_its_row_is_there_or_gone() {
    let known = journal(&[("a", record(&row("a", hashed(1)), 2, State::Current))]);
    let newer = replacing("b", hashed(2), "a");
    assert_eq!(planned(std::slice::from_ref(&newer), &known), [replace(0, 1, "a")]);
    let older = row("a", File::There(stamp(1)));
    assert_eq!(planned(&[newer.clone(), older], &known), [replace(0, 1, "a")]);
    // What comes together with its successor is never registered.
    let both = [row("a", hashed(1)), newer];
    let asks = Action::Register { row: 1, version: 1, unknown: vec!["a".into()] };
    assert_eq!(planned(&both, &Journal::new()), [asks]);
}

#[test]
fn the_older_document_stays_until_the_newer_one_is_there() {
    let known = journal(&[("a", record(&row("a", hashed(1)), 1, State::Current))]);
    let waiting = replacing("b", File::Missing, "a");
    assert_eq!(planned(std::slice::from_ref(&waiting), &known), []);
    let mut refused = Refused::default();
    let newer = replacing("b", hashed(2), "a");
    refused.add(&newer);
    assert_eq!(plan(&[newer], &HashSet::new(), &known, &refused), [withdraw("a")], "it will not be");
}

#[test]
fn a_chain_is_replaced_by_its_newest() {
    let rows = [replacing("c", hashed(3), "b"), replacing("b", File::Missing, "a"), row("a", hashed(1))];
    let known = journal(&[("a", record(&rows[2], 1, State::Current))]);
    assert_eq!(planned(&rows, &known), [replace(0, 1, "a")]);
}

#[test]
fn a_document_is_replaced_once() {
    let known = journal(&[("a", record(&row("a", hashed(1)), 1, State::Current))]);
    let rows = [replacing("c", hashed(3), "a"), replacing("b", hashed(2), "a")];
    assert_eq!(planned(&rows, &known), [replace(1, 1, "a"), register(0, 1)]);
}

#[test]
fn what_was_refused_is_not_asked_again_until_it_changes() {
    let mut refused = Refused::default();
    refused.add(&row("a", hashed(1)));
    let ask = |row: Row, refused: &Refused| plan(&[row], &HashSet::new(), &Journal::new(), refused);
    assert_eq!(ask(row("a", hashed(1)), &refused), []);
    assert_eq!(ask(row("a", File::There(stamp(1))), &refused), [], "nor read");
    assert_eq!(ask(row("a", hashed(2)), &refused), [register(0, 1)]);
    let facts = Row { facts: [2; 16], ..row("a", hashed(1)) };
    assert_eq!(ask(facts, &refused), [register(0, 1)]);
    refused.forget_all_but(&[row("a", hashed(2))]);
    assert_eq!(refused.len(), 0);
}

/// Does what was planned, as an exchange that refuses nothing would.
fn carry_out(actions: &[Action], rows: &mut [Row], journal: &mut Journal) {
    for action in actions {
        match action {
            Action::Hash { row } => {
                let File::There(stamp) = rows[*row].file else { continue };
                rows[*row].file = hashed(u8::try_from(stamp.modified_ns).unwrap());
            }
            Action::Note { row } => {
                let row = &rows[*row];
                journal.get_mut(&row.unique_id).unwrap().seen = row.seen();
            }
            Action::Register { row, version, .. } | Action::Replace { row, version, .. } => {
                if let Action::Replace { old, .. } = action {
                    let old = journal.get_mut(old).unwrap();
                    assert_eq!((old.state, old.patient), (State::Current, rows[*row].patient));
                    old.state = State::Past;
                }
                let row = &rows[*row];
                let sha256 = row.hash(journal).expect("only what can be served is registered");
                let before = journal.get(&row.unique_id).map_or(0, |record| record.version);
                assert_eq!(*version, before + 1, "a version is never used again");
                let document_id = DocumentId::generate();
                let (version, state, seen) = (*version, State::Current, row.seen());
                let (patient, facts) = (row.patient, row.facts);
                let record = Record { document_id, version, state, patient, facts, sha256, seen };
                journal.insert(row.unique_id.clone(), record);
            }
            Action::Withdraw { unique_id } => {
                let record = journal.get_mut(unique_id).unwrap();
                assert!(record.is_current());
                record.state = State::Past;
            }
        }
    }
}

const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn any_row(place: usize) -> impl Strategy<Value = Option<Row>> {
    let file = prop_oneof![
        Just(File::Missing),
        Just(File::Unsettled),
        (0..3u8).prop_map(|bytes| File::There(stamp(bytes))),
        (0..3u8).prop_map(hashed),
    ];
    // A row replaces one of a later letter, so there are no circles.
    let parts = (file, 0..2u8, 0..2u8, proptest::option::of(place + 1..=IDS.len()), any::<bool>());
    parts.prop_map(move |(file, patient, facts, replaces, is_there)| {
        let (patient, facts): (Digest, Digest) = ([patient; 16], [facts; 16]);
        let replaces = replaces.map(|older| (*IDS.get(older).unwrap_or(&"z")).to_owned());
        is_there.then(|| Row { replaces, patient, facts, ..row(IDS[place], file) })
    })
}

fn any_rows() -> impl Strategy<Value = Vec<Row>> {
    (any_row(0), any_row(1), any_row(2), any_row(3), any_row(4))
        .prop_map(|(a, b, c, d, e)| [a, b, c, d, e].into_iter().flatten().collect())
}

fn any_journal() -> impl Strategy<Value = Journal> {
    let record = (1..4u32, any::<bool>(), 0..2u8, 0..2u8, 0..3u8, any::<bool>());
    let records = proptest::collection::vec(proptest::option::of(record), IDS.len());
    records.prop_map(|records| {
        let known = records.into_iter().zip(IDS).filter_map(|(record, id)| {
            let (version, current, patient, facts, bytes, seen) = record?;
            let sha256: Hash = [bytes; 32];
            let seen = seen.then(|| Seen { path: id.into(), stamp: stamp(bytes) });
            let state = if current { State::Current } else { State::Past };
            let (patient, facts, document_id) = ([patient; 16], [facts; 16], DocumentId::generate());
            Some((id.to_owned(), Record { document_id, version, state, patient, facts, sha256, seen }))
        });
        known.collect()
    })
}

proptest! {
    #[test]
    fn once_everything_is_done_nothing_is_left_to_do(mut rows in any_rows(), mut known in any_journal()) {
        for _ in 0..8 {
            let actions = planned(&rows, &known);
            carry_out(&actions, &mut rows, &mut known);
        }
        prop_assert_eq!(planned(&rows, &known), []);
        for row in &rows {
            let replaced = rows.iter().any(|other| other.replaces.as_ref() == Some(&row.unique_id));
            let current = known.get(&row.unique_id).filter(|record| record.is_current());
            if let (Some(hash), false) = (row.hash(&known), replaced) {
                let current = current.expect("a row whose file is there is registered");
                prop_assert_eq!((current.sha256, current.facts, current.patient), (hash, row.facts, row.patient));
            }
        }
    }

    #[test]
    fn the_order_of_rows_does_not_matter(rows in any_rows(), known in any_journal(), turn in 0..5usize) {
        let named = |rows: &[Row]| {
            let mut named: Vec<_> = planned(rows, &known).into_iter().map(|action| match action {
                Action::Hash { row } => format!("hash {}", rows[row].unique_id),
                Action::Note { row } => format!("note {}", rows[row].unique_id),
                Action::Register { row, version, unknown } => {
                    format!("register {} {version} {unknown:?}", rows[row].unique_id)
                }
                Action::Replace { row, version, old } => format!("replace {} {version} {old}", rows[row].unique_id),
                Action::Withdraw { unique_id } => format!("withdraw {unique_id}"),
            }).collect();
            named.sort();
            named
        };
        let mut turned = rows.clone();
        turned.reverse();
        let at = turn % turned.len().max(1);
        turned.rotate_left(at);
        prop_assert_eq!(named(&rows), named(&turned));
    }
}
