//! The gateway and its command line. See [`doorward::cli`].

/// Every request allocates a few dozen small things and frees them on the same thread, which mimalloc does best. The PAM
/// broker keeps the system's allocator: modules are loaded into it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    doorward::cli::main()
}
