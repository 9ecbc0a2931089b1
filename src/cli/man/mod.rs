//! `doorward man`: manual pages, made of what `--help` is made of and of the sample settings file.

mod command;
mod help;
mod settings;
mod synopsis;

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_mangen::roff::{Roff, roman};
use jiff::Timestamp;

use super::failure::{Failure, Outcome, conclude};
use super::report;
use crate::domain::Clock;
use crate::fs::Folder;
use crate::pam;
use crate::store::{Place, Readers};

const EXAMPLES: &str = "\
Examples:
  doorward man ca init | man -l -
      one page, read at once
  sudo doorward man --out /usr/local/share/man
      all pages, into man1, man5 and man8 below that folder; 'make install' does this";

/// The manual that the pages belong to, in their head line.
const MANUAL: &str = "Doorward";

/// Print a manual page, or write all of them
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ManPages {
    /// The page: its name as man(1) knows it, or the words of a command [default: doorward]
    #[arg(value_name = "PAGE", conflicts_with = "out")]
    page: Vec<String>,
    /// Write all pages below this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// A page, ready to be written.
struct Page {
    name: String,
    section: u8,
    text: Vec<u8>,
}

impl ManPages {
    /// Prints or writes the pages of `commands`, the whole command line.
    pub(super) fn run(&self, commands: Command) -> u8 {
        conclude(self.act(commands))
    }

    fn act(&self, commands: Command) -> Outcome {
        let pages = pages(commands, &date())?;
        if let Some(folder) = &self.out {
            return Ok(write_all(&pages, folder)?);
        }
        let name = self.name();
        let wanted = |page: &&Page| page.name == name || page.name.strip_prefix("doorward-") == Some(&name);
        let page = pages.iter().find(wanted).ok_or_else(|| {
            let names: Vec<&str> = pages.iter().map(|page| page.name.as_str()).collect();
            Failure::Usage(format!("there is no page {name}; take one of: {}", names.join(", ")))
        })?;
        Ok(report::hand_over(&page.text)?)
    }

    /// `token create`, `token-create` and `doorward token create` are one page.
    fn name(&self) -> String {
        if self.page.is_empty() { "doorward".to_owned() } else { self.page.join("-") }
    }
}

/// All pages: one for each command, for the broker, and for the settings file.
fn pages(commands: Command, date: &str) -> io::Result<Vec<Page>> {
    let mut pages = command::pages(commands, date)?;
    pages.extend(command::pages(pam::arguments::Arguments::command(), date)?);
    pages.push(settings::page(date)?);
    Ok(pages)
}

fn write_all(pages: &[Page], folder: &Path) -> anyhow::Result<()> {
    for page in pages {
        let section = folder.join(format!("man{}", page.section));
        let file = format!("{}.{}", page.name, page.section);
        // Packages are built by root, and not only in folders of root's.
        let written = Folder::make(&section, 0o755, 0o755)
            .and_then(|folder| Place::within(folder, &file)?.put(&page.text, Readers::Everybody));
        written.with_context(|| format!("cannot write {}", section.join(&file).display()))?;
    }
    Ok(())
}

/// A page under construction. Each piece of roff begins with the same definitions; one page needs them once.
struct Pieces {
    definitions: Vec<u8>,
    text: Vec<u8>,
}

impl Pieces {
    fn new() -> io::Result<Self> {
        let mut definitions = Vec::new();
        Roff::new().to_writer(&mut definitions)?;
        Ok(Self { text: definitions.clone(), definitions })
    }

    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()> {
        let mut piece = Vec::new();
        write(&mut piece)?;
        let piece = without_idle_breaks(&piece);
        self.text.extend_from_slice(piece.strip_prefix(self.definitions.as_slice()).unwrap_or(&piece));
        Ok(())
    }

    fn add_roff(&mut self, roff: &Roff) -> io::Result<()> {
        self.add(|piece| roff.to_writer(piece))
    }

    /// Lines are not stretched: commands stand in them, and long names.
    fn left_aligned(&mut self) -> io::Result<()> {
        let mut roff = Roff::new();
        roff.control("ad", ["l"]).control("nh", []);
        self.add_roff(&roff)
    }

    fn finish(self, name: &str, section: u8) -> Page {
        Page { name: name.to_owned(), section, text: self.text }
    }
}

/// The text without line breaks beside an empty line, which is one already: clap_mangen writes both above fixed values,
/// and mandoc warns of each.
fn without_idle_breaks(text: &[u8]) -> Vec<u8> {
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let is_empty = |index: Option<usize>| {
        let line = index.and_then(|index| lines.get(index));
        line.is_some_and(|line| line.is_empty())
    };
    let mut kept = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if *line != b".br" || !(is_empty(index.checked_sub(1)) || is_empty(Some(index + 1))) {
            kept.push(*line);
        }
    }
    kept.join(&b'\n')
}

/// Paragraphs below a heading.
fn paragraphs<'a>(roff: &mut Roff, texts: impl IntoIterator<Item = &'a str>) {
    for (index, text) in texts.into_iter().enumerate() {
        if index > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(text)]);
    }
}

/// The day that stands below each page: `SOURCE_DATE_EPOCH` for packages that are built the same again
/// (<https://reproducible-builds.org/specs/source-date-epoch/>), else today.
fn date() -> String {
    let fixed = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok());
    let seconds = fixed.unwrap_or_else(|| Clock::system().now());
    Timestamp::from_second(seconds)
        .map_or_else(|_| "1970-01-01".to_owned(), |time| time.strftime("%F").to_string())
}

/// `SEE ALSO`; the names come with their section, like `doorward(1)`.
fn see_also(roff: &mut Roff, names: &[String]) {
    roff.control("SH", ["SEE ALSO"]).text([roman(names.join(", "))]);
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::pages;
    use crate::cli::Cli;

    #[test]
    fn every_command_has_a_page_that_says_how_to_use_it_and_how_it_ends() {
        let pages = pages(Cli::command(), "2026-11-24").unwrap();
        let names: Vec<&str> = pages.iter().map(|page| page.name.as_str()).collect();
        for name in ["doorward", "doorward-ca-init", "doorward-serve", "doorward-pam", "doorward.toml"] {
            assert!(names.contains(&name), "{name} in {names:?}");
        }
        for page in pages.iter().filter(|page| page.section != 5) {
            let text = String::from_utf8(page.text.clone()).unwrap();
            for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "SEE ALSO"] {
                let heading = if section.contains(' ') { format!("\"{section}\"") } else { section.into() };
                assert!(text.contains(&format!(".SH {heading}\n")), "{}: no {section}", page.name);
            }
        }
    }

    #[test]
    fn pages_are_named_once() {
        let mut names: Vec<_> = pages(Cli::command(), "2026-11-24")
            .unwrap()
            .iter()
            .map(|page| (page.section, page.name.clone()))
            .collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
