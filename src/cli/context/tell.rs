//! What docker can do with a context, in words.

use crate::cli::shown::shown_in_line;
use crate::cli::{remote, report};
use crate::client::{ClientError, ContextRecord, GatewayUrl};

/// Why there is no certificate.
pub(super) enum Lacks {
    /// The gateway issues none.
    Issue,
    /// There is no TLS to show it in.
    Tls,
    /// It does not let in where docker would show it, for this reason if one is known.
    Way { at: GatewayUrl, error: Option<ClientError> },
}

impl Lacks {
    fn words(&self) -> String {
        match self {
            Self::Issue => "this gateway issues none".to_owned(),
            Self::Tls => "this gateway issues none over http://".to_owned(),
            Self::Way { at, error: None } => format!("{at} does not let it in"),
            Self::Way { at, error: Some(error) } => {
                format!("{at} does not let it in ({})", shown_in_line(&error.to_string()))
            }
        }
    }
}

/// Says it.
pub(super) fn tell(context: &ContextRecord, lacks: &Lacks, is_default: bool) {
    let name = &context.name;
    let how = if is_default { String::new() } else { format!(" --context {name}") };
    match &context.certificate {
        Some(certificate) => report::complain(format_args!(
            "docker context {name}, with a certificate until {}; try: docker{how} ps",
            remote::until(certificate.expires, remote::now())
        )),
        None if context.http_headers => report::complain(format_args!(
            "docker context {name}; try: docker{how} ps\n\
             warning: docker now sends this login's token to every engine that it talks to, until 'doorward logout'"
        )),
        None => report::complain(format_args!(
            "docker context {name}, without a certificate: {}; docker alone cannot say who you \
             are. Run 'doorward tunnel', and in another shell: eval \"$(doorward env)\"",
            lacks.words()
        )),
    }
    tell_of_variables(is_default);
}

/// Says what leads to a tunnel, and how there is one.
pub(super) fn tell_of_tunnel(context: &ContextRecord, url: &GatewayUrl, is_open: bool, is_default: bool) {
    let name = &context.name;
    let how = if is_default { String::new() } else { format!(" --context {name}") };
    let start = if is_open {
        String::new()
    } else {
        format!("; start it: doorward tunnel --host {} --detach", url.authority())
    };
    report::complain(format_args!(
        "docker context {name}, on the tunnel's socket{start}; then: docker{how} ps"
    ));
    tell_of_variables(is_default);
}

/// Docker's own variables count before any context.
fn tell_of_variables(is_default: bool) {
    for variable in ["DOCKER_HOST", "DOCKER_CONTEXT"] {
        let value = std::env::var(variable).unwrap_or_default();
        if is_default && !value.is_empty() {
            let value = shown_in_line(&value);
            report::complain(format_args!("note: {variable} is set to {value}, which docker takes instead"));
        }
    }
}
