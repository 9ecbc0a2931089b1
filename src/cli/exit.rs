//! Exit codes; the same table stands in `docs/exit-codes.md`.

/// All went well.
pub(super) const OK: u8 = 0;
/// Something failed while running; for `healthcheck`: no gateway answers.
pub(super) const FAILURE: u8 = 1;
/// The command line could not be understood; what clap gives.
pub(super) const USAGE: u8 = 2;
/// `healthcheck`: the gateway answers, and is not ready.
pub(super) const NOT_READY: u8 = 3;
/// `doctor`: something has to be put right, or the login was not let in.
pub(super) const PROBLEMS: u8 = 4;
/// Nobody is logged in, the login has ended, or it was refused.
pub(super) const LOGIN: u8 = 5;
/// The server is not the one that was logged in to, or has not proven who it is.
pub(super) const IDENTITY: u8 = 6;
/// The settings are wrong; `EX_CONFIG` of sysexits.h, which `RestartPreventExitStatus=` of systemd can name.
pub(super) const CONFIG: u8 = 78;

pub(super) const HELP: &str = "\
Exit codes:
   0  all went well
   1  something failed while running (healthcheck: no gateway answers)
   2  the command line could not be understood
   3  healthcheck: the gateway answers and is not ready
   4  doctor: there are problems, or the login was not let in
   5  not logged in, the login has ended, or it was refused
   6  the gateway is not the one that was logged in to, or has not proven who it is
  78  the settings are wrong; all problems were listed, nothing was started

Every setting may also stand in doorward.toml or in a DOORWARD_* variable. The command line counts
before the environment, and that before the file; an option on the command line and in the file is
an error.";

#[cfg(test)]
mod tests {
    #[test]
    fn the_document_lists_the_same_codes() {
        let document = include_str!("../../docs/exit-codes.md");
        use super::{CONFIG, FAILURE, IDENTITY, LOGIN, NOT_READY, OK, PROBLEMS, USAGE};
        for code in [OK, FAILURE, USAGE, NOT_READY, PROBLEMS, LOGIN, IDENTITY, CONFIG] {
            assert!(document.contains(&format!("| {code} |")), "{code}");
            assert!(super::HELP.contains(&format!("{code:>4}  ")), "{code}");
        }
    }
}
