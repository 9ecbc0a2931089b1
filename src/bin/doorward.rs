//! The gateway and its command line. See [`doorward::cli`].

fn main() -> std::process::ExitCode {
    doorward::cli::main()
}
