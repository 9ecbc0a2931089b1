//! Pages of commands, from the same definitions as `--help`.

use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::help::{Codes, Help};
use super::synopsis::synopsis;
use super::{MANUAL, Page, Pieces, paragraphs, see_also};
use crate::cli::exit;

/// The pages of daemons; all others are of commands that somebody types.
const DAEMONS: [&str; 2] = ["doorward-pam", "doorward-serve"];

/// A page for the command and for each one below it.
pub(super) fn pages(command: Command, date: &str) -> io::Result<Vec<Page>> {
    // Below `help` all names would stand once more.
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    add(&command, None, date, &mut pages)?;
    Ok(pages)
}

fn add(command: &Command, parent: Option<&Command>, date: &str, pages: &mut Vec<Page>) -> io::Result<()> {
    pages.push(page(command, parent, date)?);
    visible(command).try_for_each(|below| add(below, Some(command), date, pages))
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|below| !below.is_hide_set())
}

fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn section(name: &str) -> u8 {
    if DAEMONS.contains(&name) { 8 } else { 1 }
}

/// How other pages call this one.
fn reference(command: &Command) -> String {
    let name = name(command);
    format!("{name}({})", section(name))
}

fn page(command: &Command, parent: Option<&Command>, date: &str) -> io::Result<Page> {
    let name = name(command);
    let section = section(name);
    let man = Man::new(plain_headings(command))
        .section(section.to_string())
        .date(date)
        .source(concat!("doorward ", env!("CARGO_PKG_VERSION")))
        .manual(MANUAL);
    let help = Help::parse(&command.get_after_help().map(ToString::to_string).unwrap_or_default());
    let mut pieces = Pieces::new()?;
    pieces.add(|piece| man.render_title(piece))?;
    pieces.left_aligned()?;
    pieces.add(|piece| man.render_name_section(piece))?;
    pieces.add_roff(&synopsis(command))?;
    pieces.add_roff(&description(command, &help))?;
    pieces.add(|piece| man.render_options_section(piece))?;
    pieces.add_roff(&commands(command))?;
    pieces.add_roff(&ending(command, parent, &help))?;
    Ok(pieces.finish(name, section))
}

/// Headings stand in capitals on a page; what is said in brackets behind them would be shouted.
fn plain_headings(command: &Command) -> Command {
    command.clone().mut_args(|arg| {
        match arg.get_help_heading().and_then(|heading| heading.split_once(" (")) {
            Some((plain, _)) => {
                let plain = plain.to_owned();
                arg.help_heading(plain)
            }
            None => arg,
        }
    })
}

fn description(command: &Command, help: &Help) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["DESCRIPTION"]);
    let about = command.get_long_about().or_else(|| command.get_about()).map(ToString::to_string);
    let about = about.unwrap_or_default();
    let texts = about.split("\n\n").chain(help.notes.iter().map(String::as_str));
    let sentences: Vec<String> = texts
        .map(|text| if text.ends_with(['.', ':']) { text.to_owned() } else { format!("{text}.") })
        .collect();
    paragraphs(&mut roff, sentences.iter().map(String::as_str));
    roff
}

fn commands(command: &Command) -> Roff {
    let mut roff = Roff::new();
    let mut below = visible(command).peekable();
    if below.peek().is_some() {
        roff.control("SH", ["COMMANDS"]);
    }
    for command in below {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        roff.control("TP", []).text([bold(reference(command))]).text([roman(about)]);
    }
    roff
}

fn ending(command: &Command, parent: Option<&Command>, help: &Help) -> Roff {
    let mut roff = Roff::new();
    match &help.codes {
        Codes::Unsaid => Help::parse(exit::HELP).codes.write(&mut roff),
        said => said.write(&mut roff),
    }
    help.write_examples(&mut roff);
    let mut others: Vec<String> = parent.map(reference).into_iter().collect();
    others.extend(visible(command).map(reference));
    for page in ["doorward(1)", "doorward.toml(5)", "doorward-serve(8)"] {
        if page != reference(command) && !others.iter().any(|other| other == page) {
            others.push(page.to_owned());
        }
    }
    see_also(&mut roff, &others);
    roff
}
