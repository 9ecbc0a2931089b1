//! Every kind of certificate at every door, each with its outcome.

use rcgen::{
    DnType, DnValue, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyUsagePurpose, NameConstraints, SanType,
};
use time::{Duration, OffsetDateTime};

use super::super::door::{BOB, EVE};
use super::super::wire::{Open, Request, connect};
use super::Bench;
use super::authority::{Authority, Shown};

/// What is wrong with a certificate, as its holder is told; nothing for a good one of bob's.
type Kind = (&'static str, Shown, Option<&'static str>);

fn named(parameters: &mut rcgen::CertificateParams, name: impl Into<DnValue>) {
    parameters.distinguished_name.push(DnType::CommonName, name);
}

fn kinds(authority: &Authority) -> Vec<Kind> {
    let stranger = Authority::root("Test CA");
    let one = authority.below("One");
    let now = OffsetDateTime::now_utc();
    let bob = |change: &dyn Fn(&mut rcgen::CertificateParams)| {
        authority.odd(|parameters| {
            named(parameters, "bob");
            change(parameters);
        })
    };
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    let mut kinds = vec![
        ("good", authority.client("bob"), None),
        ("below one CA", one.client("bob"), None),
        (
            "names of others beside the field that counts",
            bob(&|parameters| {
                parameters.distinguished_name.push(DnType::OrganizationalUnitName, "CN=eve");
                parameters.subject_alt_names =
                    vec![dns("eve"), SanType::Rfc822Name("eve@x".try_into().unwrap())];
            }),
            None,
        ),
        ("of an unknown CA of the same name", stranger.client("bob"), Some("no CA that is trusted here")),
        ("signed by itself", Shown::self_signed("bob"), Some("no CA that is trusted here")),
        (
            "expired",
            bob(&|parameters| {
                parameters.not_before = now - Duration::days(2);
                parameters.not_after = now - Duration::hours(1);
            }),
            Some("it has expired"),
        ),
        (
            "not yet valid",
            bob(&|parameters| {
                parameters.not_before = now + Duration::hours(1);
            }),
            Some("it is not valid yet"),
        ),
        ("without any usage", bob(&|parameters| parameters.extended_key_usages.clear()), Some("clientAuth")),
        (
            "for servers",
            bob(&|parameters| {
                parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }),
            Some("clientAuth"),
        ),
        (
            "for anything",
            bob(&|parameters| {
                parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];
            }),
            Some("clientAuth"),
        ),
    ];
    kinds.extend(of_odd_chains(authority));
    kinds.extend(of_odd_names(authority));
    kinds
}

fn of_odd_chains(authority: &Authority) -> Vec<Kind> {
    let two = authority.below("One").below("Two");
    let ca = authority.odd(|parameters| {
        named(parameters, "bob");
        parameters.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    });
    let deep = two.client("bob");
    let mute =
        authority.below_with("Mute", |parameters| parameters.key_usages = vec![KeyUsagePurpose::CrlSign]);
    let bound = authority.below_with("Bound", |parameters| {
        parameters.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("lab.example".to_owned())],
            excluded_subtrees: Vec::new(),
        });
    });
    let torn = two.client("bob");
    let torn = Shown { chain: torn.chain.into_iter().take(1).collect(), key: torn.key };
    vec![
        ("too deep", deep, Some("too many CAs")),
        ("below what signs no certificates", mute.client("bob"), Some("may not issue certificates")),
        ("below name constraints", bound.client("bob"), Some("name constraints")),
        ("without the CAs between", torn, Some("no CA that is trusted here")),
        ("a CA's own", ca, Some("cannot be read")),
    ]
}

fn of_odd_names(authority: &Authority) -> Vec<Kind> {
    let with = |name: DnValue| authority.odd(|parameters| named(parameters, name));
    let text = |name: &str| DnValue::Utf8String(name.to_owned());
    vec![
        ("without a name", authority.odd(|_| {}), Some("is not in it")),
        ("with a NUL", with(text("bob\0.eve")), Some("not a user name")),
        ("in UTF-16", with(DnValue::BmpString("bob".try_into().unwrap())), Some("not a user name")),
        ("with a line break", with(text("bob\r\nX: y")), Some("not a user name")),
    ]
}

fn bench(arguments: &[&str]) -> Bench {
    Bench::usual(&[&["--client-cert-depth", "1"], arguments].concat())
}

/// The certificate is in the handshake; on the request is what the door's name says.
#[test]
fn c1_gd1_each_kind_of_certificate_at_each_door_has_its_outcome() {
    let bench = bench(&[]);
    let (bob, eve) = (bench.door.cookie(BOB), bench.door.cookie(EVE));
    let (token, ends) =
        (bench.door.token(EVE), |user: &str, door: &str| Ok((user.to_owned(), door.to_owned())));
    for (kind, shown, wrong) in kinds(&bench.authority) {
        let status = |answer: Result<(String, String), super::Reply>| answer.map_err(|reply| reply.status);
        let alone = bench.whoami(&shown);
        match wrong {
            None => assert_eq!(status(alone), ends("bob", "certificate"), "{kind}"),
            Some(why) => {
                assert_eq!(status(alone), Err(401), "{kind}");
                let said = bench.send(&shown, &Request::get("/version")).is_engine_error(401);
                assert!(said.starts_with("client certificate: ") && said.contains(why), "{kind}: {said}");
            }
        }
        // What a person put on the request decides, whatever the certificate is (behaviour C8).
        let by_token = bench.whoami_by(&shown, |request| request.bearer(&token));
        assert_eq!(status(by_token), ends("eve", "token"), "{kind}");
        let by_basic = bench.whoami_by(&shown, |request| request.basic(EVE.0, EVE.1));
        assert_eq!(status(by_basic), ends("eve", "basic"), "{kind}");
        let by_bad_token = bench.whoami_by(&shown, |request| request.bearer("dwt_nonsense"));
        assert_eq!(status(by_bad_token), Err(401), "{kind}: a bad credential is not made up for");
        let own_cookie = bench.whoami_by(&shown, |request| request.cookie(&bob));
        assert_eq!(status(own_cookie), ends("bob", "session"), "{kind}");
        // A session of somebody else (behaviour GD4); a certificate that lets nobody in contradicts nobody.
        let other_cookie = bench.send(&shown, &Request::get("/version").cookie(&eve));
        assert_eq!(other_cookie.status, if wrong.is_none() { 403 } else { 200 }, "{kind}: {other_cookie:?}");
        // The login page is there for whoever showed a wrong one (behaviour C1).
        let page = bench.send(&shown, &Request::get("/_doorward/login").navigating());
        assert_eq!(page.status, 200, "{kind}");
    }
}

