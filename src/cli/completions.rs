//! `doorward completions`: a script for the shell.

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use super::{exit, report};

const EXAMPLES: &str = "\
Examples:
  doorward completions bash > ~/.local/share/bash-completion/completions/doorward
  doorward completions zsh > ~/.zfunc/_doorward
      with fpath+=~/.zfunc before compinit in ~/.zshrc
  doorward completions fish > ~/.config/fish/completions/doorward.fish
  source <(doorward completions bash)
      in this shell only

'make install' puts the scripts of bash, zsh and fish where they are found. They know commands, options
and their fixed values; they ask no network and no file for names.";

/// Print the script that completes this command line in a shell
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints the script for `commands`, the whole command line.
    pub(super) fn run(&self, mut commands: Command) -> u8 {
        let mut script = Vec::new();
        generate(self.shell, &mut commands, "doorward", &mut script);
        match report::hand_over(&script) {
            Ok(()) => exit::OK,
            Err(error) => {
                report::complain(format_args!("error: cannot write the script: {error}"));
                exit::FAILURE
            }
        }
    }
}
