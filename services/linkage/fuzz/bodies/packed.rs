//! Any bytes are a stored record, which can be blocked and compared, or are refused.

use signpost_linkage::{
    Model, Packed, Record, Region,
    block::{KEYS_MAX, keys},
    compare::compare,
    prepare,
};

/// Reads bytes as a stored record, and uses it when it is one.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(record) = Packed::parse(bytes) else { return };
    assert_eq!(record.as_bytes(), bytes);
    let (view, nobody) = (record.view(), prepare(&Record::default(), Region::US));
    assert!(keys(view).len() <= KEYS_MAX);
    assert_eq!(compare(view, nobody.view()), compare(nobody.view(), view));
    assert!(Model::shipped().score(view, view).bits.is_finite());
}
