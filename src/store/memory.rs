//! Keeps everything in this process; for tests and for `--store memory`.
/// Placeholder.
pub struct MemoryStore;
