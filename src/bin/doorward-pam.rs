//! The PAM broker: the only binary that links libpam. See `src/pam/worker/`.

#[path = "../pam/worker/mod.rs"]
mod worker;

fn main() -> std::process::ExitCode {
    worker::main()
}
