//! The gateway's own certificate: key, time, names, and whether a renewal will be read.

use std::path::Path;

use super::clock::date;
use super::finding::Finding;
use super::identity::{Blocked, Identity, READ, group_name};
use crate::acme::{Folder, Kept, LastFailure};
use crate::config::TlsMode;
use crate::domain::{Clock, UnixSeconds};
use crate::listener::tls::{CertificateSummary, FileProblem, TlsError, TlsMaterial};

const DAY: UnixSeconds = 24 * 3600;
/// A certificate that ends this soon should have been renewed (the gateway warns as early).
const SOON: UnixSeconds = 14 * DAY;

/// Checks what `serve` would serve with. `wanted`: the names that clients use.
pub(super) fn examine(
    mode: &TlsMode,
    state: &Path,
    wanted: &[String],
    gateway: &Identity,
    clock: &Clock,
) -> Vec<Finding> {
    let summary = match TlsMaterial::inspect(mode, state, clock) {
        Ok(None) => return Vec::new(),
        Ok(Some(summary)) => summary,
        Err(error) => return vec![unusable(&error)],
    };
    let source = summary.source.display();
    match mode {
        TlsMode::Acme(settings) => {
            by_acme(&summary, &Folder::new(state, &settings.directory), wanted, clock.now())
        }
        TlsMode::Autocert(_) => {
            let text = "the self-signed certificate is made, and renewed in time, by the gateway";
            vec![Finding::ok("tls.certificate", text), own_names(&summary, wanted)]
        }
        _ => {
            let text = format!("{source} holds a certificate and its key");
            let mut findings = vec![Finding::ok("tls.certificate", text)];
            findings.extend(ending("tls.expiry", &source.to_string(), &summary, clock.now()));
            findings.push(names("tls.names", &source.to_string(), &summary, wanted));
            findings.extend(rereadable(&summary.source, gateway));
            findings
        }
    }
}

/// Whoever renews is the gateway itself, so that only what it wrote down says why it did not.
fn by_acme(
    summary: &CertificateSummary,
    folder: &Folder,
    wanted: &[String],
    now: UnixSeconds,
) -> Vec<Finding> {
    let source = summary.source.display().to_string();
    // It may live for days only, and is renewed when a third of that is left.
    let life =
        Kept::load(folder).ok().flatten().map_or(0, |kept| kept.not_after.saturating_sub(kept.not_before));
    let mut findings = match ending_within("tls.expiry", &source, summary, now, SOON.min(life / 5)) {
        Some(mut ending) => {
            let fix = "the gateway should have renewed it: see tls.acme, or its log if it does not run";
            ending.fix = ending.fix.map(|_| fix.to_owned());
            let text = format!("{source} holds the certificate that the ACME server gave");
            vec![Finding::ok("tls.certificate", text), ending]
        }
        None => {
            let text = "the ACME server has given no certificate yet: a self-signed placeholder is served";
            vec![Finding::warning("tls.certificate", text, "start the gateway, and look again in a minute")]
        }
    };
    if let Some(LastFailure { reason, failures, next }) = LastFailure::load(folder) {
        let text = format!("{failures} orders in a row have failed; the last one said: {reason}");
        let fix = format!(
            "mend that; the next order is on {}, or 10 minutes after the last if restarted",
            date(next)
        );
        findings.push(Finding::warning("tls.acme", text, fix));
    }
    let mut names = names("tls.names", "the certificate by ACME", summary, wanted);
    names.fix =
        names.fix.map(|_| "add the name to --acme; the gateway orders another certificate".to_owned());
    findings.push(names);
    findings
}

/// `--autocert` was not given the name, so that making it anew would not help.
fn own_names(summary: &CertificateSummary, wanted: &[String]) -> Finding {
    let mut finding = names("tls.names", "the self-signed certificate", summary, wanted);
    finding.fix = finding
        .fix
        .map(|_| "add the name to --autocert; the key, and so what clients pinned, stays (docker's contexts: doorward context renew)".to_owned());
    finding
}

