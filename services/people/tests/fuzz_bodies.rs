//! Runs what the fuzz target runs, on bytes that are made here.

#[path = "../fuzz/bodies.rs"]
mod bodies;

use proptest::{collection::vec, prelude::*};

/// Rows under a header that is read, with cells that are mostly wrong.
fn file() -> impl Strategy<Value = Vec<u8>> {
    let cell = prop_oneof![
        "[a-z0-9]{0,4}".prop_map(String::into_bytes),
        "\"[a-z,\"\n]{0,4}\"?".prop_map(String::into_bytes),
        "(19|20)[0-9]{2}-?[01][0-9]-?[0-3][0-9]".prop_map(String::into_bytes),
        "\\PC{0,6}".prop_map(String::into_bytes),
        vec(any::<u8>(), 0..4),
    ];
    let row = vec(cell, 4..8).prop_map(|cells| cells.join(&b','));
    let end = prop_oneof![Just(&b"\n"[..]), Just(&b"\r\n"[..]), Just(&b"\r"[..])];
    (vec(row, 0..20), end).prop_map(|(rows, end)| {
        let header = b"record_id,given,family,birth_date,phone,address".to_vec();
        [vec![header], rows].concat().join(end)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_bytes_can_be_read_as_people(bytes in prop_oneof![4 => file(), 1 => vec(any::<u8>(), 0..200)]) {
        bodies::read(&bytes);
    }
}
