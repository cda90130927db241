//! Comparing short texts: Jaro-Winkler in a machine word, single edits in packed digits, stable hashes.
//!
//! Texts are ASCII letters, digits and spaces of at most [`TEXT_MAX`] bytes, as normalisation makes them. Thresholds
//! are compared in integers, so a result never depends on how a fraction is rounded.

/// Most bytes of a text that is compared: positions are bits of a machine word.
pub const TEXT_MAX: usize = 64;

/// A text with the set of its letters, by which most texts are told apart without being read.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    /// The letters that occur, as [`letters`] has them.
    pub letters: u32,
    /// The text.
    pub bytes: &'a [u8],
}

impl Text<'_> {
    /// True when the Jaro-Winkler similarity of two texts is at least so many hundredths, which are at least 80.
    pub fn alike(self, other: Self, hundredths: u64) -> bool {
        self.may_be_alike(other) && similarity(self.bytes, other.bytes).at_least(hundredths)
    }

    /// Returns the Jaro-Winkler similarity of two texts, or none when their letters alone keep it below 0.8.
    pub fn similarity(self, other: Self) -> Similarity {
        if self.may_be_alike(other) { similarity(self.bytes, other.bytes) } else { Similarity::NONE }
    }

    /// True when one edit makes one text the other; equal ones do not count.
    pub fn one_edit(self, other: Self) -> bool {
        (self.letters ^ other.letters).count_ones() <= 2 && one_edit(self.bytes, other.bytes)
    }

    /// False when too few letters can match: only what is above 0.7 gets a prefix's bonus and can reach 0.8.
    fn may_be_alike(self, other: Self) -> bool {
        let (a, b) = (self.bytes.len().min(TEXT_MAX) as u32, other.bytes.len().min(TEXT_MAX) as u32);
        let left = a.saturating_sub((self.letters & !other.letters).count_ones());
        let right = b.saturating_sub((other.letters & !self.letters).count_ones());
        let matches = left.min(right);
        // (m/a + m/b + 1) / 3 > 0.7
        10 * matches * (a + b) > 11 * a * b
    }
}

/// Returns the set of the letters of a text, a bit for each; digits share six bits.
pub fn letters(text: &[u8]) -> u32 {
    text.iter().fold(0, |letters, byte| match byte {
        b'a'..=b'z' => letters | 1 << (byte - b'a'),
        _ => letters | 1 << (26 + byte % 6),
    })
}

/// How alike two texts are: a Jaro-Winkler similarity (Winkler 1990) kept as whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Similarity {
    numerator: u64,
    denominator: u64,
}

impl Similarity {
    /// Nothing alike.
    const NONE: Self = Self { numerator: 0, denominator: 1 };

    /// True when the similarity is at least so many hundredths.
    pub fn at_least(self, hundredths: u64) -> bool {
        100 * self.numerator >= hundredths * self.denominator
    }
}

/// Returns the Jaro-Winkler similarity of two texts; the order does not matter.
///
/// A common prefix of up to four letters counts where the plain similarity is above 0.7, as Winkler has it.
pub fn similarity(a: &[u8], b: &[u8]) -> Similarity {
    // Matching is greedy from the left, so it could depend on which text comes first.
    let (a, b) = if (a.len(), a) <= (b.len(), b) { (a, b) } else { (b, a) };
    let (a, b) = (&a[..a.len().min(TEXT_MAX)], &b[..b.len().min(TEXT_MAX)]);
    if a.is_empty() || b.is_empty() {
        return Similarity { numerator: u64::from(a.is_empty() && b.is_empty()), denominator: 1 };
    }
    let (matches, halves) = matches(a, b);
    if matches == 0 {
        return Similarity { numerator: 0, denominator: 1 };
    }
    let (long, short, m) = (b.len() as u64, a.len() as u64, matches);
    let numerator = m * m * (long + short) + (m - halves / 2) * long * short;
    let denominator = 3 * long * short * m;
    let prefix = a.iter().zip(b).take(4).take_while(|(x, y)| x == y).count() as u64;
    if 10 * numerator > 7 * denominator {
        let boosted = (10 - prefix) * numerator + prefix * denominator;
        return Similarity { numerator: boosted, denominator: 10 * denominator };
    }
    Similarity { numerator, denominator }
}

