//! Characters that no text of a caller may have.

/// True for a control character, and for one that deceives the eye: it overrides the direction of what is around it, or is not
/// seen at all (Unicode Technical Report 36, 2.7 and 3.1).
///
/// Joiners (U+200C, U+200D) and marks of direction (U+200E, U+200F, U+061C) are fit: names in Persian, Hindi, Hebrew and
/// Arabic are written with them.
pub fn is_unfit(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{200b}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_scripts_are_fit_and_what_deceives_is_not() {
        for fit in ["Müller-O’Brien", "نیلوفر\u{200c}سادات", "क्\u{200d}ष", "שרה\u{200e}", "李", "ﬁ", "🙂"]
        {
            assert!(!fit.chars().any(is_unfit), "{fit}");
        }
        for unfit in
            ["a\0", "a\n", "\u{202e}a", "\u{2066}a", "a\u{200b}b", "\u{feff}a", "a\u{e0041}", "\u{85}"]
        {
            assert!(unfit.chars().any(is_unfit), "{unfit:?}");
        }
    }
}
