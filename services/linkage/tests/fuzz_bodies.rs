//! Runs what the fuzz targets run, on bytes that are made here.

#[path = "../fuzz/bodies/normalise.rs"]
mod normalise;
#[path = "../fuzz/bodies/packed.rs"]
mod packed;

use proptest::{collection::vec, prelude::*};
use signpost_linkage::{Name, Record, Region, prepare};

/// Lines that begin with a field's number.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        "\\PC{0,12}".prop_map(String::into_bytes),
        "[A-Za-z0-9 '.-]{0,16}".prop_map(String::into_bytes),
        "(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]".prop_map(String::into_bytes),
        vec(any::<u8>(), 0..8),
    ];
    vec((0u8..16, text), 0..20).prop_map(|lines| {
        lines.into_iter().flat_map(|(field, text)| [&[field][..], &text, b"\n"].concat()).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_record_can_be_normalised(bytes in prop_oneof![lines(), vec(any::<u8>(), 0..200)]) {
        normalise::run(&bytes);
    }

    #[test]
    fn any_bytes_can_be_offered_as_a_stored_record(
        bytes in vec(any::<u8>(), 0..200),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        packed::run(&bytes);
        let name = Name { given: vec!["Jane Ann".into()], family: "Smith-Jones".into(), ..Name::default() };
        let record = Record { names: vec![name], phones: vec!["617 555 0123".into()], ..Record::default() };
        let mut stored = prepare(&record, Region::US).as_bytes().to_vec();
        packed::run(&stored);
        for (place, value) in changes {
            let place = place.index(stored.len());
            stored[place] = value;
        }
        packed::run(&stored);
    }
}
