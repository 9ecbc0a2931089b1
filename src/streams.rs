//! Registry of live streams.
