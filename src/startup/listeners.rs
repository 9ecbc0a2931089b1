//! Sockets to listen on, bound before anything else so that a port below 1024 needs root only here.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::Context;
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::{ClientCertSettings, ListenAddress};
use crate::fs::{self, Folder};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// A bound socket.
#[derive(Debug)]
pub(super) enum Bound {
    Tcp(TcpListener),
    /// With the path as the operator wrote it: the kernel may know another one.
    Unix(UnixListener, PathBuf),
}

/// A bound socket, and whether its clients are asked for a certificate.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) bound: Bound,
    pub(super) asks: bool,
}

/// Binds `--acme-http-listen`.
pub(super) fn for_acme(address: SocketAddr) -> anyhow::Result<TcpListener> {
    tcp(address).with_context(|| format!("--acme-http-listen {address}: cannot listen there"))
}

/// Binds all addresses.
pub(super) fn bind(
    listen: &[ListenAddress],
    certs: Option<&ClientCertSettings>,
) -> anyhow::Result<Vec<Listening>> {
    let asking = certs.map_or(&[][..], |certs| &certs.listen);
    let main_asks = certs.is_some() && asking.is_empty();
    let main = listen.iter().map(|address| (bind_one("listen", address), main_asks));
    let asking = asking.iter().map(|address| (bind_one("client-cert-listen", address), true));
    main.chain(asking).map(|(bound, asks)| Ok(Listening { bound: bound?, asks })).collect()
}

fn bind_one(option: &str, address: &ListenAddress) -> anyhow::Result<Bound> {
    match address {
        ListenAddress::Tcp(address) => {
            let listener =
                tcp(*address).with_context(|| format!("--{option} {address}: cannot listen there"))?;
            Ok(Bound::Tcp(listener))
        }
        ListenAddress::Unix(path) => {
            let listener = unix(path)
                .with_context(|| format!("--{option} unix:{}: cannot listen there", path.display()))?;
            Ok(Bound::Unix(listener, path.clone()))
        }
    }
}

/// `[::]` means every address of both families; on a machine without IPv6 it means every IPv4 address.
fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    match open(address) {
        Err(error) if is_any_v6(address) && is_without_v6(&error) => {
            open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        result => result,
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if is_any_v6(address) {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn is_any_v6(address: SocketAddr) -> bool {
    address.is_ipv6() && address.ip().is_unspecified()
}

fn is_without_v6(error: &io::Error) -> bool {
    use nix::errno::Errno;
    [Errno::EAFNOSUPPORT, Errno::EADDRNOTAVAIL]
        .iter()
        .any(|errno| error.raw_os_error() == Some(*errno as i32))
}

/// A socket file that nobody listens on any more is replaced; anything else at that path is left alone. Done while still
/// root, so in a folder that is opened once: its owner may be somebody else.
fn unix(path: &Path) -> io::Result<UnixListener> {
    let (folder, name) = Folder::of(path)?;
    fs::remove_socket(&folder, &name, false)?;
    fs::bind(&folder, &name, 0o660, None)
}
