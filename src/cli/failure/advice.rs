//! What to do about an error: the next step, as it can be typed.

use std::io::{self, ErrorKind};

use anyhow::Error;
use rustls::{AlertDescription, CertificateError};

use super::{client_error, connect_error};
use crate::client::{ClientError, ConnectError, DockerFault, GatewayUrl, PickError, Seen, StoreFault};

/// What a gateway says to a token that counts no more.
const ENDED: [&str; 2] = ["login required", "the login has ended"];

/// The next step, if there is one that helps.
pub(super) fn about(error: &Error) -> Option<String> {
    if tls_errors(error).any(demands_certificate) {
        return Some(
            "the gateway demands a client certificate of every connection to this port, and a login has none: take \
             a port that does not (there is one if it was started with --client-cert-listen)"
                .to_owned(),
        );
    }
    about_files(error)
        .or_else(|| connect_error(error).and_then(about_connection))
        .or_else(|| client_error(error).and_then(about_refusal))
}

/// Why a certificate is not believed, in the words of the options that would change it.
pub(super) fn about_certificate(url: &GatewayUrl, seen: &Seen) -> String {
    use CertificateError::{BadSignature, UnknownIssuer};
    match &seen.refused {
        // A CA of the same name as the right one makes it the second.
        Some(rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature)) => format!(
            "no CA in --ca FILE signed it (without --ca: none that this machine trusts); with the right FILE, write \
             doorward login --ca FILE {url}"
        ),
        Some(error) => error.to_string(),
        None => "it was not believed".to_owned(),
    }
}

