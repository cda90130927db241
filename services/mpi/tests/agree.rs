//! The same records, fed one after another and imported at once, come to the same persons, on every database.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::HashMap, hash::Hash, sync::Arc};

use jiff::Timestamp;
use signpost_common::{
    db::{self, Location},
    hash::Blinder,
    id::PersonId,
    seal::FileKeys,
};
use signpost_mpi::{
    domain::{Incoming, Index, Matching, bulk::Records},
    onboard::{self, Options},
    store::{self, Decider, Store},
};
use signpost_people::synth::{self, Cells};
use signpost_proto::common::v1::{Address, AdministrativeSex, Demographics, HumanName, Identifier};

const NOW_US: i64 = 1_750_000_000_000_000;

/// Records of a feed that are stored at once.
const BATCH: usize = 512;

/// Least agreement: harmonic mean of the two shares of pairs that the other way joins, too.
const F1_MIN: f64 = 0.995;

/// How many records.
const RECORDS: usize = 20_000;

fn demographics(cells: &Cells) -> Demographics {
    let values =
        |cell: &str| cell.split('|').filter(|value| !value.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let sex = match cells.sex.as_str() {
        "F" => AdministrativeSex::Female,
        "M" => AdministrativeSex::Male,
        _ => AdministrativeSex::Unspecified,
    };
    let name = HumanName {
        given: [values(&cells.given), values(&cells.middle)].concat(),
        family: cells.family.clone(),
        suffix: cells.suffix.clone(),
        ..HumanName::default()
    };
    let address = Address {
        line: cells.address.clone(),
        city: cells.city.clone(),
        state: cells.state.clone(),
        postcode: cells.postcode.clone(),
    };
    let identifier = |value| Identifier { system: "urn:signpost:national-id".into(), value };
    Demographics {
        names: [name].into_iter().filter(|name| *name != HumanName::default()).collect(),
        birth_date: cells.birth_date.clone(),
        sex: sex.into(),
        addresses: [address].into_iter().filter(|address| *address != Address::default()).collect(),
        phones: values(&cells.phone),
        emails: values(&cells.email),
        identifiers: values(&cells.national_id).into_iter().map(identifier).collect(),
        ..Demographics::default()
    }
}

/// Records of a synthetic population that the index takes, each reference once.
fn sample(index: &Index) -> Vec<Incoming> {
    let now = Timestamp::from_microsecond(NOW_US).unwrap();
    let most = RECORDS;
    let population = synth::generate(synth::Options { people: most / 2, seed: 1 });
    let mut taken = Records::default();
    let read = population.records().filter_map(|record| {
        onboard::read(index, record.source, &record.mrn, &demographics(&record.cells), now).ok()
    });
    let sample: Vec<Incoming> = read.filter(|record| taken.push(record)).take(most).collect();
    assert_eq!(sample.len(), most);
    sample
}

async fn fed(store: &dyn Store, index: &Index, sample: &[Incoming]) -> Vec<PersonId> {
    let model_version = &index.model.version;
    let by = Decider { actor: store::ENGINE, reason: "", model_version, now_us: NOW_US };
    for batch in sample.chunks(BATCH) {
        store.register(batch, index, &by, None).await.unwrap();
    }
    persons(store, sample).await
}

async fn imported(store: &dyn Store, index: &Index, sample: &[Incoming]) -> Vec<PersonId> {
    let mut records = Records::default();
    sample.iter().for_each(|record| assert!(records.push(record)));
    let options = Options::new(&index.model, NOW_US);
    onboard::run(store, index, &records, options, &|_, _, _| {}).await.unwrap();
    persons(store, sample).await
}

/// Returns the person of each record.
async fn persons(store: &dyn Store, sample: &[Incoming]) -> Vec<PersonId> {
    let mut person_of = HashMap::new();
    store
        .each_record(&mut |stored| {
            person_of.insert((stored.member, stored.local), stored.person);
        })
        .await
        .unwrap();
    let name = |record: &Incoming| {
        (record.reference.member_id.as_str().to_owned(), record.reference.local_id().to_owned())
    };
    sample.iter().map(|record| person_of[&name(record)]).collect()
}

/// Counts the pairs of equal items.
fn pairs<T: Eq + Hash>(items: impl IntoIterator<Item = T>) -> u64 {
    let mut counts: HashMap<T, u64> = HashMap::new();
    items.into_iter().for_each(|item| *counts.entry(item).or_default() += 1);
    counts.values().map(|count| count * (count - 1) / 2).sum()
}

async fn agree(fresh: impl Fn() -> Location) {
    let index = Index::new(Blinder::new(&[7; 32]).unwrap(), Matching::default());
    let sample = sample(&index);
    let open = async || store::open(&fresh(), Arc::new(FileKeys::random()), NOW_US).await.unwrap();
    let one_by_one = fed(open().await.as_ref(), &index, &sample).await;
    let at_once = imported(open().await.as_ref(), &index, &sample).await;
    let both = pairs(one_by_one.iter().zip(&at_once));
    let (left, right) = (pairs(&one_by_one), pairs(&at_once));
    let f1 = 2.0 * both as f64 / (left + right) as f64;
    let counts = format!("{both} pairs in both, {left} when fed, {right} when imported");
    eprintln!("{} records: F1 {f1:.5}; {counts}", sample.len());
    assert!(left > sample.len() as u64 / 4, "too few are linked: {counts}");
    assert!(f1 >= F1_MIN, "F1 {f1:.5}: {counts}");
}

#[tokio::test]
async fn sqlite_agrees() {
    agree(|| Location::Memory).await;
}

#[tokio::test]
async fn postgres_agrees() {
    if db::scratch_postgres("mpi_agree").is_none() {
        eprintln!("skipped: SIGNPOST_TEST_POSTGRES is not set");
        return;
    }
    agree(|| db::scratch_postgres("mpi_agree").unwrap()).await;
}
