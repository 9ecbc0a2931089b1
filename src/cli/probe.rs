//! Looks at what the settings point to. Reads only.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, User, eaccess, geteuid};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::acme::{AcmeError, Prepared};
use crate::config::{EngineAddress, LogTarget, LoginMode, PamSettings, Problem, Settings, TlsMode};
use crate::domain::Clock;
use crate::fs::{read_believed, read_secret};
use crate::listener::tls::TlsMaterial;
use crate::pam::stack::places_without_proof;
use crate::store::StateFolder;
use crate::trust::ClientTrust;
use crate::users::{UserFile, UsersError};

/// Where libpam looks for a service's file (pam.d(5)), in this order.
const PAM_FOLDERS: [&str; 3] = ["/etc/pam.d", "/usr/lib/pam.d", "/usr/share/pam.d"];
const CONNECT: Duration = Duration::from_secs(5);

/// What would keep the gateway from starting.
pub(super) fn before_start(settings: &Settings, clock: &Clock) -> Vec<Problem> {
    let mut problems = Vec::new();
    problems.extend(tls(settings, clock));
    problems.extend(acme_files(&settings.tls));
    problems.extend(login(settings));
    problems.extend(certificates(settings));
    problems.extend(account_service(settings));
    problems.extend(engine_files(&settings.engine));
    problems.extend(folder("state", &settings.state));
    problems.extend(state_folder(settings));
    problems.extend(folder("runtime-dir", &settings.runtime));
    if let LogTarget::File(file) = &settings.log {
        problems.extend(log_file(file));
    }
    problems.extend(user(settings));
    problems
}

/// What may come later than the gateway itself: the engine, and a PAM broker that runs on its own.
pub(super) fn neighbours(settings: &Settings) -> Vec<Problem> {
    let engine = match &settings.engine {
        EngineAddress::Unix(path) => {
            unix_socket("engine", path, "is the engine running, and is its socket mounted here?")
        }
        EngineAddress::Http(authority) | EngineAddress::Https { authority, .. } => tcp("engine", authority),
    };
    let broker = match &settings.login {
        LoginMode::Pam(pam) => pam.socket.as_ref(),
        LoginMode::Certificates | LoginMode::NoLogin | LoginMode::Users(_) => None,
    };
    let broker = broker.and_then(|path| unix_socket("pam-socket", path, "is doorward-pam running?"));
    engine.into_iter().chain(broker).collect()
}

fn tls(settings: &Settings, clock: &Clock) -> Option<Problem> {
    let option = match settings.tls {
        TlsMode::Acme(_) => "acme",
        TlsMode::Autocert(_) => "autocert",
        _ => "certfile",
    };
    let error = TlsMaterial::inspect(&settings.tls, &settings.state, clock).err()?;
    Some(Problem::new(option, format!("{:#}", anyhow::Error::new(error))))
}

/// The files that `--acme` names. Whether the server answers is found out by the running gateway.
fn acme_files(mode: &TlsMode) -> Option<Problem> {
    let TlsMode::Acme(acme) = mode else { return None };
    match Prepared::read(acme, None).err()? {
        AcmeError::File { option, path, text } => {
            let option = option.trim_start_matches('-');
            Some(Problem::new(option, format!("{}: {text}", path.display())))
        }
        error => Some(Problem::new("acme", error.in_full())),
    }
}

fn login(settings: &Settings) -> Option<Problem> {
    match &settings.login {
        LoginMode::Users(path) => user_file(path),
        LoginMode::Pam(pam) if pam.socket.is_none() => {
            let found = has_service_file(&pam.service);
            let message = format!(
                "there is no /etc/pam.d/{}; write one (PAM would use the service 'other'), or use --users FILE",
                pam.service
            );
            if found { without_proof(pam) } else { Some(Problem::new("pam-service", message)) }
        }
        LoginMode::Certificates | LoginMode::NoLogin | LoginMode::Pam(_) => None,
    }
}

/// The files of the certificate door.
fn certificates(settings: &Settings) -> Option<Problem> {
    let error = ClientTrust::open(settings.client_certs.as_ref()?, &settings.state).err()?;
    Some(Problem::new(error.option(), format!("{:#}", anyhow::Error::new(error))))
}

/// What is allowed in the files of the certificate door and probably not what was meant.
pub(super) fn certificate_warnings(settings: &Settings) -> Vec<String> {
    let trust =
        settings.client_certs.as_ref().and_then(|asked| ClientTrust::open(asked, &settings.state).ok());
    trust.map(|trust| trust.warnings()).unwrap_or_default()
}

fn user_file(path: &Path) -> Option<Problem> {
    let error = UserFile::load(path).err()?;
    let is_missing =
        matches!(&error, UsersError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound);
    let path = path.display();
    let hint = if is_missing {
        format!("; make it with: doorward users --users {path} add NAME")
    } else {
        String::new()
    };
    Some(Problem::new("users", format!("{:#}{hint}", anyhow::Error::new(error))))
}

