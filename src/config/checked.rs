//! Settings that have been checked: whoever holds a [`Settings`] need not ask again.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

pub use super::acme::{AcmeBinding, AcmeSettings};
pub use super::cert_header::CertHeader;
pub use super::hsts::HstsSettings;

/// [`Settings::unauthenticated_memory`] where nobody says otherwise: more than a thousand connections, or a hundred and more
/// heads of the largest size.
pub const DEFAULT_UNAUTHENTICATED_MEMORY: usize = 64 << 20;

/// Everything that `doorward serve` needs, valid by construction.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The engine that is guarded.
    pub engine: EngineAddress,
    /// Whether the engine has pages of its own, which browsers may show.
    pub engine_ui: bool,
    /// How connections are secured.
    pub tls: TlsMode,
    /// Whether browsers are bound to HTTPS.
    pub hsts: HstsSettings,
    /// Who may come in, and how passwords are checked.
    pub login: LoginMode,
    /// Whose client certificates are a login; `None` if nobody's.
    pub client_certs: Option<ClientCertSettings>,
    /// Where to listen.
    pub listen: Vec<ListenAddress>,
    /// Peers whose forwarded headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Networks that may reach the gateway at all; empty for everybody.
    pub allow_from: Vec<IpNet>,
    /// Names that are answered where nobody logs in, besides addresses, `localhost` and those of the certificate.
    pub server_names: Vec<String>,
    /// Groups whose people look after everybody's tokens and sessions.
    pub admin_groups: Vec<String>,
    /// How failures are counted; `None` if they are not.
    pub throttle: Option<ThrottleSettings>,
    /// Session life times.
    pub sessions: SessionLimits,
    /// Whether a browser session ends when it shows up in another network than it began in.
    pub session_bind_network: bool,
    /// How long a token made by a login lives, and the most a minted one may ask for.
    pub token_lifetime: Duration,
    /// How long a verified Basic password is remembered in memory.
    pub basic_cache: Duration,
    /// Folder for keys, certificates and the session database, mode 0700.
    pub state: PathBuf,
    /// Folder for the broker's socket.
    pub runtime: PathBuf,
    /// Where the request log goes.
    pub log: LogTarget,
    /// How the request log looks.
    pub log_format: LogFormat,
    /// Whether requests that change something are refused while the request log cannot be written.
    pub log_required: bool,
    /// Event loops; 0 is never stored here (it was replaced by the number of cores).
    pub workers: usize,
    /// How long everything goes on after SIGTERM, but that the gateway is not ready any more.
    pub drain: Duration,
    /// Most memory of all connections that have not authenticated, in bytes.
    pub unauthenticated_memory: usize,
    /// How long open requests may go on after SIGTERM.
    pub grace: Duration,
    /// User that the gateway runs as when started as root.
    pub user: String,
}

/// Where the engine listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EngineAddress {
    /// `http://host:port`, as `host:port`.
    Http(String),
    /// `https://host:port`.
    Https {
        /// `host:port`.
        authority: String,
        /// Name to verify the engine's certificate against.
        server_name: String,
        /// CA bundle; the system's when absent.
        ca: Option<PathBuf>,
        /// Client certificate chain and key (PEM) that prove the gateway to the engine.
        identity: Option<(PathBuf, PathBuf)>,
    },
    /// `unix:///path`.
    Unix(PathBuf),
}

/// How the gateway's own listeners are secured.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TlsMode {
    /// `--acme DOMAINS`: a certificate that an ACME server gives and renews.
    Acme(Box<AcmeSettings>),
    /// `--assume-secure`: an external terminator speaks TLS.
    AssumeSecure,
    /// `--autocert NAMES`: a self-signed certificate kept in the state folder.
    Autocert(Vec<String>),
    /// `--certfile FILE` or `.`: chain and key in one PEM file.
    Certfile(PathBuf),
    /// Plain HTTP without login (`--no-login` only).
    Plain,
}

/// Who may come in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LoginMode {
    /// `--no-login`: everybody, said out loud.
    NoLogin,
    /// `--use-login` with PAM.
    Pam(PamSettings),
    /// `--use-login --users FILE`.
    Users(PathBuf),
    /// `--client-ca` alone: a certificate, and nothing else.
    Certificates,
}

