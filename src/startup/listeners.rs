//! Sockets to listen on, bound before anything else so that a port below 1024 needs root only here.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use anyhow::Context;
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::{ClientCertSettings, ListenAddress};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// A bound socket.
#[derive(Debug)]
pub(super) enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener),
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
            Ok(Bound::Unix(listener))
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

/// A socket file that nobody listens on any more is replaced; anything else at that path is left alone.
fn unix(path: &Path) -> io::Result<UnixListener> {
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something that is not a socket is there",
            ));
        }
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another program listens there"));
        }
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}
