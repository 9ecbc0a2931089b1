//! The settings as they are written: one struct is the command line, the settings file and the environment.
//!
//! Values stay texts here, whatever they mean, so that `Settings::check` can report every wrong one at once.

use std::ffi::OsString;
use std::fmt;

use clap::{ArgAction, Args};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

const ENGINE: &str = "The engine";
const TLS: &str = "Security of the connections (exactly one, unless --no-login)";
const ACME: &str = "Certificate by ACME (with --acme)";
const LOGIN: &str = "Login";
const CERTIFICATES: &str = "Login by client certificate";
const THROTTLE: &str = "Failed logins";
const PAM: &str = "PAM";
const NETWORK: &str = "Network";
const PROCESS: &str = "Process";

/// Every setting of `serve` and `check`, as it was written, or nothing.
#[derive(Args, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RawSettings {
    /// Engine to guard: unix:///PATH, http://HOST:PORT or https://HOST:PORT [default: unix:///var/run/docker.sock]
    #[arg(long, env = "DOORWARD_ENGINE", value_name = "URL", help_heading = ENGINE, hide_env_values = true)]
    pub engine: Option<Text>,
    /// CA bundle (PEM) that an https engine's certificate is verified with [default: the system's]
    #[arg(long, env = "DOORWARD_ENGINE_CA", value_name = "FILE", help_heading = ENGINE, hide_env_values = true)]
    pub engine_ca: Option<Text>,
    /// Client certificate chain (PEM) shown to an https engine; needs --engine-key
    #[arg(long, env = "DOORWARD_ENGINE_CERT", value_name = "FILE", help_heading = ENGINE, hide_env_values = true)]
    pub engine_cert: Option<Text>,
    /// Private key (PEM) of --engine-cert
    #[arg(long, env = "DOORWARD_ENGINE_KEY", value_name = "FILE", help_heading = ENGINE, hide_env_values = true)]
    pub engine_key: Option<Text>,
    /// The engine has pages of its own: let browsers show them. Without it, they show what it answers as text, or save it
    #[arg(long, env = "DOORWARD_ENGINE_UI", action = ArgAction::SetTrue, value_parser = flag,
          help_heading = ENGINE, hide_env_values = true)]
    pub engine_ui: Option<bool>,

    /// Make and keep a self-signed certificate for these names and addresses, comma separated; '*' is every one that
    /// this host has
    #[arg(long, env = "DOORWARD_AUTOCERT", value_name = "NAMES", help_heading = TLS, hide_env_values = true)]
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub autocert: Vec<Text>,
    /// Certificate chain and private key in one PEM file, in any order; '.' searches ./server.pem, then /run/secrets
    #[arg(long, env = "DOORWARD_CERTFILE", value_name = "FILE", help_heading = TLS, hide_env_values = true)]
    pub certfile: Option<Text>,
    /// Get a certificate for these domains from an ACME server, comma separated, and renew it; port 443 of each domain
    /// must lead here (or port 80, with --acme-http-listen). Giving it accepts the server's terms of service
    #[arg(long, env = "DOORWARD_ACME", value_name = "DOMAINS", help_heading = TLS, hide_env_values = true)]
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub acme: Vec<Text>,
    /// Speak plain HTTP: something in front of the gateway speaks TLS
    #[arg(long, env = "DOORWARD_ASSUME_SECURE", action = ArgAction::SetTrue, value_parser = flag,
          help_heading = TLS, hide_env_values = true)]
    pub assume_secure: Option<bool>,

    /// Tell browsers to use nothing but HTTPS for this host for this time, on whatever port; 'off' tells nobody
    /// [default: 365d with --certfile and --acme, to who comes by a name and port 443]
    #[arg(long, env = "DOORWARD_HSTS", value_name = "TIME|off", help_heading = TLS, hide_env_values = true)]
    pub hsts: Option<Text>,

    /// Directory of the ACME server, an https:// URL [default: that of Let's Encrypt]
    #[arg(long, env = "DOORWARD_ACME_DIRECTORY", value_name = "URL", help_heading = ACME, hide_env_values = true)]
    pub acme_directory: Option<Text>,
    /// Mail address that the CA may write to about the account
    #[arg(long, env = "DOORWARD_ACME_EMAIL", value_name = "ADDRESS", help_heading = ACME, hide_env_values = true)]
    pub acme_email: Option<Text>,
    /// CA bundle (PEM) that the ACME server's own certificate may be signed by, besides the system's
    #[arg(long, env = "DOORWARD_ACME_CA", value_name = "FILE", help_heading = ACME, hide_env_values = true)]
    pub acme_ca: Option<Text>,
    /// Answer HTTP-01 challenges on ADDR:PORT, :PORT or PORT, where port 80 of each domain must lead [default: off]
    #[arg(long, env = "DOORWARD_ACME_HTTP_LISTEN", value_name = "WHERE", help_heading = ACME, hide_env_values = true)]
    pub acme_http_listen: Option<Text>,
    /// Name of the key that binds the ACME account to an account at the CA, where the CA asks for one
    #[arg(long, env = "DOORWARD_ACME_EAB_KID", value_name = "NAME", help_heading = ACME, hide_env_values = true)]
    pub acme_eab_kid: Option<Text>,
    /// File with that key, as the CA gave it (base64url)
    #[arg(long, env = "DOORWARD_ACME_EAB_KEY", value_name = "FILE", help_heading = ACME, hide_env_values = true)]
    pub acme_eab_key: Option<Text>,

    /// Let in only who proved who they are
    #[arg(long, env = "DOORWARD_USE_LOGIN", action = ArgAction::SetTrue, value_parser = flag,
          help_heading = LOGIN, hide_env_values = true)]
    pub use_login: Option<bool>,
    /// Let in everybody
    #[arg(long, env = "DOORWARD_NO_LOGIN", action = ArgAction::SetTrue, value_parser = flag,
          help_heading = LOGIN, hide_env_values = true)]
    pub no_login: Option<bool>,
    /// With --no-login: yes, everybody who reaches any address of this host
    #[arg(long, env = "DOORWARD_NO_LOGIN_ON_ALL_ADDRESSES", action = ArgAction::SetTrue, value_parser = flag,
          help_heading = LOGIN, hide_env_values = true)]
    pub no_login_on_all_addresses: Option<bool>,
    /// With --no-login: answer to this name too, besides addresses, localhost and the names of the certificate; may be
    /// repeated
    #[arg(long, env = "DOORWARD_SERVER_NAME", value_name = "NAME", help_heading = LOGIN, hide_env_values = true)]
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub server_name: Vec<Text>,
    /// Check passwords with this user file instead of PAM
    #[arg(long, env = "DOORWARD_USERS", value_name = "FILE", help_heading = LOGIN, hide_env_values = true)]
    pub users: Option<Text>,
    /// End a browser session after this time without a request [default: 1h]
    #[arg(long, env = "DOORWARD_SESSION_IDLE", value_name = "TIME", help_heading = LOGIN, hide_env_values = true)]
    pub session_idle: Option<Text>,
    /// End a browser session after this time in any case [default: 12h]
    #[arg(long, env = "DOORWARD_SESSION_MAX", value_name = "TIME", help_heading = LOGIN, hide_env_values = true)]
    pub session_max: Option<Text>,
    /// End a browser session that shows up in another network (IPv4: another address, IPv6: another /64) than it began in
    #[arg(long, env = "DOORWARD_SESSION_BIND_NETWORK", action = ArgAction::SetTrue, value_parser = flag,
          help_heading = LOGIN, hide_env_values = true)]
    pub session_bind_network: Option<bool>,
    /// Life time of a token got by a login, and the longest that a minted one may ask for [default: 12h]
    #[arg(long, env = "DOORWARD_TOKEN_LIFETIME", value_name = "TIME", help_heading = LOGIN, hide_env_values = true)]
    pub token_lifetime: Option<Text>,
    /// Remember a verified Basic password in memory for this time; 0 asks PAM on every request [default: 60s]
    #[arg(long, env = "DOORWARD_BASIC_CACHE", value_name = "TIME", help_heading = LOGIN, hide_env_values = true)]
    pub basic_cache: Option<Text>,

    /// Let this group look after everybody's tokens and sessions over the API; may be repeated [default: nobody]
    #[arg(long, env = "DOORWARD_ADMIN_GROUP", value_name = "GROUP", help_heading = LOGIN, hide_env_values = true)]
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub admin_group: Vec<Text>,

    /// Let in who shows a client certificate of these CAs (PEM, one or many); 'own' is the one that 'doorward ca' made;
    /// may be repeated
    #[arg(long, env = "DOORWARD_CLIENT_CA", value_name = "FILE|own", help_heading = CERTIFICATES, hide_env_values = true)]
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub client_ca: Vec<Text>,
    /// Whether clients may come without a certificate: optional, or required (the TLS handshake ends without a good one)
    /// [default: optional]
    #[arg(long, env = "DOORWARD_CLIENT_CERT", value_name = "WHETHER", help_heading = CERTIFICATES, hide_env_values = true)]
    pub client_cert: Option<Text>,
    /// Ask for certificates on this address only, so that browsers show no certificate dialog elsewhere; may be repeated
    #[arg(long, env = "DOORWARD_CLIENT_CERT_LISTEN", value_name = "WHERE", help_heading = CERTIFICATES,
          hide_env_values = true)]
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub client_cert_listen: Vec<Text>,
    /// How browsers reach --client-cert-listen [default: https://, the host of the page, and its first port]
    #[arg(long, env = "DOORWARD_CLIENT_CERT_URL", value_name = "URL", help_heading = CERTIFICATES, hide_env_values = true)]
    pub client_cert_url: Option<Text>,
    /// Most intermediate CAs between a certificate and its CA [default: 3]
    #[arg(long, env = "DOORWARD_CLIENT_CERT_DEPTH", value_name = "N", help_heading = CERTIFICATES, hide_env_values = true)]
    pub client_cert_depth: Option<Text>,
    /// With --assume-secure: how a terminator of --trusted-proxy passes certificates on: rfc9440, nginx, haproxy, traefik,
    /// envoy or caddy
    #[arg(long, env = "DOORWARD_CLIENT_CERT_HEADER", value_name = "FORM", help_heading = CERTIFICATES,
          hide_env_values = true)]
    pub client_cert_header: Option<Text>,
    /// What in a certificate is the user's name: cn, san-email, san-dns, san-uri or upn [default: cn]
    #[arg(long, env = "DOORWARD_CERT_USER", value_name = "FIELD", help_heading = CERTIFICATES, hide_env_values = true)]
    pub cert_user: Option<Text>,
    /// File (TOML) that says for certificates who they are; those it does not name go by --cert-user
    #[arg(long, env = "DOORWARD_CERT_MAP", value_name = "FILE", help_heading = CERTIFICATES, hide_env_values = true)]
    pub cert_map: Option<Text>,
    /// Revocation lists (PEM or DER) of the CAs of --client-ca; may be repeated
    #[arg(long, env = "DOORWARD_CLIENT_CRL", value_name = "FILE", help_heading = CERTIFICATES, hide_env_values = true)]
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub client_crl: Vec<Text>,
    /// What a revocation list that is over means: refuse (nobody of its CA comes in) or accept [default: refuse]
    #[arg(long, env = "DOORWARD_CLIENT_CRL_EXPIRED", value_name = "WHAT", help_heading = CERTIFICATES,
          hide_env_values = true)]
    pub client_crl_expired: Option<Text>,

    /// Count no failed logins: neither addresses nor user names are ever banned
    #[arg(long, env = "DOORWARD_NO_THROTTLE", action = ArgAction::SetTrue, value_parser = flag,
          help_heading = THROTTLE, hide_env_values = true)]
    pub no_throttle: Option<bool>,
    /// Failures that one address (IPv6: one /64) may have before it is banned, and the time over which they are given
    /// back [default: 60/1h]
    #[arg(long, env = "DOORWARD_THROTTLE_ADDRESS", value_name = "N/TIME", help_heading = THROTTLE, hide_env_values = true)]
    pub throttle_address: Option<Text>,
    /// The same for one user name from wherever, and for one known device [default: 10/1h]
    #[arg(long, env = "DOORWARD_THROTTLE_USER", value_name = "N/TIME", help_heading = THROTTLE, hide_env_values = true)]
    pub throttle_user: Option<Text>,
    /// First ban; each further one in a row is twice as long [default: 1m]
    #[arg(long, env = "DOORWARD_THROTTLE_BAN", value_name = "TIME", help_heading = THROTTLE, hide_env_values = true)]
    pub throttle_ban: Option<Text>,
    /// Longest ban [default: 1h]
    #[arg(long, env = "DOORWARD_THROTTLE_BAN_MAX", value_name = "TIME", help_heading = THROTTLE, hide_env_values = true)]
    pub throttle_ban_max: Option<Text>,
    /// Never ban this network or address; user names tried from there still count; may be repeated
    #[arg(long, env = "DOORWARD_THROTTLE_EXEMPT", value_name = "CIDR", help_heading = THROTTLE, hide_env_values = true)]
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub throttle_exempt: Vec<Text>,

    /// PAM service, a file in /etc/pam.d [default: doorward]
    #[arg(long, env = "DOORWARD_PAM_SERVICE", value_name = "NAME", help_heading = PAM, hide_env_values = true)]
    pub pam_service: Option<Text>,
    /// PAM service whose account stage is asked about people who have logged in [default: that of --pam-service]
    #[arg(long, env = "DOORWARD_PAM_ACCOUNT_SERVICE", value_name = "NAME", help_heading = PAM, hide_env_values = true)]
    pub pam_account_service: Option<Text>,
    /// Ask PAM again after this time whether somebody with a session or token may still come in, or 'never'
    /// [default: 5m]
    #[arg(long, env = "DOORWARD_ACCOUNT_RECHECK", value_name = "TIME", help_heading = PAM, hide_env_values = true)]
    pub account_recheck: Option<Text>,
    /// Socket of a PAM broker that runs on its own; without it the gateway starts one
    #[arg(long, env = "DOORWARD_PAM_SOCKET", value_name = "PATH", help_heading = PAM, hide_env_values = true)]
    pub pam_socket: Option<Text>,
    /// Most logins at once [default: 128]
    #[arg(long, env = "DOORWARD_PAM_MAX_LOGINS", value_name = "N", help_heading = PAM, hide_env_values = true)]
    pub pam_max_logins: Option<Text>,
    /// Longest that PAM modules may work between two prompts [default: 10s]
    #[arg(long, env = "DOORWARD_PAM_COMPUTE_TIMEOUT", value_name = "TIME", help_heading = PAM, hide_env_values = true)]
    pub pam_compute_timeout: Option<Text>,
    /// Longest wait for one answer of the user [default: 120s]
    #[arg(long, env = "DOORWARD_PAM_PROMPT_TIMEOUT", value_name = "TIME", help_heading = PAM, hide_env_values = true)]
    pub pam_prompt_timeout: Option<Text>,
    /// Longest whole login [default: 300s]
    #[arg(long, env = "DOORWARD_PAM_LOGIN_TIMEOUT", value_name = "TIME", help_heading = PAM, hide_env_values = true)]
    pub pam_login_timeout: Option<Text>,
    /// Let the modules work for one login at a time: pam_oath and others that rewrite a file of all users need it
    #[arg(long, env = "DOORWARD_PAM_SERIALIZE", action = ArgAction::SetTrue, value_parser = flag,
          help_heading = PAM, hide_env_values = true)]
    pub pam_serialize: Option<bool>,
    /// Show what modules say before their first question, such as a banner of pam_echo; pam_faillock would then tell
    /// strangers which accounts exist
    #[arg(long, env = "DOORWARD_PAM_GREETING", action = ArgAction::SetTrue, value_parser = flag,
          help_heading = PAM, hide_env_values = true)]
    pub pam_greeting: Option<bool>,
    /// Start although the PAM service lets people in who proved nothing, as by pam_rootok
    #[arg(long, env = "DOORWARD_ALLOW_PAM_WITHOUT_PROOF", action = ArgAction::SetTrue, value_parser = flag,
          help_heading = PAM, hide_env_values = true)]
    pub allow_pam_without_proof: Option<bool>,
    /// Least time that a refused login takes [default: 2s]
    #[arg(long, env = "DOORWARD_LOGIN_FAILURE_DELAY", value_name = "TIME", help_heading = PAM, hide_env_values = true)]
    pub login_failure_delay: Option<Text>,

    /// Listen on ADDR:PORT, :PORT, PORT or unix:PATH; may be repeated [default: port 8100 of every
    /// address, IPv4 and IPv6]
    #[arg(long, env = "DOORWARD_LISTEN", value_name = "WHERE", help_heading = NETWORK, hide_env_values = true)]
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub listen: Vec<Text>,
    /// Believe forwarded headers from this network or address; may be repeated [default: from nobody]
    #[arg(long, env = "DOORWARD_TRUSTED_PROXY", value_name = "CIDR", help_heading = NETWORK, hide_env_values = true)]
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxy: Vec<Text>,
    /// Yes, --trusted-proxy believes more of the Internet than one organisation has
    #[arg(long, env = "DOORWARD_TRUST_ALL_PROXIES", action = ArgAction::SetTrue, value_parser = flag,
          help_heading = NETWORK, hide_env_values = true)]
    pub trust_all_proxies: Option<bool>,
    /// Serve only clients of this network or address, and drop all others unheard; may be repeated [default: everybody]
    #[arg(long, env = "DOORWARD_ALLOW_FROM", value_name = "CIDR", help_heading = NETWORK, hide_env_values = true)]
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub allow_from: Vec<Text>,
    /// Most memory that all connections together may hold before they have authenticated; beyond it the oldest of them are
    /// closed [default: 64MiB]
    #[arg(long, env = "DOORWARD_UNAUTHENTICATED_MEMORY", value_name = "SIZE", help_heading = NETWORK, hide_env_values = true)]
    pub unauthenticated_memory: Option<Text>,

    /// Folder for keys, certificates and the session database [default: /var/lib/doorward, or
    /// $XDG_STATE_HOME/doorward when not root]
    #[arg(long, env = "DOORWARD_STATE", value_name = "FOLDER", help_heading = PROCESS, hide_env_values = true)]
    pub state: Option<Text>,
    /// Folder for the broker's socket [default: /run/doorward, or $XDG_RUNTIME_DIR/doorward when not root]
    #[arg(long, env = "DOORWARD_RUNTIME_DIR", value_name = "FOLDER", help_heading = PROCESS, hide_env_values = true)]
    pub runtime_dir: Option<Text>,
    /// Where the request log goes: a file, '-' for standard output, or 'off' [default: -]
    #[arg(long, env = "DOORWARD_LOG", value_name = "FILE|-|off", help_heading = PROCESS, hide_env_values = true)]
    pub log: Option<Text>,
    /// How the log looks: json, text, or auto (text on a terminal) [default: auto]
    #[arg(long, env = "DOORWARD_LOG_FORMAT", value_name = "FORMAT", help_heading = PROCESS, hide_env_values = true)]
    pub log_format: Option<Text>,
    /// What happens while the log cannot be written: refuse (requests that change something get 503) or go-on
    /// [default: refuse]
    #[arg(long, env = "DOORWARD_LOG_FAILURE", value_name = "WHAT", help_heading = PROCESS, hide_env_values = true)]
    pub log_failure: Option<Text>,
    /// Event loops [default: one for each core]
    #[arg(long, env = "DOORWARD_WORKERS", value_name = "N", help_heading = PROCESS, hide_env_values = true)]
    pub workers: Option<Text>,
    /// How long the gateway goes on as before after SIGTERM, with readyz saying 503, so that load balancers send clients
    /// elsewhere [default: 0s]
    #[arg(long, env = "DOORWARD_DRAIN", value_name = "TIME", help_heading = PROCESS, hide_env_values = true)]
    pub drain: Option<Text>,
    /// How long open requests may go on after SIGTERM, and after --drain [default: 8s]
    #[arg(long, env = "DOORWARD_GRACE", value_name = "TIME", help_heading = PROCESS, hide_env_values = true)]
    pub grace: Option<Text>,
    /// User that the gateway runs as when started as root [default: doorward]
    #[arg(long, env = "DOORWARD_USER", value_name = "NAME", help_heading = PROCESS, hide_env_values = true)]
    pub user: Option<Text>,
    // Not a path: clap refuses an empty one, and an empty variable shall count as not set.
    /// Settings file [default: /etc/doorward/doorward.toml, if there is one]
    #[arg(long, env = "DOORWARD_CONFIG", value_name = "FILE", help_heading = PROCESS, hide_env_values = true)]
    #[serde(skip)]
    pub config: Option<OsString>,
}

