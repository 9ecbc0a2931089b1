//! The command line: one file a command. Nothing else prints.

/// Parses the command line and runs the command.
#[must_use]
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