/// Returns how many letters match within the window, and how many of these stand in another order.
fn matches(a: &[u8], b: &[u8]) -> (u64, u64) {
    // Where each letter stands in `b`, one bit a position.
    let mut places = [0u64; 64];
    for (i, byte) in b.iter().enumerate() {
        places[slot(*byte)] |= 1 << i;
    }
    let reach = (b.len() / 2).saturating_sub(1);
    let (mut used, mut found) = (0u64, 0u64);
    for (i, byte) in a.iter().enumerate() {
        let from = u64::MAX << i.saturating_sub(reach).min(63);
        let to = u64::MAX >> (63 - (i + reach).min(63));
        let free = places[slot(*byte)] & from & to & !used;
        let first = free & free.wrapping_neg();
        used |= first;
        found |= u64::from(first != 0) << i;
    }
    let count = u64::from(found.count_ones());
    let mut moved = 0;
    while found != 0 {
        let (i, j) = (found.trailing_zeros() as usize, used.trailing_zeros() as usize);
        moved += u64::from(a[i] != b[j]);
        found &= found - 1;
        used &= used - 1;
    }
    (count, moved)
}

/// A place for each letter, digit and the space among 64.
fn slot(byte: u8) -> usize {
    usize::from((byte & 0x1f) | ((!byte & 0x40) >> 1))
}

/// True when one insertion, deletion, substitution or swap of neighbours makes one text the other; equal ones do not
/// count.
pub fn one_edit(a: &[u8], b: &[u8]) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if long.len() - short.len() > 1 || a == b {
        return false;
    }
    let prefix = short.iter().zip(long).take_while(|(x, y)| x == y).count();
    let (short, long) = (&short[prefix..], &long[prefix..]);
    if short.len() < long.len() {
        return short == &long[1..];
    }
    short[1..] == long[1..]
        || (short.len() > 1 && short[0] == long[1] && short[1] == long[0] && short[2..] == long[2..])
}

/// True when at most so many insertions, deletions, substitutions or swaps of neighbours make one text the other.
pub fn within_edits(a: &[u8], b: &[u8], edits: u32) -> bool {
    let prefix = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[prefix..], &b[prefix..]);
    if a.is_empty() || b.is_empty() || edits == 0 {
        return a.len().max(b.len()) <= edits as usize;
    }
    let swapped = a.len() > 1 && b.len() > 1 && a[0] == b[1] && a[1] == b[0];
    within_edits(&a[1..], &b[1..], edits - 1)
        || within_edits(&a[1..], b, edits - 1)
        || within_edits(a, &b[1..], edits - 1)
        || (swapped && within_edits(&a[2..], &b[2..], edits - 1))
}

/// Returns how many substitutions and swaps of neighbours separate two numbers of packed decimal digits, four bits
/// each: 0, 1, 2, or 3 for more.
pub fn digit_edits(a: u64, b: u64) -> u32 {
    let mut difference = a ^ b;
    let mut edits = 0;
    while difference != 0 && edits < 3 {
        let low = difference.trailing_zeros() / 4 * 4;
        let pair = |x: u64| (x >> low) & 0xff;
        let (x, y) = (pair(a), pair(b));
        let swapped = low < 60 && x >> 4 == y & 0xf && x & 0xf == y >> 4;
        difference &= !((if swapped { 0xffu64 } else { 0xf }) << low);
        edits += 1;
    }
    edits
}

/// True when two names have the same vowels in the same order, as spellings of one name do; that they sound alike says
/// nothing of vowels. "Amy" and "Amie", "Sara" and "Sarah" have, "Eric" and "Erica", "John" and "Joan" have not.
pub fn same_vowels(a: &[u8], b: &[u8]) -> bool {
    let (a, b) = (parted(a), parted(b));
    a.1 == b.1 && groups(a.0).eq(groups(b.0))
}

fn is_vowel(byte: &u8) -> bool {
    matches!(byte, b'a' | b'e' | b'i' | b'o' | b'u' | b'y')
}

