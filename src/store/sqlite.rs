//! SQLite.
/// Placeholder.
pub struct SqliteStore;
