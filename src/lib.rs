//! Doorward: a login gateway in front of an engine's HTTP API that has no login of its own.
//!
//! ```text
//! network ─TLS─► listener ─Connection─► identity ─Identity─► policy ─Permit─► proxy ─► engine
//!                                         ▲ reads                │ one line each
//!                               sessions, tokens                 ▼
//!                                         ▲ writes             audit
//!                         pages + API (login, account) ─frames─► PAM worker (other process, no network)
//! ```
//!
//! A request flows one way and the types say so: only [`policy`] builds a `Permit`, and [`proxy`] takes it by value.

pub mod acme;
pub mod audit;
pub mod ca;
pub mod cli;
pub mod client;
pub mod config;
pub mod doctor;
pub mod domain;
pub mod fs;
pub mod gateway;
pub mod identity;
pub mod listener;
pub mod pages;
pub mod pam;
pub mod policy;
pub mod proxy;
pub mod session;
pub mod startup;
pub mod store;
pub mod streams;
pub mod throttle;
pub mod token;
pub mod trust;
pub mod tunnel;
pub mod users;