fn account_service(settings: &Settings) -> Option<Problem> {
    let LoginMode::Pam(pam) = &settings.login else { return None };
    let is_checked_here = pam.socket.is_none() && pam.account_service != pam.service;
    let message = format!(
        "there is no /etc/pam.d/{}; write one (see pam.d/doorward-account), or leave the option out",
        pam.account_service
    );
    (is_checked_here && !has_service_file(&pam.account_service))
        .then(|| Problem::new("pam-account-service", message))
}

/// The broker refuses it too; here it stands among all other problems.
fn without_proof(pam: &PamSettings) -> Option<Problem> {
    if pam.allow_without_proof {
        return None;
    }
    let folders = PAM_FOLDERS.map(PathBuf::from);
    let places = places_without_proof(&pam.service, &folders).unwrap_or_default();
    let message = format!(
        "{} lets people in who proved nothing, by {}; correct the line, or give --allow-pam-without-proof if everybody is \
         meant to get in",
        pam.service,
        places.join(" and ")
    );
    (!places.is_empty()).then(|| Problem::new("pam-service", message))
}

fn has_service_file(service: &str) -> bool {
    PAM_FOLDERS.iter().any(|folder| Path::new(folder).join(service).is_file())
}

/// The files of an `https` engine.
pub(super) fn engine_files(engine: &EngineAddress) -> Vec<Problem> {
    let EngineAddress::Https { ca, identity, .. } = engine else {
        return Vec::new();
    };
    let (certificate, key) =
        identity.as_ref().map_or((None, None), |(certificate, key)| (Some(certificate), Some(key)));
    let certificates = [("engine-ca", ca.as_ref()), ("engine-cert", certificate)];
    let certificates = certificates.into_iter().filter_map(|(option, path)| certificate_file(option, path?));
    certificates.chain(key.and_then(|path| key_file("engine-key", path))).collect()
}

fn certificate_file(option: &str, path: &Path) -> Option<Problem> {
    let wrong = match read_believed(path) {
        Ok(bytes) if CertificateDer::from_pem_slice(&bytes).is_ok() => return None,
        Ok(_) => "holds no certificate in PEM form".to_owned(),
        Err(error) => format!("cannot be used: {error}"),
    };
    Some(Problem::new(option, format!("{} {wrong}", path.display())))
}

fn key_file(option: &str, path: &Path) -> Option<Problem> {
    let wrong = match read_secret(path) {
        Ok(bytes) if PrivateKeyDer::from_pem_slice(&bytes).is_ok() => return None,
        Ok(_) => "holds no private key in PEM form (without a password)".to_owned(),
        Err(error) => format!("cannot be used: {error}"),
    };
    Some(Problem::new(option, format!("{} {wrong}", path.display())))
}

/// A folder that is missing is made at start, so the nearest one above it counts.
fn folder(option: &str, folder: &Path) -> Option<Problem> {
    let nearest = folder.ancestors().find(|path| path.exists())?;
    let wrong = if nearest.is_dir() {
        eaccess(nearest, AccessFlags::W_OK | AccessFlags::X_OK).err()?.desc()
    } else {
        "it is not a folder"
    };
    let message = format!("cannot keep files in {}: {}: {wrong}", folder.display(), nearest.display());
    Some(Problem::new(option, message))
}

/// A state folder that others can write or exchange, or that holds what must not be given to the gateway's user.
fn state_folder(settings: &Settings) -> Option<Problem> {
    let own = geteuid();
    let user = if own.is_root() { User::from_name(&settings.user).ok()??.uid } else { own }.as_raw();
    let error = StateFolder::check(&settings.state, user).err()?;
    Some(Problem::new("state", format!("{:#}", anyhow::Error::new(error))))
}

fn log_file(file: &Path) -> Option<Problem> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (target, flags) = if file.exists() { (file, AccessFlags::W_OK) } else { (parent, AccessFlags::W_OK) };
    let error = eaccess(target, flags).err()?;
    Some(Problem::new(
        "log",
        format!("cannot write {}: {}: {}", file.display(), target.display(), error.desc()),
    ))
}

/// Only root changes to another user.
fn user(settings: &Settings) -> Option<Problem> {
    if !geteuid().is_root() {
        return None;
    }
    let name = &settings.user;
    let message = match User::from_name(name) {
        Ok(Some(user)) if user.uid.is_root() => {
            format!("'{name}' is root under another name; write another user")
        }
        Ok(Some(_)) => return None,
        Ok(None) => format!("there is no user '{name}'; create it (useradd --system {name}) or name another"),
        Err(error) => format!("cannot look up '{name}': {}", error.desc()),
    };
    Some(Problem::new("user", message))
}

fn unix_socket(option: &str, path: &PathBuf, hint: &str) -> Option<Problem> {
    let error = UnixStream::connect(path).err()?;
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "this user must be in the group that owns the socket",
        _ => hint,
    };
    Some(Problem::new(option, format!("cannot connect to {}: {error}; {hint}", path.display())))
}

fn tcp(option: &str, authority: &str) -> Option<Problem> {
    let connect = || {
        let mut last = io::Error::other("the name has no address");
        for address in authority.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(_) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    let error = connect().err()?;
    Some(Problem::new(option, format!("cannot connect to {authority}: {error}; is the engine running?")))
}