fn about_files(error: &Error) -> Option<String> {
    let store = error.downcast_ref().or_else(|| match error.downcast_ref()? {
        PickError::Store(fault) => Some(fault),
        _ => None,
    });
    let is_closed = |source: &io::Error| {
        matches!(source.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
    };
    if let Some(StoreFault::File { source, .. }) = store
        && is_closed(source)
    {
        return Some("set DOORWARD_CONFIG_HOME to a folder that you may write to".to_owned());
    }
    match error.downcast_ref()? {
        DockerFault::File { source, .. } if is_closed(source) => Some(
            "set DOCKER_CONFIG to a folder that you may write to, or log in with --no-context".to_owned(),
        ),
        _ => None,
    }
}

fn about_connection(error: &ConnectError) -> Option<String> {
    match error {
        ConnectError::Refused { url, source } if source.kind() == ErrorKind::ConnectionRefused => {
            Some(format!("is the gateway running, and does it listen on port {}?", url.port()))
        }
        ConnectError::Refused { .. } | ConnectError::Slow { .. } => {
            Some("is it the right address, and does a firewall let you through?".to_owned())
        }
        ConnectError::Name { .. } => Some("is the name written right?".to_owned()),
        ConnectError::Tls { source, .. } if is_no_tls(source) => {
            Some("is it a gateway, and one with TLS?".to_owned())
        }
        _ => None,
    }
}

fn about_refusal(error: &ClientError) -> Option<String> {
    match error {
        ClientError::Refused { retry_after: Some(seconds), .. } => Some(format!("try again in {seconds} s")),
        ClientError::Refused { url, message, .. }
            if error.is_status(401) && ENDED.contains(&message.as_str()) =>
        {
            Some(format!("the login has ended; run: doorward login {url}"))
        }
        _ => None,
    }
}

/// What TLS says of it. An I/O error's own content is not among the sources that it names.
fn tls_errors(error: &Error) -> impl Iterator<Item = &rustls::Error> {
    error.chain().filter_map(|cause| tls_error(cause.downcast_ref()?))
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// With TLS 1.3 it comes after the handshake, as the answer to the request (RFC 8446 section 4.4.2.4).
const fn demands_certificate(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::AlertReceived(AlertDescription::CertificateRequired))
}

fn is_no_tls(error: &io::Error) -> bool {
    matches!(tls_error(error), Some(rustls::Error::InvalidMessage(_)))
}

#[cfg(test)]
mod tests {
    use std::io::{self, ErrorKind};

    use anyhow::Error;
    use http::StatusCode;

    use super::{about, about_certificate};
    use crate::client::{ClientError, ConnectError, DockerFault, GatewayUrl, PickError, Seen, StoreFault};

    fn url() -> GatewayUrl {
        GatewayUrl::parse("https://gate.example:8100").unwrap()
    }

    fn advice(error: impl Into<Error>) -> String {
        about(&error.into()).unwrap_or_default()
    }

    fn tls(error: rustls::Error) -> ConnectError {
        ConnectError::Tls { url: url(), source: io::Error::new(ErrorKind::InvalidData, error) }
    }

    #[test]
    fn a_login_that_has_ended_is_renewed_by_what_can_be_typed() {
        let refused = |status, message: &str, retry_after| ClientError::Refused {
            url: Box::new(url()),
            status,
            message: message.to_owned(),
            retry_after,
        };
        for message in ["login required", "the login has ended"] {
            let said = advice(refused(StatusCode::UNAUTHORIZED, message, None));
            assert!(said.ends_with("run: doorward login https://gate.example:8100"), "{said}");
        }
        assert_eq!(advice(refused(StatusCode::UNAUTHORIZED, "wrong", None)), "");
        assert_eq!(advice(refused(StatusCode::FORBIDDEN, "login required", None)), "");
        assert_eq!(advice(refused(StatusCode::TOO_MANY_REQUESTS, "slow", Some(7))), "try again in 7 s");
    }

    #[test]
    fn folders_that_cannot_be_written_are_named_by_their_variables() {
        let closed = || io::Error::from(ErrorKind::PermissionDenied);
        let store = |source| StoreFault::File { path: "/x".into(), source };
        assert!(advice(store(closed())).contains("DOORWARD_CONFIG_HOME"));
        assert!(advice(PickError::Store(store(closed()))).contains("DOORWARD_CONFIG_HOME"));
        assert_eq!(advice(store(ErrorKind::StorageFull.into())), "");
        let docker = Error::from(DockerFault::File { path: "/x".into(), source: closed() });
        let said = advice(docker.context("the docker context was not made"));
        assert!(said.contains("DOCKER_CONFIG") && said.contains("--no-context"), "{said}");
    }

    #[test]
    fn who_does_not_answer_is_asked_after() {
        let refused = |kind: ErrorKind| ConnectError::Refused { url: url(), source: kind.into() };
        let said = advice(refused(ErrorKind::ConnectionRefused));
        assert!(said.contains("running") && said.contains("8100"), "{said}");
        assert!(advice(ClientError::from(refused(ErrorKind::HostUnreachable))).contains("firewall"));
        let name = ConnectError::Name { host: "gate".to_owned(), source: io::Error::other("x") };
        assert!(advice(name).contains("name"));
        let message = rustls::InvalidMessage::InvalidContentType;
        assert!(advice(tls(rustls::Error::InvalidMessage(message))).contains("with TLS"));
    }

    #[test]
    fn a_port_that_demands_a_certificate_is_told_from_others() {
        use rustls::AlertDescription::{CertificateRequired, HandshakeFailure};
        let alert = |alert| advice(tls(rustls::Error::AlertReceived(alert)));
        assert!(alert(CertificateRequired).contains("a port that does not"));
        assert_eq!(alert(HandshakeFailure), "");
    }

    #[test]
    fn a_wrong_ca_is_told_by_its_option() {
        use rustls::CertificateError::{BadSignature, Expired, UnknownIssuer};
        let said = |error| {
            let refused = Some(rustls::Error::InvalidCertificate(error));
            about_certificate(&url(), &Seen { chain: Vec::new(), refused })
        };
        for error in [UnknownIssuer, BadSignature] {
            let said = said(error);
            assert!(said.contains("doorward login --ca FILE https://gate.example:8100"), "{said}");
        }
        assert!(!said(Expired).contains("--ca"));
    }
}
