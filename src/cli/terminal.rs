//! Questions to a person at a terminal.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, stderr, stdin};

use anyhow::Context;
use nix::sys::termios::{SetArg, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use zeroize::Zeroizing;

use super::report;

/// Whether somebody is there to be asked.
pub(super) fn has_person() -> bool {
    stdin().is_terminal() && stderr().is_terminal()
}

/// Asks for texts that are not shown, one after the other. Ctrl-C ends the program as if it had asked nothing: the
/// terminal shows again what is typed.
pub(super) fn ask_hidden<const N: usize>(questions: &[String; N]) -> anyhow::Result<[Zeroizing<String>; N]> {
    restore_on_signals().context("cannot use the terminal")?;
    let mut answers = std::array::from_fn(|_| Zeroizing::new(String::new()));
    for (question, answer) in questions.iter().zip(&mut answers) {
        *answer = match rpassword::prompt_password(question) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                report::complain("");
                anyhow::bail!("no password was given; nothing was changed")
            }
            // Ctrl-C: the thread below ends the program, by the signal, so that a script that runs it ends too.
            Err(error) if error.kind() == ErrorKind::Interrupted => loop {
                std::thread::park();
            },
            Err(error) => return Err(error).context("cannot read from the terminal; nothing was changed"),
        };
    }
    Ok(answers)
}

/// A question with yes or no; anything but a clear yes is a no.
pub(super) fn confirm(question: &str) -> bool {
    report::ask(format_args!("{question} [y/N]"));
    let mut answer = String::new();
    let read = stdin().read_line(&mut answer);
    read.is_ok() && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str())
}

/// While a text is read, the terminal shows nothing and passes on every key: whoever is asked and presses Ctrl-C would
/// be left with that. From here on a signal puts the terminal back before it ends the program.
fn restore_on_signals() -> io::Result<()> {
    let terminal = File::open("/dev/tty")?;
    let usual = tcgetattr(&terminal)?;
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM])?;
    std::thread::Builder::new().spawn(move || {
        for signal in &mut signals {
            let _ = tcsetattr(&terminal, SetArg::TCSANOW, &usual);
            report::complain("\nnothing was changed");
            let _ = emulate_default_handler(signal);
        }
    })?;
    Ok(())
}
