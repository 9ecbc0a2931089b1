//! The end-to-end suite: a real Docker Engine, the stock docker clients, a browser and the container image.
//!
//! Every scenario of the command line runs five ways and must look the same in each: on the engine's own socket, through
//! the gateway over TLS with a token, through its plain port as a TLS terminator would use it, and by client certificate
//! with the gateway in dockerd's place.
//! What is needed and what can be set stands in README.md beside this file.

// `cfg(test)` is always true here: it tells clippy that helpers too may panic, which is how a test fails.
#[cfg(test)]
mod accounts;
#[cfg(test)]
mod acme;
#[cfg(test)]
mod behind;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod build;
#[cfg(test)]
mod bulk;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod container;
#[cfg(test)]
mod conversation;
#[cfg(test)]
#[path = "../corpus/targets.rs"]
mod corpus;
#[cfg(test)]
mod denials;
#[cfg(test)]
mod directories;
#[cfg(test)]
mod exec;
#[cfg(test)]
mod libraries;
#[cfg(test)]
mod life_cycle;
#[cfg(test)]
mod login;
#[cfg(test)]
mod podman;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod run;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod support;
#[cfg(test)]
mod swarm;
#[cfg(test)]
mod targets;
#[cfg(test)]
mod terminators;
#[cfg(test)]
mod tls_scan;
#[cfg(test)]
mod transfers;
#[cfg(test)]
mod tunnels;
