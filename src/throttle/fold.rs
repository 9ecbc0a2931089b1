//! One form for all spellings of a name that some directory takes for the same. Pure.
//!
//! It joins more than any one directory does. Two people who share a counter for it have ten guesses an hour together;
//! two counters for one account would double the guesses. PAM sees the name as typed.

use icu_normalizer::DecomposingNormalizerBorrowed;
use icu_normalizer::properties::CanonicalCombiningClassMapBorrowed;

use crate::domain::{Username, is_unsafe};

/// The form of a name. What cannot be a name may be long or hold anything, and is one and the same here.
///
/// - Compatibility forms are plain ones: full width, ligatures, circled letters, the long s (UAX 15; RFC 4518, by which LDAP
///   compares, wants NFKC).
/// - Case is gone, also that of letters with more than two cases or none in the other (`ß`, `ı`).
/// - Marks are gone, whether composed or not: Active Directory and some collations of databases do not tell `é` from `e`.
/// - What is invisible is gone, and one space stands for many.
/// - Dots and spaces at the end are gone, which Windows drops.
/// - `DOM\bob`, `DOM+bob` (winbind) and `bob@REALM` are `bob`.
pub(super) fn folded(name: &str) -> String {
    let Ok(name) = Username::parse(name) else { return String::new() };
    let decomposed = DecomposingNormalizerBorrowed::new_nfkd();
    let marks = CanonicalCombiningClassMapBorrowed::new();
    let is_mark = |c: &char| marks.get_u8(*c) != 0 || is_unsafe(*c);
    let plain: String = decomposed
        .normalize_iter(name.as_str().chars())
        // Down first: the capital of 'ß' is its own.
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .filter(|c| !is_mark(c))
        .flat_map(base_letters)
        .collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    person(words.join(" ").trim_end_matches(['.', ' '])).to_owned()
}

/// Letters with a stroke or of two letters, which have no decomposition but sort as these.
fn base_letters(c: char) -> impl Iterator<Item = char> {
    let letters = match c {
        'æ' => ['a', 'e'],
        'œ' => ['o', 'e'],
        'þ' => ['t', 'h'],
        'ø' => ['o', '\0'],
        'đ' | 'ð' => ['d', '\0'],
        'ħ' => ['h', '\0'],
        'ł' => ['l', '\0'],
        'ŧ' => ['t', '\0'],
        other => [other, '\0'],
    };
    letters.into_iter().filter(|c| *c != '\0')
}

/// The name without domain and realm, where there is any left.
fn person(name: &str) -> &str {
    let of_domain = name.rsplit(['\\', '+']).next().filter(|rest| !rest.is_empty()).unwrap_or(name);
    let person = of_domain.split('@').next().filter(|rest| !rest.is_empty()).unwrap_or(of_domain);
    person.trim_matches(' ').trim_end_matches(['.', ' '])
}

#[cfg(test)]
mod tests {
    use super::folded;

    #[test]
    fn i20_a8_every_spelling_that_some_directory_folds_has_one_counter() {
        for (one, others) in [
            (
                "alice",
                &["Alice", "ALICE", "aLiCe", "ａｌｉｃｅ", "Ⓐlice", "𝒂lice", "álice", "a\u{301}lice"][..],
            ),
            ("alice", &["alice.", "alice...", "alice .", "ạĺíćé", "al\u{131}ce", "ALİCE"]),
            (
                "alice",
                &[r"DOM\alice", r"dom.example\Alice", "alice@REALM", "Alice@realm.example", "DOM＼alice"],
            ),
            (
                "alice",
                &["alice＠REALM", r"DOM\alice@REALM", "DOM+alice", r"A\B\alice", "alice@a@b", "alice @x"],
            ),
            ("a b", &["A  B", "a\u{a0}b", "a\u{3000}b", "A\u{2003} B."]),
            ("sue", &["\u{17f}ue", "Sue", "SUE"]),
            ("strasse", &["straße", "STRASSE", "STRAẞE", "ſtraße"]),
            ("office", &["oﬃce", "oﬀice", "OFFICE"]),
            ("kelvin", &["\u{212a}elvin"]),
            ("σοφος", &["σοφος", "ΣΟΦΟΣ", "σοφοσ", "σοφός"]),
            ("lukasz", &["Łukasz", "łukasz"]),
            ("soren", &["Søren", "soren", "sören"]),
            ("aeon", &["Æon", "æon"]),
        ] {
            for other in others {
                assert_eq!(folded(one), folded(other), "{other:?}");
            }
        }
        assert_eq!(folded("alice"), "alice");
    }

    #[test]
    fn i20_other_people_are_others_and_nobody_is_nobody() {
        for (one, other) in [("bob", "eve"), ("bob", "bob2"), ("a b", "ab"), ("a.b", "ab"), ("bob", "воb")]
        {
            assert_ne!(folded(one), folded(other));
        }
        for name in ["@", r"DOM\", "bob@", "@bob", "+", ".x", "a.", r"\bob", "\u{301}x"] {
            assert!(!folded(name).is_empty(), "{name:?}");
        }
    }

    #[test]
    fn i20_a_folded_name_folds_to_itself() {
        // It is written down, and read back as a name.
        for name in
            ["Łukasz", r"DOM\a b@REALM", "straße", "a. .", "＠x＠", "ΐ\u{345}", "ŉx", "ǰ.", "a@.", "x\\.\\"]
        {
            assert_eq!(folded(&folded(name)), folded(name), "{name:?}");
        }
    }
}
