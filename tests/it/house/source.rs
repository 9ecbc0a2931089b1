//! A reader of Rust sources, good enough to tell which of our modules a file names.

use std::fs;
use std::path::{Path, PathBuf};

/// One Rust file of ours.
pub(super) struct Source {
    /// Path from the project's root.
    pub(super) name: String,
    /// As it is.
    pub(super) text: String,
    /// Without comments, literals and tests. Tests may reach anywhere for what they fake.
    pub(super) code: String,
}

impl Source {
    /// Its path under `src/`, without `.rs`.
    pub(super) fn module(&self) -> &str {
        self.name.trim_start_matches("src/").trim_end_matches(".rs")
    }

    /// The modules of ours that it names: by `crate::`, `doorward::`, or by climbing up to the root with `super::`.
    pub(super) fn imports(&self) -> Vec<String> {
        let mut found = Vec::new();
        for root in ["crate::", "doorward::"] {
            for (at, _) in self.code.match_indices(root) {
                if !self.code[..at].ends_with(is_word) {
                    found.extend(first_names(&self.code[at + root.len()..]));
                }
            }
        }
        let to_root = "super::".repeat(self.depth());
        for line in self.code.lines() {
            let path = line.strip_prefix("pub ").unwrap_or(line).strip_prefix("use ").unwrap_or_default();
            if let Some(rest) = path.strip_prefix(&to_root).filter(|_| !to_root.is_empty()) {
                found.extend(first_names(rest));
            }
        }
        found.sort();
        found.dedup();
        found
    }

    /// How many modules lie between this file and the crate's root.
    fn depth(&self) -> usize {
        let path = self.module().trim_end_matches("/mod");
        if path == "lib" || path.starts_with("bin/") { 0 } else { path.split('/').count() }
    }
}

/// Every Rust file under a folder but the tests beside the code of `src`.
pub(super) fn sources(folder: &str) -> Vec<Source> {
    let is_beside_code = |source: &Source| {
        let mut parts = source.name.trim_end_matches(".rs").split('/');
        parts.next() == Some("src") && parts.any(|part| part == "tests")
    };
    all_sources(folder).into_iter().filter(|source| !is_beside_code(source)).collect()
}

/// Every Rust file under a folder.
pub(super) fn all_sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.push(Source { name, code: without_tests(&code_only(&text)), text });
            }
        }
    }
    assert!(!found.is_empty(), "no sources under {folder}");
    found
}

pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The first names of a path or of a group of paths: `a::b` gives `a`; `{a::b, c::{d, e}}` gives `a` and `c`.
fn first_names(path: &str) -> Vec<String> {
    let Some(group) = path.strip_prefix('{') else {
        let name: String = path.chars().take_while(|c| is_word(*c)).collect();
        return vec![if name.is_empty() { "everything (*)".to_owned() } else { name }];
    };
    let mut depth = 0_usize;
    let mut item = String::new();
    let mut items = Vec::new();
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => items.push(std::mem::take(&mut item)),
            '{' => depth += 1,
            '}' => depth -= 1,
            _ if depth == 0 => item.push(c),
            _ => {}
        }
    }
    items.push(item);
    items.iter().map(|item| item.trim()).filter(|item| !item.is_empty()).flat_map(first_names).collect()
}

/// Rust text without comments and without what stands inside string and character literals; line breaks stay.
pub(super) fn code_only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = literal_or_comment(rest, &out);
        if length > 0 {
            out.extend(rest[..length].chars().filter(|c| *c == '\n'));
            rest = &rest[length..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// Length of the comment or literal that `rest` begins with, or 0. `before` tells the `r` of a raw string from the
/// last letter of a name.
fn literal_or_comment(rest: &str, before: &str) -> usize {
    let up_to =
        |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return up_to("*/", 2);
    }
    if rest.starts_with('r') && !before.ends_with(|c| is_word(c) && c != 'b') {
        let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
        if rest[1 + hashes..].starts_with('"') {
            return up_to(&format!("\"{}", "#".repeat(hashes)), 2 + hashes);
        }
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    let mut after = rest.chars().skip(1);
    // `'a'` and `'\n'` are characters, `'a` alone is a lifetime.
    if rest.starts_with('\'') && (after.next() == Some('\\') || after.next() == Some('\'')) {
        return quoted(rest, '\'');
    }
    0
}

/// Length of a literal with escapes, its quotes included.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// Cuts every item marked `#[cfg(test)]`, from the mark to its closing brace or semicolon.
fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.find([';', '{']).unwrap_or(rest.len());
        rest = &rest[end + block_length(&rest[end..])..];
    }
    out + rest
}

/// Length of the block that `rest` begins with; 1 for a semicolon, 0 at the end of the text.
fn block_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in rest.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + c.len_utf8();
        }
    }
    rest.len()
}

mod reading {
    //! The reader itself: a checker that sees nothing would pass everything.

    use super::{Source, code_only, first_names, without_tests};

    fn imports(name: &str, text: &str) -> Vec<String> {
        let code = without_tests(&code_only(text));
        Source { name: name.to_owned(), text: text.to_owned(), code }.imports()
    }

    #[test]
    fn groups_and_single_paths_give_their_first_names() {
        assert_eq!(first_names("a::b::C;"), ["a"]);
        assert_eq!(first_names("{a::{b, c}, d, e::f as g};"), ["a", "d", "e"]);
        assert_eq!(first_names("*;"), ["everything (*)"]);
    }

    #[test]
    fn paths_in_code_count_and_paths_in_comments_strings_and_tests_do_not() {
        let text = r##"
            // use crate::proxy::x;
            /// See [`crate::proxy`].
            use crate::domain::{Door, Username};
            fn a<'a>(c: char) -> crate::store::KeyHash { let s = "crate::audit"; let t = r#"crate::"audit"#; c == '"' }
            fn b() { doorward::token::mint() }
            fn c() { my_crate::users::x(); }
            #[cfg(test)]
            mod tests { use crate::startup::x; fn y() { { } } }
            use crate::config;
        "##;
        assert_eq!(imports("src/session/mod.rs", text), ["config", "domain", "store", "token"]);
    }

    #[test]
    fn climbing_up_to_the_root_counts_as_an_import() {
        assert_eq!(imports("src/session/mod.rs", "use super::proxy::x;"), ["proxy"]);
        assert_eq!(imports("src/session/rules.rs", "use super::proxy::x;"), [""; 0]);
        assert_eq!(imports("src/session/rules.rs", "pub use super::super::proxy;"), ["proxy"]);
    }
}
