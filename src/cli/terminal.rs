//! Questions to a person at a terminal.

use std::fs::File;
use std::io::{self, BufRead, ErrorKind, IsTerminal, Read, stderr, stdin};

use anyhow::Context;
use nix::sys::termios::{SetArg, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use zeroize::Zeroizing;

use super::report;

/// Longer is no answer: PAM takes 511 bytes.
const MOST_LINE: usize = 4096;

/// Whether somebody is there to be asked.
pub(super) fn has_person() -> bool {
    stdin().is_terminal() && stderr().is_terminal()
}

/// Asks for texts that are not shown, one after the other. Ctrl-C ends the program as if it had asked nothing: the
/// terminal shows again what is typed.
pub(super) fn ask_hidden<const N: usize>(questions: &[String; N]) -> anyhow::Result<[Zeroizing<String>; N]> {
    restore_on_signals(|| report::complain("\nnothing was changed")).context("cannot use the terminal")?;
    let mut answers = std::array::from_fn(|_| Zeroizing::new(String::new()));
    for (question, answer) in questions.iter().zip(&mut answers) {
        let typed = read_hidden(question).context("cannot read from the terminal; nothing was changed")?;
        *answer = typed.context("no password was given; nothing was changed")?;
    }
    Ok(answers)
}

/// Asks for one text that is not shown; `None` if there is none. For who called [`restore_on_signals`].
pub(super) fn read_hidden(question: &str) -> io::Result<Option<Zeroizing<String>>> {
    match rpassword::prompt_password(question) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            report::complain("");
            Ok(None)
        }
        // Ctrl-C: the thread that waits for signals ends the program, by the signal, so that a script that runs it
        // ends too.
        Err(error) if error.kind() == ErrorKind::Interrupted => loop {
            std::thread::park();
        },
        Err(error) => Err(error),
    }
}

/// One line of standard input without its end; `None` if there is none.
pub(super) fn read_line() -> io::Result<Option<Zeroizing<String>>> {
    // With room for all of it: growing would leave copies behind.
    let mut line = Zeroizing::new(String::with_capacity(MOST_LINE));
    if stdin().lock().take(MOST_LINE as u64).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let length = line.strip_suffix('\n').map_or(line.len(), |line| line.trim_end_matches('\r').len());
    line.truncate(length);
    Ok(Some(line))
}

/// A question with yes or no; anything but a clear yes is a no.
pub(super) fn confirm(question: &str) -> bool {
    report::ask(format_args!("{question} [y/N]"));
    let mut answer = String::new();
    let read = stdin().read_line(&mut answer);
    read.is_ok() && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str())
}

/// While a text is read, the terminal shows nothing and passes on every key: whoever is asked and presses Ctrl-C would
/// be left with that. From here on a signal puts the terminal back, if there is one, and does `last` before it ends the
/// program.
pub(super) fn restore_on_signals(last: impl Fn() + Send + 'static) -> io::Result<()> {
    let terminal = File::open("/dev/tty").and_then(|terminal| {
        let usual = tcgetattr(&terminal)?;
        Ok((terminal, usual))
    });
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM])?;
    std::thread::Builder::new().spawn(move || {
        for signal in &mut signals {
            if let Ok((terminal, usual)) = &terminal {
                let _ = tcsetattr(terminal, SetArg::TCSANOW, usual);
            }
            let ending = Ending(signal);
            last();
            drop(ending);
        }
    })?;
    Ok(())
}

/// Ends the program as the signal does, whatever becomes of the last words: whoever asked for the end waits for it.
struct Ending(i32);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = emulate_default_handler(self.0);
    }
}
