//! The login half of the gateway as operators run it: the real program, a fake engine, real sockets, real PAM.
//!
//! Marked `cfg(test)` so that clippy's allowances for tests hold in functions that are no tests themselves.

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod administrators;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod client;
#[cfg(test)]
mod code_first;
#[cfg(test)]
mod codes;
#[cfg(test)]
mod conversations;
#[cfg(test)]
mod cookies;
#[cfg(test)]
mod devices;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod door;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod fail2ban;
#[cfg(test)]
mod forward_auth;
#[cfg(test)]
mod health;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod issued;
#[cfg(test)]
#[path = "../../e2e/support/keeper.rs"]
mod keeper;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod modules;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod origins;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod output;
#[cfg(test)]
mod page_secrets;
#[cfg(test)]
mod pam;
#[cfg(test)]
mod passwords;
#[cfg(test)]
mod people;
#[cfg(test)]
mod places;
#[cfg(test)]
mod ports;
#[cfg(test)]
mod redirects;
#[cfg(test)]
mod replays;
#[cfg(test)]
mod scopes;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod spellings;
#[cfg(test)]
mod start;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod throttle;
#[cfg(test)]
mod timing;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod tunnel;
#[cfg(test)]
mod user_file;
#[cfg(test)]
mod wire;
