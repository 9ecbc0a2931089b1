//! Fixtures: the engine, the gateway, the clients, and the comparison of what a client sees on each way.

pub(crate) mod certificates;
pub(crate) mod cli;
pub(crate) mod compare;
pub(crate) mod derived;
pub(crate) mod engine;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod image;
pub(crate) mod keeper;
pub(crate) mod lone;
pub(crate) mod people;
pub(crate) mod process;
pub(crate) mod scope;
pub(crate) mod sockets;
pub(crate) mod tls;
pub(crate) mod tunnel;
pub(crate) mod ui;
pub(crate) mod wait;
