//! The one integration binary: each module drives real parts of the gateway on loopback.

mod acme;
mod broker;
mod ca;
mod doctor;
mod gateway;
mod house;
mod login;
mod manual;
mod planted;
mod settings;
mod slow_peers;
mod stores;
#[cfg(test)]
#[path = "../corpus/targets.rs"]
mod targets;
mod tls_files;
mod trust;
mod tunnel;
