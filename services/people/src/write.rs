//! Writing links and pairs: rows are formatted on all cores, some chunks at a time, and written in order.

use std::io::{self, Write};

use csv::Writer;
use rayon::prelude::*;
use signpost_linkage::{
    bulk::{Linked, Pair},
    decide::{Stop, Thresholds},
};

use crate::read::Ids;

/// Rows of a chunk.
const CHUNK: usize = 1 << 14;

/// Chunks that are formatted before they are written.
const CHUNKS_AT_ONCE: usize = 16;

/// What was decided of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// Both records are one person's.
    Link,
    /// They may be one person's: a steward should look.
    Review,
    /// They are two persons'.
    Apart,
}

impl Decision {
    /// Returns the decision on a pair.
    pub fn of(pair: &Pair, persons: &[u32]) -> Self {
        match () {
            () if persons[pair.a as usize] == persons[pair.b as usize] => Self::Link,
            () if pair.stop == Some(Stop::KeptApart) => Self::Apart,
            () if f64::from(pair.bits) >= Thresholds::default().review_bits => Self::Review,
            () => Self::Apart,
        }
    }

    /// Returns the word for it in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Review => "review",
            Self::Apart => "apart",
        }
    }
}

/// Writes `record_id,person_id`, one row a record, saying how many more are done.
///
/// Records are in the order of their ids, and a person is named by its first record: it has the smallest of their ids.
///
/// # Errors
/// When it cannot be written.
pub fn links(
    out: &mut impl Write,
    ids: &Ids,
    persons: &[u32],
    progress: &mut dyn FnMut(u64),
) -> io::Result<()> {
    out.write_all(b"record_id,person_id\n")?;
    rows(out, persons, progress, |writer, record, person| {
        writer.write_record([&*ids[record], &*ids[*person as usize]])
    })
}

/// Writes `record_id_l,record_id_r,probability,decision`, one row a pair, saying how many more are done.
///
/// # Errors
/// When it cannot be written.
pub fn pairs(
    out: &mut impl Write,
    ids: &Ids,
    linked: &Linked,
    progress: &mut dyn FnMut(u64),
) -> io::Result<()> {
    out.write_all(b"record_id_l,record_id_r,probability,decision\n")?;
    rows(out, &linked.pairs, progress, |writer, _, pair| {
        let (a, b) = (ids[pair.a as usize].as_bytes(), ids[pair.b as usize].as_bytes());
        let decision = Decision::of(pair, &linked.persons).name();
        writer.write_record([a, b, &decimal(pair.probability()), decision.as_bytes()])
    })
}

fn rows<T: Sync>(
    out: &mut impl Write,
    items: &[T],
    progress: &mut dyn FnMut(u64),
    row: impl Fn(&mut Writer<Vec<u8>>, usize, &T) -> csv::Result<()> + Sync,
) -> io::Result<()> {
    let format = |(place, chunk): (usize, &[T])| -> io::Result<Vec<u8>> {
        let mut writer = Writer::from_writer(Vec::with_capacity(CHUNK * 32));
        for (offset, item) in chunk.iter().enumerate() {
            row(&mut writer, place * CHUNK + offset, item)?;
        }
        writer.into_inner().map_err(|error| io::Error::other(error.to_string()))
    };
    let chunks: Vec<(usize, &[T])> = items.chunks(CHUNK).enumerate().collect();
    for some in chunks.chunks(CHUNKS_AT_ONCE) {
        let formatted: Vec<io::Result<Vec<u8>>> = some.par_iter().map(|chunk| format(*chunk)).collect();
        for (bytes, (_, chunk)) in formatted.into_iter().zip(some) {
            out.write_all(&bytes?)?;
            progress(chunk.len() as u64);
        }
    }
    Ok(())
}

/// Returns a probability with six decimals, which the standard library takes much longer to write.
fn decimal(probability: f64) -> [u8; 8] {
    let mut millionths = (probability * 1e6).round() as u32;
    let mut text = *b"0.000000";
    for digit in text[2..].iter_mut().rev() {
        *digit = b'0' + (millionths % 10) as u8;
        millionths /= 10;
    }
    text[0] = b'0' + millionths as u8;
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(a: u32, b: u32, bits: f32) -> Pair {
        Pair { a, b, bits, stop: None }
    }

    #[test]
    fn every_record_has_a_row_and_ids_are_quoted() {
        let ids: Ids = ["a", "b,\"", "c", "d"].map(Box::from).into_iter().collect();
        let mut out = vec![];
        let mut done = 0;
        links(&mut out, &ids, &[0, 1, 0, 1], &mut |more| done += more).unwrap();
        let expected = "record_id,person_id\na,a\n\"b,\"\"\",\"b,\"\"\"\nc,a\nd,\"b,\"\"\"\n";
        assert_eq!((String::from_utf8(out).unwrap().as_str(), done), (expected, 4));
    }

    #[test]
    fn a_pair_is_linked_reviewed_or_kept_apart() {
        let ids: Ids = ["a", "b", "c"].map(Box::from).into_iter().collect();
        let pairs_found = vec![pair(0, 1, 3.0), pair(0, 2, -4.0), pair(1, 2, 0.0), pair(1, 2, -0.5)];
        let linked = Linked { persons: vec![0, 1, 0], pairs: pairs_found };
        let mut out = vec![];
        pairs(&mut out, &ids, &linked, &mut |_| {}).unwrap();
        let expected = "record_id_l,record_id_r,probability,decision\na,b,0.888889,review\na,c,0.058824,link\n\
                        b,c,0.500000,review\nb,c,0.414214,apart\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn rows_of_many_chunks_keep_their_order() {
        let items: Vec<usize> = (0..CHUNK * CHUNKS_AT_ONCE * 2 + 7).collect();
        let mut out = vec![];
        rows(&mut out, &items, &mut |_| {}, |writer, place, item| {
            assert_eq!(place, *item);
            writer.write_record([item.to_string()])
        })
        .unwrap();
        let expected: String = items.iter().map(|item| format!("{item}\n")).collect();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn probabilities_have_six_decimals() {
        for probability in [0.0, 0.01, 0.5, 1.0 / 3.0, 0.999_999_4, 0.999_999_6, 1.0] {
            let text = String::from_utf8(decimal(probability).into()).unwrap();
            assert_eq!(text, format!("{probability:.6}"));
        }
    }
}
