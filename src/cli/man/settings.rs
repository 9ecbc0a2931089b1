//! doorward.toml(5), from the commented sample that is installed.

use std::io;

use clap_mangen::roff::{Roff, bold, roman};

use super::{MANUAL, Page, Pieces, see_also};

const NAME: &str = "doorward.toml";
const SAMPLE: &str = include_str!("../../../docs/doorward.toml");

/// What a line or block of the sample is.
#[derive(Debug, Eq, PartialEq)]
enum Entry {
    /// The title of a group of settings.
    Title(String),
    /// Settings, as they would be written, and what they do.
    Settings { lines: Vec<String>, text: String },
    /// Text on its own.
    Text(String),
}

/// The page.
pub(super) fn page(date: &str) -> io::Result<Page> {
    let mut head = Roff::new();
    head.control("TH", [NAME, "5", date, concat!("doorward ", env!("CARGO_PKG_VERSION")), MANUAL]);
    let mut roff = Roff::new();
    roff.control("SH", ["NAME"]).text([roman(format!("{NAME} - settings of the Doorward gateway"))]);
    roff.control("SH", ["DESCRIPTION"]);
    let (mut has_title, mut is_first) = (false, true);
    for entry in entries(SAMPLE) {
        match entry {
            Entry::Title(title) => {
                if !std::mem::replace(&mut has_title, true) {
                    roff.control("SH", ["SETTINGS"]);
                }
                roff.control("SS", [title.as_str()]);
            }
            Entry::Settings { lines, text } => {
                for (index, line) in lines.iter().enumerate() {
                    roff.control(if index == 0 { "TP" } else { "TQ" }, []).text([bold(line)]);
                }
                roff.text([roman(text)]);
            }
            Entry::Text(text) => {
                if !std::mem::replace(&mut is_first, false) {
                    roff.control("PP", []);
                }
                roff.text([roman(text)]);
            }
        }
    }
    roff.control("SH", ["FILES"]);
    roff.control("TP", []).text([bold("/etc/doorward/doorward.toml")]);
    roff.text([roman("is read if it is there and no other file is named.")]);
    see_also(&mut roff, &["doorward-serve(8)", "doorward-check(1)", "doorward-pam(8)"].map(str::to_owned));
    let mut pieces = Pieces::new()?;
    pieces.add_roff(&head)?;
    pieces.left_aligned()?;
    pieces.add_roff(&roff)?;
    Ok(pieces.finish(NAME, 5))
}

/// A block of comments belongs to the settings that stand directly below it.
fn entries(sample: &str) -> Vec<Entry> {
    sample.split("\n\n").flat_map(block_entries).collect()
}

fn block_entries(block: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut text = Vec::new();
    let mut lines = Vec::new();
    for line in block.lines() {
        match line.strip_prefix("# ") {
            Some(title) if title.starts_with("--- ") => {
                entries.push(Entry::Title(title.trim_matches(['-', ' ']).to_owned()));
            }
            Some(words) => text.push(words.trim()),
            // An empty comment parts two paragraphs.
            None if line == "#" => {
                if !text.is_empty() {
                    entries.push(Entry::Text(std::mem::take(&mut text).join(" ")));
                }
            }
            None => lines.push(line.trim_start_matches('#').to_owned()),
        }
    }
    if !lines.is_empty() {
        entries.push(Entry::Settings { lines, text: text.join(" ") });
    } else if !text.is_empty() {
        entries.push(Entry::Text(text.join(" ")));
    }
    entries
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command};

    use super::{Entry, SAMPLE, entries, page};
    use crate::config::RawSettings;

    #[test]
    fn a_comment_belongs_to_the_settings_below_it() {
        let sample = "# First.\n#\n# Second.\n\n# --- Title ---\n\n# What it\n# does.\n#a = 1\nb = 2\n";
        let expected = [
            Entry::Text("First.".into()),
            Entry::Text("Second.".into()),
            Entry::Title("Title".into()),
            Entry::Settings { lines: vec!["a = 1".into(), "b = 2".into()], text: "What it does.".into() },
        ];
        assert_eq!(entries(sample), expected);
    }

    #[test]
    fn every_setting_is_explained_on_the_page() {
        let entries = entries(SAMPLE);
        let text = String::from_utf8(page("2026-11-24").unwrap().text).unwrap();
        let command = RawSettings::augment_args(Command::new("serve"));
        for arg in command.get_arguments().filter(|arg| arg.get_id() != "config" && !arg.is_hide_set()) {
            let key = arg.get_long().unwrap();
            let has = |entry: &&Entry| {
                matches!(entry, Entry::Settings { lines, text }
                    if text.len() > 10 && lines.iter().any(|line| line.starts_with(&format!("{key} ="))))
            };
            assert!(entries.iter().any(|entry| has(&entry)), "{key} is not explained");
            assert!(
                text.contains(&format!("\\fB{} = ", key.replace('-', "\\-"))),
                "{key} is not on the page"
            );
        }
    }
}
