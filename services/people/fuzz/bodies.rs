//! What the fuzz target does with its bytes; tests run it, too.

use signpost_linkage::Region;
use signpost_people::{
    problems::Problems,
    read::{self, Input, Options},
};

/// Reads any bytes as a file of people: every row becomes a record or is counted as lost.
pub(crate) fn read(bytes: &[u8]) {
    let options = Options { renamed: vec![], region: Region::US };
    let Ok(input) = Input::new("x", bytes, &options) else { return };
    let mut problems = Problems::default();
    let people = read::read(vec![input], &options, &mut problems, &|_| {}).expect("memory can be read");
    assert_eq!(people.corpus.len(), people.ids.len());
    for record in 0..people.corpus.len() as u32 {
        let view = people.corpus.view(record);
        assert!(signpost_linkage::Packed::parse(view.as_bytes()).is_ok());
    }
    assert!(people.ids.iter().all(|id| !id.is_empty()));
}
