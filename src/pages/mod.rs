//! Doorward's own pages.

pub mod assets;
pub mod views;