/// Compares the names that clients use with those in the certificate.
pub(super) fn names(
    id: &'static str,
    source: &str,
    summary: &CertificateSummary,
    wanted: &[String],
) -> Finding {
    let has = summary.names.join(", ");
    let missing: Vec<&str> = wanted.iter().map(String::as_str).filter(|name| !summary.covers(name)).collect();
    if !missing.is_empty() {
        let text = format!("{source} is not for {}, only for {has}", missing.join(", "));
        return Finding::problem(
            id,
            text,
            "have a certificate made that names it as subject alternative name",
        );
    }
    let hint = if wanted.is_empty() { "; give --name or --public-url to compare" } else { "" };
    Finding::ok(id, format!("{source} is for {has}{hint}"))
}

/// `None` if nothing is known of its end.
pub(super) fn ending(
    id: &'static str,
    source: &str,
    summary: &CertificateSummary,
    now: UnixSeconds,
) -> Option<Finding> {
    // Certificates of hours are renewed in time by a program; what is near their end is not near for others.
    let life = summary.not_after.zip(summary.not_before).map_or(UnixSeconds::MAX, |(end, begin)| end - begin);
    ending_within(id, source, summary, now, SOON.min(life / 4))
}

fn ending_within(
    id: &'static str,
    source: &str,
    summary: &CertificateSummary,
    now: UnixSeconds,
    soon: UnixSeconds,
) -> Option<Finding> {
    let end = summary.not_after?;
    let fix = "renew it; the gateway takes the new file without a restart";
    Some(match end - now {
        ..0 => Finding::problem(id, format!("{source} expired on {}", date(end)), fix),
        left if left < soon => {
            Finding::warning(id, format!("{source} expires in {}, on {}", time(left), date(end)), fix)
        }
        left => Finding::ok(id, format!("{source} is valid for {} more", time(left))),
    })
}

/// A span for people: hours where there are few.
fn time(seconds: UnixSeconds) -> String {
    if seconds < 3 * DAY { format!("{} hours", seconds / 3600) } else { format!("{} days", seconds / DAY) }
}

/// Root reads the file at start; later it is the gateway's user who must.
fn rereadable(path: &Path, gateway: &Identity) -> Option<Finding> {
    let blocked = gateway.reaches(path, READ).err()?;
    let text = format!("{} cannot read the certificate again when it is renewed: {blocked}", gateway.what);
    Some(Finding::warning("tls.readable", text, readable_by(gateway, path, &blocked)))
}

/// Opens the file, and its own folder if that is what is closed. Those above are opened for one file by nobody.
fn readable_by(gateway: &Identity, path: &Path, blocked: &Blocked) -> String {
    let group = group_name(gateway.gid);
    // What the path leads to through links, as the identity went.
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = real.parent().unwrap_or(Path::new("/"));
    let file = real.display();
    match blocked {
        Blocked::Mode(closed, _) if *closed == real => {
            format!("chgrp {group} {file} && chmod 0640 {file}")
        }
        Blocked::Mode(closed, _) if closed == folder && !is_home(folder) => {
            let folder = folder.display();
            format!("chgrp {group} {folder} {file} && chmod 0750 {folder} && chmod 0640 {file}")
        }
        Blocked::Mode(closed, _) => format!(
            "{} is closed to it: move the file to a folder of its own, such as /etc/doorward/tls, root:{group} with mode \
             0750, and the file with 0640",
            closed.display()
        ),
        Blocked::Unseen(..) => format!("chgrp {group} {file} && chmod 0640 {file}, and its folder with 0750"),
    }
}

/// Whether it holds what nobody opens to a daemon.
fn is_home(folder: &Path) -> bool {
    folder == Path::new("/root") || folder.parent() == Some(Path::new("/home"))
}

fn unusable(error: &TlsError) -> Finding {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let text = format!("{error}{cause}");
    let fix = match error {
        TlsError::File { problem, path } => of_file(problem, path),
        TlsError::NothingFound { .. } => {
            "mount a file with certificate and key at one of these places, or name it with --certfile"
                .to_owned()
        }
        TlsError::Tls(_) => {
            "use a certificate of X.509 version 3 with an RSA, P-256, P-384, P-521 or Ed25519 key".to_owned()
        }
        _ => "see the message; docs/operations.md describes both ways to a certificate".to_owned(),
    };
    Finding::problem("tls.certificate", text, fix)
}

