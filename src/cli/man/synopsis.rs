//! `SYNOPSIS`: all options with what they take. The one that clap_mangen makes leaves the values out.

use clap::{Arg, ArgAction, Command};
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

/// The command on one line, as it may be typed.
pub(super) fn synopsis(command: &Command) -> Roff {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let mut line = vec![bold(name)];
    let shown = || command.get_arguments().filter(|arg| !arg.is_hide_set());
    let (options, words): (Vec<&Arg>, Vec<&Arg>) = shown().partition(|arg| !arg.is_positional());
    // What has to be there comes last, beside the words that have to.
    let (required, free): (Vec<&Arg>, Vec<&Arg>) = options.into_iter().partition(|arg| arg.is_required_set());
    for arg in free.into_iter().chain(required).chain(words) {
        line.push(roman(if arg.is_required_set() { " " } else { " [" }));
        line.extend(call(arg));
        line.push(roman(if arg.is_required_set() { "" } else { "]" }));
        if is_repeatable(arg) {
            line.push(roman("..."));
        }
    }
    if command.has_subcommands() {
        let is_needed = command.is_subcommand_required_set();
        let (before, after) = if is_needed { (" ", "") } else { (" [", "]") };
        line.extend([roman(before), italic("COMMAND"), roman(after)]);
    }
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]).text(line);
    roff
}

/// An option with its value, or a word.
fn call(arg: &Arg) -> Vec<Inline> {
    let mut call = Vec::new();
    if let Some(short) = arg.get_short() {
        call.push(bold(format!("-{short}")));
    }
    if let Some(long) = arg.get_long() {
        if !call.is_empty() {
            call.push(roman("|"));
        }
        call.push(bold(format!("--{long}")));
    }
    if arg.get_action().takes_values() {
        let names = arg.get_value_names().map(|names| names.join(" "));
        let name = names.unwrap_or_else(|| arg.get_id().as_str().to_uppercase());
        if !call.is_empty() {
            call.push(roman(" "));
        }
        call.push(italic(name));
    }
    call
}

fn is_repeatable(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append | ArgAction::Count)
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction, Command};

    use super::synopsis;

    #[test]
    fn options_come_with_their_values_and_words_with_their_names() {
        let mut command = Command::new("do")
            .disable_help_flag(true)
            .arg(Arg::new("host").long("host").short('H').value_name("HOST"))
            .arg(Arg::new("all").long("all").action(ArgAction::SetTrue))
            .arg(Arg::new("secret").long("secret").hide(true))
            .arg(Arg::new("ca").long("ca").value_name("FILE").action(ArgAction::Append))
            .arg(Arg::new("to").long("to").value_name("WHERE").required(true))
            .arg(Arg::new("url").value_name("URL").required(true))
            .arg(Arg::new("more").value_name("NAME").action(ArgAction::Append));
        command.build();
        let text = synopsis(&command).to_roff();
        let plain = text.replace("\\fB", "").replace("\\fI", "").replace("\\fR", "").replace("\\-", "-");
        assert!(
            plain.ends_with("do [-H|--host HOST] [--all] [--ca FILE]... --to WHERE URL [NAME]...\n"),
            "{plain}"
        );
    }
}