/// Parts a name and the vowels at its end, of which some are one in several spellings.
fn parted(name: &[u8]) -> (&[u8], &[u8]) {
    let silent = name.strip_suffix(b"h").filter(|rest| rest.last().is_some_and(is_vowel));
    let name = silent.unwrap_or(name);
    let end = name.len() - name.iter().rev().take_while(|byte| is_vowel(byte)).count();
    let ending = match &name[end..] {
        b"i" | b"y" | b"ie" | b"ey" | b"ee" | b"ye" => b"i",
        ending => ending,
    };
    (&name[..end], ending)
}

/// Returns the vowels of a name, those that stand together in one.
fn groups(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    name.split(|byte| !is_vowel(byte)).filter(|group| !group.is_empty())
}

/// Returns a signature of the pairs of neighbouring letters, whatever the order of the words and where they part: one bit
/// of 128 for each.
pub fn signature(text: &[u8]) -> u128 {
    let words = text.split(|byte| *byte == b' ');
    let joined: Vec<u8> = text.iter().copied().filter(|byte| *byte != b' ').collect();
    let bit = |pair: &[u8]| 1u128 << (hash(pair) & 127);
    words.flat_map(|word| word.windows(2)).chain(joined.windows(2)).fold(0, |bits, pair| bits | bit(pair))
}

/// Returns a signature of 64 bits, for names of a few words.
pub fn short_signature(text: &[u8]) -> u64 {
    let signature = signature(text);
    (signature | signature >> 64) as u64
}

/// True when two signatures share at least so many hundredths of their bits (Dice).
pub fn share_at_least(a: u128, b: u128, hundredths: u32) -> bool {
    let (shared, all) = ((a & b).count_ones(), a.count_ones() + b.count_ones());
    // Texts of one letter have no pairs, and nothing to be alike in.
    shared > 0 && 200 * shared >= hundredths * all
}

/// Returns a hash that is the same on every machine and in every release (FNV-1a).
pub fn hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    // FNV leaves the high bits of short texts alike.
    mix(hash)
}