/// A value as it was written. In the settings file it may be a number too, so that `workers = 4` needs no quotes.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Text(String);

impl Text {
    /// The text without white space around it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.trim()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text in quotes or a whole number")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.to_owned()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }
}

/// A list may be written as one text where there is one.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Text>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a text in quotes or a list of them")]
    enum OneOrMany {
        Many(Vec<Text>),
        One(Text),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::Many(texts) => texts,
        OneOrMany::One(text) => vec![text],
    })
}

/// A switch in the environment. Words that are neither yes nor no are refused: a typing error must not open the door.
fn flag(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "on" | "true" | "yes" => Ok(true),
        "" | "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("write true or false".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command};

    use super::{RawSettings, flag};

    #[test]
    fn every_option_can_stand_in_the_environment() {
        let command = RawSettings::augment_args(Command::new("serve"));
        for arg in command.get_arguments() {
            let expected = format!("DOORWARD_{}", arg.get_id().as_str().to_ascii_uppercase());
            let variable = arg.get_env().and_then(|name| name.to_str());
            assert_eq!(variable, Some(expected.as_str()));
            assert_eq!(arg.get_long(), Some(arg.get_id().as_str().replace('_', "-").as_str()));
        }
    }

    #[test]
    fn numbers_need_no_quotes_and_lists_no_brackets_in_the_file() {
        let raw: RawSettings =
            toml::from_str("workers = 4\nlisten = ':8100'\nautocert = ['a', 'b']").unwrap();
        assert_eq!(raw.workers, Some("4".into()));
        assert_eq!(raw.listen, [":8100".into()]);
        assert_eq!(raw.autocert, ["a".into(), "b".into()]);
    }

    #[test]
    fn l4_an_unknown_key_is_refused() {
        let error = toml::from_str::<RawSettings>("use-logins = true").unwrap_err();
        assert!(error.message().contains("use-logins"), "{error}");
        assert!(toml::from_str::<RawSettings>("config = 'x'").is_err());
    }

    #[test]
    fn a_switch_is_yes_or_no_and_nothing_else() {
        assert_eq!(flag("Yes"), Ok(true));
        assert_eq!(flag(""), Ok(false));
        assert!(flag("disabled").is_err());
    }
}
