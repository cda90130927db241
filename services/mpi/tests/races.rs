//! Many writers bring the same newcomers at once, and each becomes one person.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, sync::Arc};

use signpost_common::{db, hash::Blinder, id::RecordRef, seal::FileKeys};
use signpost_linkage::{Date, Identifier, Name, Record};
use signpost_mpi::{
    domain::{Incoming, Index, Matching},
    store::{self, Decider},
};

const WRITERS: usize = 8;

const NEWCOMERS: usize = 2_000;

/// Records in one transaction.
const BATCH: usize = 50;

const ENGINE: Decider<'static> = Decider { actor: store::ENGINE, reason: "", model_version: "1", now_us: 5 };

/// The same person for every member, like nobody else.
fn newcomer(index: &Index, member: usize, number: usize) -> Incoming {
    let letters: String =
        (0..5).map(|place| char::from(b'a' + (number / 7usize.pow(place) % 7) as u8 * 3)).collect();
    let name = Name { given: vec!["Jane".into()], family: format!("Mc{letters}son"), ..Name::default() };
    let born = format!("{}-{:02}-{:02}", 1920 + number % 97, 1 + number % 12, 1 + number % 28);
    let record = Record {
        names: vec![name],
        birth_dates: Date::parse(&born).into_iter().collect(),
        identifiers: vec![Identifier {
            system: "ssn".into(),
            value: format!("{:09}", 123_456_789 + 7919 * number),
        }],
        ..Record::default()
    };
    let reference = RecordRef::new(format!("member{member}").parse().unwrap(), &number.to_string()).unwrap();
    index.incoming(reference, &record, format!("{letters} {born}").into_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_writers_make_one_person_of_each_newcomer() {
    let Some(location) = db::scratch_postgres("mpi_races") else {
        eprintln!("skipped: SIGNPOST_TEST_POSTGRES is not set");
        return;
    };
    let wrapping = Arc::new(FileKeys::random());
    let index = Arc::new(Index::new(Blinder::new(&[7; 32]).unwrap(), Matching::default()));
    let mut writers = vec![];
    for member in 0..WRITERS {
        // Connections, keys and caches of its own, as another process has.
        let store = store::open(&location, wrapping.clone(), 1).await.unwrap();
        let index = index.clone();
        writers.push(tokio::spawn(async move {
            let mut persons = vec![None; NEWCOMERS];
            let mut numbers: Vec<usize> = (0..NEWCOMERS).collect();
            // Each in an order of its own, so that they meet everywhere.
            numbers.rotate_left(member * NEWCOMERS / WRITERS / 4);
            for numbers in numbers.chunks(BATCH) {
                let batch: Vec<_> = numbers.iter().map(|number| newcomer(&index, member, *number)).collect();
                let registered = store.register(&batch, index.as_ref(), &ENGINE, None).await.unwrap();
                for (number, registered) in numbers.iter().zip(registered) {
                    persons[*number] = Some(registered.person);
                }
            }
            persons
        }));
    }
    let mut persons = vec![];
    for writer in writers {
        persons.push(writer.await.unwrap());
    }
    for number in 0..NEWCOMERS {
        let of_one: BTreeSet<_> = persons.iter().map(|persons| persons[number].unwrap()).collect();
        assert_eq!(of_one.len(), 1, "newcomer {number}");
    }
    let all: BTreeSet<_> = persons.iter().flatten().collect();
    assert_eq!(all.len(), NEWCOMERS);
}
