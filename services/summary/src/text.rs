//! Texts: made safe to write, and made comparable.

use unicode_normalization::UnicodeNormalization;

use crate::NAME_CHARS_MAX;

/// True for what XML 1.0 can hold (section 2.2); narrative is XHTML, and FHIR texts allow no more.
fn is_written(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r')
        || (c >= ' ' && !matches!(c, '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}'))
}

/// Returns a text without characters that cannot be written and without space around it; `None` when nothing is left.
pub(crate) fn clean(text: &str) -> Option<String> {
    let kept: String = text.chars().filter(|c| is_written(*c)).collect();
    let kept = kept.trim();
    (!kept.is_empty()).then(|| kept.to_owned())
}

/// Like [`clean`], with each run of white space as one space: for names, codes and cells. It has a limit.
pub(crate) fn line(text: &str) -> Option<String> {
    limited(text, NAME_CHARS_MAX)
}

/// Like [`line`], with a limit of its own: many entries may refer to one text.
pub(crate) fn limited(text: &str, chars_max: usize) -> Option<String> {
    let mut kept = String::new();
    let mut count = 0;
    for word in text.split_whitespace() {
        let word: String = word.chars().filter(|c| is_written(*c)).take(chars_max + 1).collect();
        if word.is_empty() {
            continue;
        }
        count += word.chars().count() + 1;
        if count > chars_max {
            kept.push_str(if kept.is_empty() { "[...]" } else { " [...]" });
            break;
        }
        if !kept.is_empty() {
            kept.push(' ');
        }
        kept.push_str(&word);
    }
    (!kept.is_empty()).then_some(kept)
}

/// Returns a text by which two that say the same are equal: compatible characters, no case, single spaces.
pub(crate) fn comparable(text: &str) -> String {
    let folded = text.nfkc().collect::<String>().to_lowercase();
    folded.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// True when a text says what another one says, and perhaps more.
pub(crate) fn contains(text: &str, other: &str) -> bool {
    comparable(text).contains(&comparable(other))
}

/// True for a URI that FHIR can hold: no white space.
pub(crate) fn is_uri(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| !c.is_whitespace() && is_written(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_goes() {
        assert_eq!(clean(" a\u{0}b\u{ffff}\n ").as_deref(), Some("ab"));
        assert_eq!(clean("\u{1}\u{2} "), None);
        assert_eq!(line(" two \n\t words ").as_deref(), Some("two words"));
        let long = line(&"word ".repeat(NAME_CHARS_MAX)).unwrap();
        assert!(long.len() <= NAME_CHARS_MAX + 6 && long.ends_with("word [...]"));
    }

    #[test]
    fn comparing_ignores_case_width_and_space() {
        assert_eq!(comparable("Penicillin  G"), comparable("ｐenicillin g "));
        assert_ne!(comparable("Penicillin G"), comparable("Penicillin V"));
    }
}
