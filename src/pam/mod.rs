//! Login through PAM, which lives in another process: see `worker/` and `docs/architecture.md`.

pub mod frames;
