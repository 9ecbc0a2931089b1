//! The PAM broker. Compiled only into `doorward-pam`, the one binary that links libpam.

#[path = "../frames.rs"]
mod frames;

pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
