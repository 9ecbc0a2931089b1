//! Settings: `raw` mirrors the command line, `doorward.toml` and `DOORWARD_*`; `checked` is valid by construction.

pub mod checked;

pub use checked::*;