fn of_file(problem: &FileProblem, path: &Path) -> String {
    let file = path.display();
    match problem {
        FileProblem::KeyMismatch => format!(
            "put the key and the certificate that were made together into {file}; compare what \
             'openssl x509 -noout -pubkey' and 'openssl pkey -pubout' print for it"
        ),
        FileProblem::Expired(_) => "renew it; the gateway takes the new file without a restart".to_owned(),
        FileProblem::NotYetValid(_) => {
            "set the clock, or wait; a certificate of a test CA may just be too young".to_owned()
        }
        FileProblem::Unreadable(_) => {
            format!("check the path, and: chown root:doorward {file} && chmod 0640 {file}")
        }
        FileProblem::OpenToOthers { .. } => {
            format!("chmod 0640 {file}, and take the key for known: make a new one")
        }
        FileProblem::EncryptedKey => format!("openssl pkey -in {file} -out NEW-FILE"),
        _ => format!("put the certificate chain and its private key, both in PEM form, into {file}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    use super::super::finding::{Finding, Status};
    use super::super::identity::Identity;
    use super::examine;
    use crate::config::TlsMode;
    use crate::domain::Clock;

    fn write(folder: &Path, certificate: &str, key: &str) -> PathBuf {
        let path = folder.join("server.pem");
        std::fs::write(&path, format!("{certificate}{key}")).unwrap();
        set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn made(names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn look(path: &Path, wanted: &[&str], clock: &Clock) -> Vec<Finding> {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        let gateway = Identity::of_this_process().unwrap();
        examine(&TlsMode::Certfile(path.to_owned()), Path::new("/nonexistent"), &wanted, &gateway, clock)
    }

    fn find<'a>(findings: &'a [Finding], id: &str) -> &'a Finding {
        findings.iter().find(|finding| finding.id == id).unwrap_or_else(|| panic!("no {id} in {findings:#?}"))
    }

    #[test]
    fn a_key_that_does_not_belong_to_the_certificate_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), &made(&["a"]).0, &made(&["a"]).1);
        let findings = look(&path, &[], &Clock::system());
        let found = find(&findings, "tls.certificate");
        assert_eq!(found.status, Status::Problem);
        assert!(found.text.contains("does not belong"), "{}", found.text);
        assert!(found.fix.as_ref().unwrap().contains("openssl"), "{found:?}");
    }

    #[test]
    fn a_name_that_clients_use_and_the_certificate_lacks_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = made(&["gate.example", "*.inner.example"]);
        let path = write(folder.path(), &certificate, &key);
        let clock = Clock::system();
        assert_eq!(
            find(&look(&path, &["gate.example", "a.inner.example"], &clock), "tls.names").status,
            Status::Ok
        );
        let findings = look(&path, &["gate.example", "other.example"], &clock);
        let found = find(&findings, "tls.names");
        assert_eq!(found.status, Status::Problem);
        assert!(found.text.contains("is not for other.example, only for gate.example"), "{}", found.text);
        assert!(find(&look(&path, &[], &clock), "tls.names").text.contains("--public-url"));
    }

    #[test]
    fn what_acme_gave_may_be_short_lived_and_what_it_refused_is_told() {
        let state = tempfile::tempdir().unwrap();
        let directory: url::Url = "https://ca.example/directory".parse().unwrap();
        let folder = crate::acme::Folder::new(state.path(), &directory);
        folder.make().unwrap();
        let mode = TlsMode::Acme(Box::new(crate::config::AcmeSettings {
            domains: vec!["a.example".to_owned()],
            directory,
            email: None,
            ca: None,
            http_listen: None,
            binding: None,
        }));
        let gateway = Identity::of_this_process().unwrap();
        let look = |at| examine(&mode, state.path(), &["a.example".to_owned()], &gateway, &Clock::manual(at));
        let missing = look(0);
        assert_eq!(find(&missing, "tls.certificate").status, Status::Warning);
        assert_eq!(find(&missing, "tls.names").status, Status::Ok);

        let mut parameters = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2030, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2030, 1, 7);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = parameters.self_signed(&key).unwrap().pem() + &key.serialize_pem();
        let file = folder.certificate();
        std::fs::write(&file, pem).unwrap();
        set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let start = 1_893_456_000;
        assert_eq!(find(&look(start + 3 * 86_400), "tls.expiry").status, Status::Ok);
        assert_eq!(find(&look(start + 5 * 86_400), "tls.expiry").status, Status::Warning);
        let failed = r#"{"wish":["a.example"],"failures":3,"last":1,"next":2,"reason":"port 443 is closed"}"#;
        std::fs::write(file.with_file_name("attempts.json"), failed).unwrap();
        let refused = look(start);
        let text = &find(&refused, "tls.acme").text;
        assert!(text.contains("3 orders") && text.contains("port 443 is closed"), "{text}");
    }

    #[test]
    fn the_end_is_seen_coming_and_seen() {
        let folder = tempfile::tempdir().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let path = write(folder.path(), &parameters.self_signed(&key).unwrap().pem(), &key.serialize_pem());
        let end = 1_893_456_000;
        let at = |seconds| look(&path, &[], &Clock::manual(seconds));
        assert_eq!(find(&at(end - 40 * 86_400), "tls.expiry").status, Status::Ok);
        let soon = at(end - 3 * 86_400);
        assert_eq!(find(&soon, "tls.expiry").status, Status::Warning);
        assert!(find(&soon, "tls.expiry").text.contains("in 3 days"), "{soon:#?}");
        assert!(find(&at(end + 1), "tls.certificate").text.contains("expired on 2030-01-01"));
    }

    #[test]
    fn what_keeps_a_renewed_file_from_the_gateway_is_opened_and_nothing_else() {
        let above = tempfile::tempdir().unwrap();
        set_permissions(above.path(), Permissions::from_mode(0o755)).unwrap();
        let folder = above.path().join("tls");
        std::fs::create_dir(&folder).unwrap();
        let (certificate, key) = made(&["a"]);
        let path = write(&folder, &certificate, &key);
        let status =
            "Uid:\t4000000 4000000 4000000 4000000\nGid:\t65534 65534 65534 65534\nGroups:\t\nCapEff:\t0\n";
        let gateway = Identity::of_status("user x", status).unwrap();
        let fix_with = |above_mode, folder_mode| {
            set_permissions(above.path(), Permissions::from_mode(above_mode)).unwrap();
            set_permissions(&folder, Permissions::from_mode(folder_mode)).unwrap();
            super::rereadable(&path, &gateway).and_then(|finding| finding.fix)
        };
        let group = super::group_name(65534);
        let (tls, file) = (folder.display(), path.display());
        assert_eq!(fix_with(0o755, 0o755).unwrap(), format!("chgrp {group} {file} && chmod 0640 {file}"));
        let both = format!("chgrp {group} {tls} {file} && chmod 0750 {tls} && chmod 0640 {file}");
        assert_eq!(fix_with(0o755, 0o700).unwrap(), both);
        let moved = fix_with(0o700, 0o700).unwrap();
        assert!(moved.starts_with(&format!("{} is closed to it", above.path().display())), "{moved}");
        assert!(!moved.contains("chmod"), "{moved}");
    }

    #[test]
    fn a_self_signed_certificate_is_compared_with_the_names_it_is_to_get() {
        let folder = tempfile::tempdir().unwrap();
        let gateway = Identity::of_this_process().unwrap();
        let mode = TlsMode::Autocert(vec!["a.example".to_owned()]);
        let wanted = ["b.example".to_owned()];
        let findings = examine(&mode, folder.path(), &wanted, &gateway, &Clock::system());
        let found = find(&findings, "tls.names");
        assert!(found.fix.as_ref().unwrap().contains("--autocert"), "{found:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "looking made something");
    }

    #[test]
    fn w11_a_certificate_of_a_day_is_near_its_end_only_when_it_is() {
        let of = |life: i64| super::CertificateSummary {
            source: PathBuf::new(),
            names: Vec::new(),
            not_before: Some(0),
            not_after: Some(life),
        };
        let status = |life: i64, left: i64| super::ending("x", "x", &of(life), life - left).unwrap().status;
        assert_eq!(status(86_400, 80_000), Status::Ok);
        assert_eq!(status(86_400, 30_000), Status::Ok);
        assert_eq!(status(86_400, 3600), Status::Warning);
        assert_eq!(status(90 * 86_400, 13 * 86_400), Status::Warning);
        assert_eq!(status(90 * 86_400, 15 * 86_400), Status::Ok);
        assert_eq!(status(86_400, -1), Status::Problem);
    }
}
