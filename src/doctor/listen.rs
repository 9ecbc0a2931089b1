//! The addresses to listen on: free, or held by this very gateway?

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use http::HeaderMap;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UnixStream;

use super::finding::Finding;
use super::http as client;
use super::identity::{ENTER, Identity, WRITE};
use super::public::{self, PublicUrl};
use crate::config::ListenAddress;

const CONNECT: Duration = Duration::from_secs(2);

/// Checks each address. The gateway's user matters for sockets of files only: ports are bound before root is left.
pub(super) async fn examine(
    addresses: &[ListenAddress],
    speaks_tls: bool,
    gateway: &Identity,
    by_launcher: bool,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for address in addresses {
        findings.push(match address {
            ListenAddress::Tcp(address) => tcp(*address, speaks_tls).await,
            ListenAddress::Unix(path) => unix(path, speaks_tls, gateway, by_launcher).await,
        });
    }
    findings
}

async fn tcp(address: SocketAddr, speaks_tls: bool) -> Finding {
    let id = "listen.address";
    match bind(address) {
        Ok(()) => Finding::ok(id, format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if is_gateway_at(address, speaks_tls).await {
                return Finding::ok(id, format!("a Doorward gateway answers at {address}"));
            }
            let text = format!("{address} is taken by another program");
            let fix =
                format!("find it with: ss -ltnp 'sport = :{}', or give another --listen", address.port());
            Finding::problem(id, text, fix)
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let text = format!("this user may not listen on {address}");
            let fix = "take a port from 1024, or give the unit AmbientCapabilities=CAP_NET_BIND_SERVICE \
                       (with CapabilityBoundingSet= the same)";
            Finding::problem(id, text, fix)
        }
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            let text = format!("this host has no address {}", address.ip());
            Finding::problem(
                id,
                text,
                "give an address of this host (ip address), or none for all: --listen :8100",
            )
        }
        Err(error) => {
            Finding::problem(id, format!("cannot listen on {address}: {error}"), "give another --listen")
        }
    }
}

/// As the gateway binds, but without listening: nobody can be caught by it, and the gateway may bind beside it.
fn bind(address: SocketAddr) -> io::Result<()> {
    let is_any_v6 = address.is_ipv6() && address.ip().is_unspecified();
    let bound =
        Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).and_then(|socket| {
            socket.set_reuse_address(true)?;
            if is_any_v6 {
                socket.set_only_v6(false)?;
            }
            socket.bind(&address.into())
        });
    match bound {
        // A host without IPv6: the gateway takes IPv4 then.
        Err(error) if is_any_v6 && error.raw_os_error() == Some(nix::errno::Errno::EAFNOSUPPORT as i32) => {
            bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        other => other,
    }
}

/// Asked as the settings say that it speaks: the other way would be a line in its log.
async fn is_gateway_at(address: SocketAddr, speaks_tls: bool) -> bool {
    let (v4, v6) = (IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST));
    let near = match address.ip() {
        ip if !ip.is_unspecified() => vec![ip],
        ip if ip.is_ipv4() => vec![v4],
        // Where there is no IPv6, the gateway took every IPv4 address instead.
        _ => vec![v6, v4],
    };
    for ip in near {
        let scheme = if speaks_tls { "https" } else { "http" };
        let url = PublicUrl::parse(&format!("{scheme}://{}", SocketAddr::new(ip, address.port())));
        if let Ok(url) = url
            && let Ok(connection) = public::connect(&url).await
        {
            return is_alive(connection.stream, url.authority()).await;
        }
    }
    false
}

async fn is_alive<S>(stream: S, host: &str) -> bool
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let answer = client::get(stream, host, "/_doorward/healthz", HeaderMap::new()).await;
    answer.is_ok_and(|answer| answer.status == 200)
}

async fn unix(path: &Path, speaks_tls: bool, gateway: &Identity, by_launcher: bool) -> Finding {
    let (id, name) = ("listen.address", path.display());
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            let text = format!("{name} is there and is not a socket");
            return Finding::problem(id, text, "remove it, or give another --listen");
        }
        if let Ok(Ok(stream)) = tokio::time::timeout(CONNECT, UnixStream::connect(path)).await {
            // Over TLS it is not asked; that something takes connections there is worth a word all the same.
            if speaks_tls || is_alive(stream, "localhost").await {
                return Finding::ok(id, format!("something answers at {name}, most likely this gateway"));
            }
            let text = format!("another program listens at {name}");
            return Finding::problem(id, text, "stop it, or give another --listen");
        }
    }
    let parent = path.parent().unwrap_or(Path::new("/"));
    // The gateway binds as whoever started it, before it leaves root.
    let reached = if by_launcher { Ok(()) } else { gateway.reaches(parent, WRITE | ENTER) };
    match reached {
        _ if !parent.is_dir() => {
            let text = format!("there is no folder {} for the socket", parent.display());
            Finding::problem(id, text, format!("mkdir {}", parent.display()))
        }
        Ok(()) => Finding::ok(id, format!("{name} is free")),
        Err(blocked) => {
            let text = format!("{} cannot make a socket in {}: {blocked}", gateway.what, parent.display());
            Finding::problem(id, text, "give another --listen, or let this user write in the folder")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::super::finding::{Finding, Status};
    use super::super::identity::Identity;
    use super::examine;
    use crate::config::ListenAddress;

    fn says(address: ListenAddress) -> Finding {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let own = Identity::of_this_process().unwrap();
        runtime.block_on(examine(&[address], false, &own, false)).remove(0)
    }

    /// Accepts and hangs up, so that nobody waits for an answer.
    fn hang_up(listener: TcpListener) {
        std::thread::spawn(move || listener.incoming().for_each(drop));
    }

    #[test]
    fn a_port_that_another_program_holds_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        hang_up(listener);
        let found = says(ListenAddress::Tcp(address));
        assert_eq!(found.status, Status::Problem);
        assert!(
            found.text.contains("taken by another program") && found.fix.unwrap().contains("ss -ltnp"),
            "{}",
            found.text
        );
    }

    #[test]
    fn an_address_that_is_not_this_hosts_is_found() {
        let found = says(ListenAddress::Tcp("192.0.2.1:8100".parse().unwrap()));
        assert!(
            found.status == Status::Problem && found.text.contains("has no address 192.0.2.1"),
            "{}",
            found.text
        );
        assert_eq!(says(ListenAddress::Tcp("127.0.0.1:0".parse().unwrap())).status, Status::Ok);
    }

    #[test]
    fn sockets_are_free_taken_or_impossible() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| ListenAddress::Unix(folder.path().join(name));
        assert_eq!(says(at("new")).status, Status::Ok);
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(says(at("file")).text.contains("is not a socket"));
        assert!(says(at("absent/new")).text.contains("no folder"));
        let listener = UnixListener::bind(folder.path().join("taken")).unwrap();
        std::thread::spawn(move || listener.incoming().for_each(drop));
        assert!(says(at("taken")).text.contains("another program listens"));
    }
}
