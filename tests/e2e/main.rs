//! The end-to-end suite: a real Docker Engine, the stock docker clients, a browser and the container image.
//!
//! Every scenario of the command line runs three ways and must look the same in each: on the engine's own socket,
//! through the gateway over TLS with a token, and through the gateway's plain port as a TLS terminator would use it.
//! What is needed and what can be set stands in README.md beside this file.

mod browser;
mod build;
mod bulk;
mod container;
mod denials;
mod exec;
mod libraries;
mod life_cycle;
mod run;
mod streams;
#[cfg(test)]
mod support;
mod swarm;
mod transfers;
mod tunnels;
