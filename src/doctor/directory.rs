//! Directories behind PAM modules: does their daemon answer, and does it reach what it stands for?

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket, UnixStream};
use tokio::time::timeout;

use super::finding::Finding;
use super::kerberos::{self, Kdc};
use super::paths::Paths;
use crate::pam::stack::{self, Entry, Stack, Stage};

/// Longest wait for a socket file's other side to take the connection.
const CONNECT: Duration = Duration::from_secs(2);
/// Longest wait for nslcd, which itself tries to reach its servers for up to ten seconds.
const ANSWER: Duration = Duration::from_secs(4);
/// Most KDCs asked.
const MOST_KDCS: usize = 3;

/// Checks what the modules of the stack stand for.
pub(super) async fn examine(stack: &Stack, paths: &Paths) -> Vec<Finding> {
    let entry = |module: &str| {
        let used = stack.entries.iter().filter(|entry| entry.stage != Stage::Session);
        used.clone().find(|entry| entry.name() == module)
    };
    let mut findings = Vec::new();
    if let Some(entry) = entry("pam_ldap.so") {
        findings.push(ldap(entry, paths).await);
    }
    if let Some(entry) = entry("pam_sss.so") {
        findings.push(daemon("directory.sssd", entry, &paths.sssd, "sssd").await);
    }
    if let Some(entry) = entry("pam_winbind.so") {
        let socket = paths.winbind.iter().find(|path| path.exists()).or_else(|| paths.winbind.first());
        if let Some(socket) = socket {
            findings.push(daemon("directory.winbind", entry, socket, "winbind").await);
        }
    }
    if let Some(entry) = entry("pam_krb5.so") {
        findings.extend(krb5(entry, &paths.krb5).await);
    }
    findings
}

/// `pam_ldap.so` is of two packages; only libpam-ldapd has a daemon to ask.
async fn ldap(entry: &Entry, paths: &Paths) -> Finding {
    let id = "directory.ldap";
    let (settings, socket) = &paths.nslcd;
    if !settings.exists() && !socket.exists() {
        let text = format!(
            "{} names pam_ldap.so, and its daemon nslcd is not set up ({} is missing)",
            entry.place,
            settings.display()
        );
        return Finding::problem(id, text, "apt-get install nslcd, and set uri and base in /etc/nslcd.conf");
    }
    let stream = match connect(socket).await {
        Ok(stream) => stream,
        Err(error) => return unreachable(id, entry, socket, "nslcd", &error),
    };
    match timeout(ANSWER, look_up(stream)).await {
        Ok(Ok(())) => Finding::ok(id, "nslcd answers, and it reaches its directory"),
        Ok(Err(_)) => Finding::problem(
            id,
            "nslcd answers, but it cannot reach its directory server: logins get 503",
            format!("check uri, base and tls_cacertfile in {}, and the server itself", settings.display()),
        ),
        Err(_) => Finding::problem(
            id,
            format!(
                "nslcd gave no answer within {} s: it hangs, or its directory server does",
                ANSWER.as_secs()
            ),
            format!("systemctl restart nslcd; check uri in {}", settings.display()),
        ),
    }
}

/// Asks nslcd for a user who need not exist (`nslcd.h` of nss-pam-ldapd, protocol 2: 32-bit numbers in network order).
/// It answers with a result only if the directory could be searched, and hangs up otherwise.
async fn look_up(mut stream: UnixStream) -> io::Result<()> {
    const VERSION: i32 = 2;
    const PASSWD_BY_NAME: i32 = 0x0008_0001;
    const NAME: &[u8] = b"doorward-doctor";
    let mut request = Vec::new();
    for number in [VERSION, PASSWD_BY_NAME, i32::try_from(NAME.len()).unwrap_or_default()] {
        request.extend_from_slice(&number.to_be_bytes());
    }
    request.extend_from_slice(NAME);
    stream.write_all(&request).await?;
    // Version, action, and "begin" or "end" of a result.
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.map(drop)
}

/// A daemon whose protocol is not spoken here: that it takes connections must do.
async fn daemon(id: &'static str, entry: &Entry, socket: &Path, name: &str) -> Finding {
    match connect(socket).await {
        Ok(_) => Finding::ok(id, format!("{name} takes connections on {}", socket.display())),
        Err(error) => unreachable(id, entry, socket, name, &error),
    }
}

async fn connect(socket: &Path) -> io::Result<UnixStream> {
    timeout(CONNECT, UnixStream::connect(socket))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn unreachable(id: &'static str, entry: &Entry, socket: &Path, name: &str, error: &io::Error) -> Finding {
    if error.kind() == io::ErrorKind::PermissionDenied {
        return Finding::unchecked(
            id,
            format!("{} is not open to this user; run as root to check {name}", socket.display()),
        );
    }
    let text = format!(
        "{} names {}, and its daemon {name} cannot be reached at {}: {error}",
        entry.place,
        entry.name(),
        socket.display()
    );
    Finding::problem(
        id,
        text,
        format!("start {name} (systemctl start {name}; in a container, from its entry point)"),
    )
}

async fn krb5(entry: &Entry, settings: &Path) -> Vec<Finding> {
    let (id, file) = ("directory.kerberos", settings.display());
    let text = match stack::read(settings) {
        Ok(text) => text,
        Err(error) => {
            let text = format!("{} names pam_krb5.so, and {file} cannot be read: {error}", entry.place);
            return vec![Finding::problem(
                id,
                text,
                format!("write {file} with default_realm and the realm's kdc"),
            )];
        }
    };
    let realm = entry.argument("realm").map(str::to_owned).or_else(|| kerberos::default_realm(&text));
    let Some(realm) = realm else {
        let text = format!("{file} names no default_realm, so pam_krb5 does not know whom to ask");
        return vec![Finding::problem(id, text, format!("set default_realm under [libdefaults] in {file}"))];
    };
    let kdcs = kerberos::kdcs(&text, &realm);
    if kdcs.is_empty() {
        let text = format!(
            "{file} leaves the KDCs of {realm} to DNS (or to an included file), which is not looked up here"
        );
        return vec![Finding::unchecked(id, text)];
    }
    let mut findings = Vec::new();
    for kdc in kdcs.iter().take(MOST_KDCS) {
        findings.push(match ask(kdc).await {
            Ok(how) => Finding::ok(id, format!("the KDC {kdc} of {realm} {how}")),
            Err(error) => Finding::problem(
                id,
                format!("the KDC {kdc} of {realm} cannot be reached: {error}"),
                format!("check the name and port in {file}, the firewall, and the KDC itself"),
            ),
        });
    }
    findings
}

/// KDCs listen on TCP and UDP (RFC 4120 section 7.2). An open TCP port is proof; where it is shut, UDP is tried, which only
/// tells a port that is shut too.
async fn ask(kdc: &Kdc) -> io::Result<&'static str> {
    let address = (kdc.host.as_str(), kdc.port);
    let by_tcp = timeout(CONNECT, TcpStream::connect(address)).await;
    match by_tcp.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(_) => return Ok("takes connections"),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Err(error) => return Err(error),
    }
    let target = tokio::net::lookup_host(address).await?.next().ok_or(io::ErrorKind::NotFound)?;
    let local = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(target).await?;
    socket.send(&[0]).await?;
    match timeout(CONNECT, socket.recv(&mut [0; 64])).await {
        Ok(Err(error)) => Err(error),
        Ok(Ok(_)) => Ok("answers by UDP"),
        Err(_) => Ok("refuses TCP, and its UDP port is not shut"),
    }
}

#[cfg(test)]
mod tests;