#[test]
fn c1_a_handshake_that_demands_a_certificate_fails_without_a_good_one() {
    let bench = bench(&["--client-cert", "required"]);
    let request = Request::get("/version").bytes(&bench.door.host(), true);
    let tries = |client: &std::sync::Arc<rustls::ClientConfig>| {
        Open::try_start(connect(bench.door.address, Some(client)), &request).map(|open| open.reply.status)
    };
    for (kind, shown, wrong) in kinds(&bench.authority) {
        let outcome = tries(&bench.client(&shown));
        // Who somebody is, is not a matter of the handshake.
        let is_about_names = wrong.is_some_and(|why| {
            ["user name", "is not in it", "name constraints"].iter().any(|it| why.contains(it))
        });
        match wrong {
            None => assert_eq!(outcome, Ok(200), "{kind}"),
            Some(_) if is_about_names => assert_eq!(outcome, Ok(401), "{kind}"),
            Some(_) => {
                let alert = outcome.unwrap_err();
                assert!(alert.contains("AlertReceived"), "{kind}: {alert}");
            }
        }
    }
    let none = tries(&bench.door.tls()).unwrap_err();
    assert!(none.contains("CertificateRequired"), "{none}");
    let token = bench.door.output.lines().join("\n");
    assert!(token.contains("client certificate refused"), "the log says why");
}

#[test]
fn c6_gd2_a_certificate_of_a_user_who_may_not_come_in_lets_nobody_in() {
    let bench = bench(&[]);
    for user in ["lou", "zoe"] {
        let reply = bench.send(&bench.authority.client(user), &Request::get("/version"));
        reply.is_engine_error(401);
    }
    // Groups are those of the user file, and follow it.
    let reply = bench.send(&bench.authority.client("bob"), &Request::get("/_doorward/api/v1/whoami"));
    assert_eq!(reply.json()["groups"], serde_json::json!(["ops", "dev team"]));
}

#[test]
fn c8_the_log_names_the_certificate_that_was_shown_whoever_decided() {
    let bench = bench(&[]);
    let (shown, token) = (bench.authority.client("bob"), bench.door.token(EVE));
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &shown.chain[0]);
    let fingerprint = data_encoding::HEXLOWER.encode(digest.as_ref());
    bench.send(&shown, &Request::get("/by-token").bearer(&token));
    let line = bench.logged("/by-token");
    assert_eq!((line["user"].as_str(), line["door"].as_str()), (Some("eve"), Some("token")));
    assert_eq!(line["certificate"].as_str(), Some(fingerprint.as_str()));
    bench.send(&shown, &Request::get("/by-certificate"));
    let line = bench.logged("/by-certificate");
    assert_eq!((line["user"].as_str(), line["door"].as_str()), (Some("bob"), Some("certificate")));
    assert_eq!(line["certificate"].as_str(), Some(fingerprint.as_str()));
    bench.door.send(&Request::get("/by-nobody"));
    assert!(bench.logged("/by-nobody").get("certificate").is_none());
}

#[test]
fn s5_a_page_elsewhere_cannot_use_the_certificate_that_a_browser_adds_by_itself() {
    let bench = bench(&[]);
    let shown = bench.authority.client("bob");
    let create = Request::post("/containers/create");
    assert_eq!(bench.send(&shown, &create).status, 200, "a program");
    for foreign in [("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")] {
        assert_eq!(bench.send(&shown, &create.clone().headers(&[foreign])).status, 403, "{foreign:?}");
    }
    let tokens = Request::get("/_doorward/api/v1/tokens");
    assert_eq!(bench.send(&shown, &tokens).status, 200, "a program");
    assert_eq!(bench.send(&shown, &tokens.header("Sec-Fetch-Site", "same-origin")).status, 403, "a script");
    let stream = bench.open_stream(&bench.client(&shown));
    let logout = Request::post("/_doorward/api/v1/logout");
    for foreign in [("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")] {
        assert_eq!(bench.send(&shown, &logout.clone().headers(&[foreign])).status, 403, "{foreign:?}");
    }
    assert_eq!(bench.send(&shown, &logout).status, 204, "a program");
    stream.await_end();
}

#[test]
fn a_gateway_that_demands_certificates_is_well_to_its_health_check() {
    let bench = bench(&["--client-cert", "required"]);
    let check = |more: &[&str]| {
        let url = format!("https://{}", bench.door.address);
        let mut command = std::process::Command::new(super::super::door::PROGRAM);
        command.args(["healthcheck", "--url", &url]).args(more).env_clear();
        let done = command.output().unwrap();
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    assert_eq!(check(&[]), (Some(0), String::new()));
    let (code, said) = check(&["--ready"]);
    assert!(code == Some(1) && said.contains("client certificates only"), "{code:?} {said}");
}