/// Spreads the bits of a number.
pub fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let number = (number ^ (number >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    number ^ (number >> 32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ordered(a: &str, b: &str) -> f64 {
        let (a, b) = if (a.len(), a) <= (b.len(), b) { (a, b) } else { (b, a) };
        strsim::jaro_winkler(a, b)
    }

    #[test]
    fn known_values() {
        let value = |a: &str, b: &str| {
            let s = similarity(a.as_bytes(), b.as_bytes());
            s.numerator as f64 / s.denominator as f64
        };
        assert!((value("martha", "marhta") - 0.9611).abs() < 1e-4);
        assert!((value("dwayne", "duane") - 0.84).abs() < 1e-4);
        assert!((value("dixon", "dicksonx") - 0.8133).abs() < 1e-4);
        assert!(similarity(b"", b"").at_least(100) && !similarity(b"", b"a").at_least(1));
    }

    #[test]
    fn edits_of_digits() {
        assert_eq!(digit_edits(0x1980_0304, 0x1980_0304), 0);
        assert_eq!(digit_edits(0x1980_0304, 0x1980_0306), 1);
        assert_eq!(digit_edits(0x1980_0304, 0x1980_3004), 1);
        assert_eq!(digit_edits(0x1980_0304, 0x1890_0314), 2);
        assert_eq!(digit_edits(0x1980_0304, 0x2071_1122), 3);
    }

    #[test]
    fn signatures_are_of_pairs_of_letters() {
        let alike = |a: &str, b: &str, hundredths| {
            share_at_least(signature(a.as_bytes()), signature(b.as_bytes()), hundredths)
        };
        assert!(alike("main street", "main street", 100));
        assert!(alike("main street", "mainstreet", 100), "wherever words part");
        assert!(alike("main street", "mian street", 60));
        assert!(!alike("main street", "oak avenue", 60));
        assert!(!alike("q", "z", 1) && !alike("", "", 1));
    }

    #[test]
    fn spellings_of_one_name_have_the_same_vowels() {
        for (a, b) in
            [("amy", "amie"), ("sara", "sarah"), ("steven", "stephen"), ("bobby", "bobbie"), ("jon", "john")]
        {
            assert!(same_vowels(a.as_bytes(), b.as_bytes()), "{a} {b}");
        }
        for (a, b) in
            [("eric", "erica"), ("john", "joan"), ("maria", "marie"), ("carl", "carol"), ("ann", "anne")]
        {
            assert!(!same_vowels(a.as_bytes(), b.as_bytes()), "{a} {b}");
        }
        assert!(same_vowels(b"", b"h") && same_vowels(b"y", b"i"));
    }

    #[test]
    fn hashes_stay_what_they_are() {
        assert_eq!(hash(b""), 2414115369415646414);
        assert_eq!(hash(b"smith"), 2597095664084844415);
        assert_ne!(mix(1), mix(2));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_compared(a in any::<Vec<u8>>(), b in any::<Vec<u8>>()) {
            prop_assert_eq!(similarity(&a, &b), similarity(&b, &a));
            prop_assert_eq!(one_edit(&a, &b), one_edit(&b, &a));
            prop_assert!(similarity(&a, &a).at_least(100) && !one_edit(&a, &a));
            prop_assert_eq!(signature(&a).count_ones() <= 128, true);
        }

        #[test]
        fn jaro_winkler_agrees_with_strsim(a in "[a-e0-2]{0,12}", b in "[a-e0-2 ]{0,64}", c in "[a-z]{0,10}", d in "[a-z]{0,10}") {
            for (a, b) in [(&a, &b), (&c, &d), (&a, &a)] {
                let (ours, theirs) = (similarity(a.as_bytes(), b.as_bytes()), ordered(a, b));
                let value = ours.numerator as f64 / ours.denominator as f64;
                // Just there, rounding decides in floating point whether a common prefix counts.
                if (strsim::jaro(a, b) - 0.7).abs() < 1e-9 {
                    continue;
                }
                prop_assert!((value - theirs).abs() < 1e-12, "{} {}", value, theirs);
                for hundredths in [80u32, 85, 92] {
                    let threshold = f64::from(hundredths) / 100.0;
                    let clear = (theirs - threshold).abs() > 1e-9;
                    prop_assert!(!clear || ours.at_least(hundredths.into()) == (theirs >= threshold));
                }
            }
        }

        #[test]
        fn letters_rule_out_only_what_is_not_alike(a in "[a-f0-3]{0,9}", b in "[a-f0-3]{0,9}") {
            let [x, y] = [&a, &b].map(|text| Text { letters: letters(text.as_bytes()), bytes: text.as_bytes() });
            prop_assert_eq!(x.alike(y, 80), !a.is_empty() && !b.is_empty() && similarity(a.as_bytes(), b.as_bytes()).at_least(80));
            prop_assert_eq!(x.one_edit(y), one_edit(a.as_bytes(), b.as_bytes()));
        }

        #[test]
        fn similarity_is_symmetric(a in "[a-d]{0,9}", b in "[a-d]{0,9}") {
            prop_assert_eq!(similarity(a.as_bytes(), b.as_bytes()), similarity(b.as_bytes(), a.as_bytes()));
        }

        #[test]
        fn one_edit_agrees_with_strsim(a in "[ab]{0,6}", b in "[ab]{0,6}") {
            prop_assert_eq!(one_edit(a.as_bytes(), b.as_bytes()), strsim::osa_distance(&a, &b) == 1);
        }

        #[test]
        fn edits_agree_with_strsim(a in "[ab]{0,6}", b in "[ab]{0,6}", edits in 0u32..4) {
            let agrees = strsim::osa_distance(&a, &b) <= edits as usize;
            prop_assert_eq!(within_edits(a.as_bytes(), b.as_bytes(), edits), agrees);
        }

        #[test]
        fn digit_edits_are_symmetric(a in any::<u64>(), b in any::<u64>()) {
            prop_assert_eq!(digit_edits(a, b) == 0, a == b);
            prop_assert_eq!(digit_edits(a, b) == 1, digit_edits(b, a) == 1);
        }
    }
}
