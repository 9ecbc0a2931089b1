//! Makes a docker context for a login, or makes it anew.

use anyhow::Context;

use super::ContextArgs;
use crate::ca::{Algorithm, LeafKey};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::shown::shown_in_line;
use crate::cli::{remote, report};
use crate::client::{
    ClientCertificate, ContextName, ContextRecord, DockerFolder, GatewayUrl, Login, LoginStore, Secret, Seen,
    TlsFiles, connect, get_certificate,
};

/// Makes the login's context as the command line says, and says what docker can do with it. `seen` is what the server
/// showed in this command, `old_token` the one that this login's takes the place of.
pub(in crate::cli) fn make(
    store: &LoginStore,
    login: &mut Login,
    seen: Option<&Seen>,
    args: &ContextArgs,
    name: &str,
    old_token: Option<&Secret>,
) -> Outcome {
    if args.no_context {
        return Ok(());
    }
    let docker = DockerFolder::of_this_user()?;
    let context = choose_name(&docker, login, args)?;
    let before = login.context.take();
    // A context that is to have another name, or that another docker folder holds.
    if let Some(old) =
        before.as_ref().filter(|old| old.name != context.as_str() || old.folder != docker.path())
    {
        forget(login, old)?;
    }
    let key = match docker.key_of(&context)?.as_deref().and_then(|pem| LeafKey::from_pem(pem)) {
        // A login has a key of its own; its certificates share it.
        Some(key) if old_token.is_none() => key,
        _ => LeafKey::generate(Algorithm::P256)?,
    };
    let certificate = certificate(login, &key, name)?;
    let seen = match (seen, login.url.is_secure()) {
        (Some(seen), _) => Some(seen.clone()),
        (None, true) => remote::wait_for(connect(&login.url, &login.trust))??.seen,
        (None, false) => None,
    };
    write(&docker, login, &context, &key, certificate.as_ref(), seen.as_ref())?;
    let headers = args.http_headers || before.is_some_and(|old| old.http_headers);
    let http_headers = headers && certificate.is_none();
    login.context = Some(ContextRecord {
        name: context.as_str().to_owned(),
        folder: docker.path().to_owned(),
        certificate: certificate.as_ref().map(|certificate| certificate.record.clone()),
        http_headers,
    });
    if !store.update(login)? {
        docker.remove_context(&context, &login.url)?;
        return Err(anyhow::anyhow!("the login was ended meanwhile").into());
    }
    if http_headers {
        docker.put_header(&login.token, old_token)?;
    } else if let Some(old) = old_token {
        docker.remove_header(old)?;
    }
    if args.default {
        docker.select(&context)?;
    }
    tell(&docker, login, &context, certificate.as_ref(), http_headers);
    Ok(())
}

/// Removes what was made for docker.
pub(in crate::cli) fn forget(login: &Login, context: &ContextRecord) -> Outcome {
    let docker = DockerFolder::at(context.folder.clone());
    docker.remove_header(&login.token)?;
    if let Some(name) = ContextName::parse(&context.name) {
        docker.remove_context(&name, &login.url)?;
    }
    Ok(())
}

/// The name that is asked for, the one that it has, or one of the host's that is free.
fn choose_name(docker: &DockerFolder, login: &Login, args: &ContextArgs) -> Result<ContextName, Failure> {
    let has = login.context.as_ref().filter(|context| context.folder == docker.path());
    let has = has.and_then(|context| ContextName::parse(&context.name));
    let Some(name) = args.context.clone().or(has) else { return Ok(docker.name_for(&login.url)?) };
    docker.claim(&name, &login.url)?;
    Ok(name)
}

/// A certificate for the key, if the gateway issues any. Without TLS there is no use for one.
fn certificate(login: &Login, key: &LeafKey, name: &str) -> Result<Option<ClientCertificate>, Failure> {
    if !login.url.is_secure() {
        return Ok(None);
    }
    Ok(remote::wait_for(get_certificate(&login.gateway(), key, name))??)
}

fn write(
    docker: &DockerFolder,
    login: &Login,
    context: &ContextName,
    key: &LeafKey,
    certificate: Option<&ClientCertificate>,
    seen: Option<&Seen>,
) -> Outcome {
    let description = format!("{} at {}, by doorward login", login.user, login.url.authority());
    let ca = seen.and_then(|seen| login.trust.anchors(seen));
    let key = key.to_pem();
    let files = match (login.url.is_secure(), &ca) {
        (false, _) => None,
        (true, Some(ca)) => {
            let certificate = certificate.map(|certificate| (certificate.chain.as_str(), &key));
            Some(TlsFiles { ca, certificate })
        }
        // Docker would take a context without TLS files to mean plain HTTP.
        (true, None) => return Err(anyhow::anyhow!("the gateway showed no certificate").into()),
    };
    Ok(docker
        .put_context(context, &login.url, &description, files.as_ref())
        .context("the docker context was not made")?)
}

fn tell(
    docker: &DockerFolder,
    login: &Login,
    context: &ContextName,
    certificate: Option<&ClientCertificate>,
    http_headers: bool,
) {
    let how = if docker.is_selected(context) { String::new() } else { format!(" --context {context}") };
    match certificate {
        Some(certificate) => report::complain(format_args!(
            "docker context {context}, with a certificate until {}; try: docker{how} ps",
            remote::until(certificate.record.expires, remote::now())
        )),
        None if http_headers => report::complain(format_args!(
            "docker context {context}; try: docker{how} ps\nwarning: docker now sends this login's token to every engine \
             that it talks to, until 'doorward logout'"
        )),
        None => report::complain(format_args!(
            "docker context {context}, without a certificate: this gateway issues none{}. docker cannot say who you are \
             by itself; run 'doorward tunnel', and in another shell: eval \"$(doorward env)\"",
            if login.url.is_secure() { "" } else { " over http://" }
        )),
    }
    warn_of_environment(&login.url);
}

/// Docker's own variables count before any context.
fn warn_of_environment(url: &GatewayUrl) {
    for name in ["DOCKER_HOST", "DOCKER_CONTEXT"] {
        if let Ok(value) = std::env::var(name)
            && !value.is_empty()
        {
            let value = shown_in_line(&value);
            report::complain(format_args!(
                "note: {name} is set to {value}, which docker takes before the default context of {url}"
            ));
        }
    }
}