/// Login by client certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientCertSettings {
    /// The CAs; not empty.
    pub authorities: Vec<ClientCa>,
    /// Whether a handshake without a good certificate is refused.
    pub required: bool,
    /// With [`TlsMode::AssumeSecure`]: the header that a trusted proxy passes certificates on in.
    pub header: Option<CertHeader>,
    /// Addresses that ask for a certificate; if there are any, those of [`Settings::listen`] do not.
    pub listen: Vec<ListenAddress>,
    /// How browsers reach them: `https://HOST[:PORT]`.
    pub url: Option<String>,
    /// Most intermediate CAs in a chain.
    pub depth: usize,
    /// What in a certificate is the user's name.
    pub user_field: CertField,
    /// The mapping file.
    pub map: Option<PathBuf>,
    /// Files of revocation lists.
    pub crls: Vec<PathBuf>,
    /// Whether a revocation list that is over still counts as one.
    pub accept_expired_crl: bool,
}

impl ClientCertSettings {
    /// Most intermediate CAs in a chain, unless the settings say otherwise.
    pub const DEFAULT_DEPTH: usize = 3;

    /// What holds where nothing but the CAs is set.
    #[must_use]
    pub const fn of(authorities: Vec<ClientCa>) -> Self {
        Self {
            authorities,
            required: false,
            header: None,
            listen: Vec::new(),
            url: None,
            depth: Self::DEFAULT_DEPTH,
            user_field: CertField::CommonName,
            map: None,
            crls: Vec::new(),
            accept_expired_crl: false,
        }
    }
}

/// One CA, or a file of several.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ClientCa {
    /// A PEM bundle: self-signed or not, each certificate in it is trusted.
    File(PathBuf),
    /// What `doorward ca` made under the state folder.
    Own,
}

/// The field of a client certificate that names its user.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CertField {
    /// The subject's common name.
    CommonName,
    /// `dNSName` (RFC 5280 section 4.2.1.6).
    Dns,
    /// `rfc822Name`.
    Email,
    /// Microsoft's user principal name, an `otherName`.
    Upn,
    /// `uniformResourceIdentifier`.
    Uri,
}

/// How the PAM broker is reached and bounded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PamSettings {
    /// File under `/etc/pam.d`.
    pub service: String,
    /// File under `/etc/pam.d` whose account stage is asked about people who have logged in; may be the same.
    pub account_service: String,
    /// A person's account is asked about at least this often while they have anything open; zero is never.
    pub account_recheck: Duration,
    /// Most transactions at once.
    pub max_logins: usize,
    /// Longest that PAM modules may run between two prompts.
    pub compute_deadline: Duration,
    /// Longest wait for one answer.
    pub prompt_deadline: Duration,
    /// Longest whole conversation.
    pub login_deadline: Duration,
    /// Least time that a refusal takes.
    pub failure_delay: Duration,
    /// Whether what modules say before the first question is shown.
    pub greeting: bool,
    /// Whether a service may let people in who proved nothing.
    pub allow_without_proof: bool,
    /// Whether modules of this service may run for one login at a time only.
    pub serialize: bool,
    /// Broker socket of a broker that runs on its own (systemd); `None` lets `serve` start one.
    pub socket: Option<PathBuf>,
}

/// How failed logins are counted, and what too many cost.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ThrottleSettings {
    /// For one address, or one /64 of IPv6.
    pub address: Rate,
    /// For one user name, and for one known device.
    pub user: Rate,
    /// The first ban; each further one in a row is twice as long.
    pub ban: Duration,
    /// The longest ban.
    pub ban_max: Duration,
    /// Addresses that are not counted.
    pub exempt: Vec<IpNet>,
}

/// So many failures at once, given back evenly over a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// How many; not zero.
    pub failures: u32,
    /// Over which time they are given back; not zero.
    pub per: Duration,
}

/// One address to listen on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ListenAddress {
    /// `ADDR:PORT`.
    Tcp(SocketAddr),
    /// `unix:PATH`.
    Unix(PathBuf),
}

/// How long a browser session lives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SessionLimits {
    /// Without a request.
    pub idle: Duration,
    /// In whole.
    pub absolute: Duration,
}

/// Where the request log goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LogTarget {
    /// Appended to a file, mode 0640, reopened on SIGHUP.
    File(PathBuf),
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people at a terminal.
    Text,
}
