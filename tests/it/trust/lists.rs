//! Several revocation lists of one CA, and lists that nobody can judge by.

use time::{Duration, OffsetDateTime};

use super::made::{CA, CLIENT, GOOD, House, List, shown};
use doorward::domain::ClientCertificate;
use doorward::trust::{ClientTrust, Refusal};

/// A CA with the clients `bob` (serial 0a) and `eve` (0b).
fn house() -> House {
    let house = House::new();
    house.root("ca", "CA", CA);
    house.issue("ca", "bob", "bob", "0a", CLIENT);
    house.issue("ca", "eve", "eve", "0b", CLIENT);
    house
}

const REVOKED: &[(&str, &str)] = &[("0A", "")];
const ON_HOLD: &[(&str, &str)] = &[("0A", "certificateHold")];

fn hours(hours: i64) -> Duration {
    Duration::hours(hours)
}

/// Bob's and eve's outcome by these lists, in whatever order, in one file or in several.
fn outcomes(house: &House, lists: &[&List<'_>]) -> [Result<String, Refusal>; 2] {
    let names: Vec<String> = (0..lists.len()).map(|at| format!("list{at}")).collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.iter().zip(lists).for_each(|(name, list)| house.list("ca", name, list));
    let mut found = Vec::new();
    for _ in 0..2 {
        house.join(&names, "all");
        for files in [&["all"][..], &names] {
            let trust = house.trust(&["ca.pem"], files).unwrap();
            let outcome = ["bob", "eve"].map(|name| house.user(&trust, &[name]));
            // Where openssl, and so nginx, refuses somebody, nobody is admitted here.
            for (name, outcome) in ["bob", "eve"].iter().zip(&outcome) {
                let taken = house.is_taken_by_openssl(&["ca.pem"], files, &[name]);
                assert!(taken || outcome.is_err(), "{name}: {outcome:?}");
            }
            found.push(outcome);
        }
        names.reverse();
    }
    assert!(found.iter().all(|outcome| *outcome == found[0]), "the order counts: {found:?}");
    found.swap_remove(0)
}

#[test]
fn i5_of_several_lists_of_one_ca_the_order_never_counts_and_revoked_in_any_is_revoked() {
    let house = house();
    let (ok, eve) = (|name: &str| Ok(name.to_owned()), || Ok("eve".to_owned()));
    let old = List { age: hours(48), ..GOOD };
    let over = List { age: hours(48), life: hours(-24), ..GOOD };
    let new = List { number: "02", ..GOOD };
    let revokes = |list: &List<'static>| List { revoked: REVOKED, ..list.clone() };
    for (what, lists, expected) in [
        ("one", vec![&new], [ok("bob"), eve()]),
        ("an older one beside it", vec![&old, &new], [ok("bob"), eve()]),
        ("the newer revokes", vec![&old, &revokes(&new)], [Err(Refusal::Revoked), eve()]),
        ("three of them", vec![&over, &old, &revokes(&new)], [Err(Refusal::Revoked), eve()]),
        ("the older is over", vec![&over, &new], [ok("bob"), eve()]),
        ("the older is over, the newer revokes", vec![&over, &revokes(&new)], [Err(Refusal::Revoked), eve()]),
        // Both are in force, and say different things.
        ("the older revokes", vec![&revokes(&old), &new], [Err(Refusal::Revoked), eve()]),
        // The newer takes it back: on hold, for instance.
        (
            "the older put on hold and is over",
            vec![&List { revoked: ON_HOLD, ..over.clone() }, &new],
            [ok("bob"), eve()],
        ),
        ("all are over", vec![&over, &over], [Err(Refusal::CrlExpired), Err(Refusal::CrlExpired)]),
    ] {
        assert_eq!(outcomes(&house, &lists), expected, "{what}");
    }
}

#[test]
fn i5_a_newer_list_that_is_over_still_revokes_beside_an_older_one_in_force() {
    let house = house();
    let long = List { age: hours(48), life: hours(48), ..GOOD };
    let short = List { number: "02", age: hours(3), life: hours(-1), revoked: REVOKED, more: "" };
    let expected = [Err(Refusal::Revoked), Ok("eve".to_owned())];
    assert_eq!(outcomes(&house, &[&long, &short]), expected);
    // Number and date contradict each other: a counter that was lost. Neither of the two is certainly newer.
    let restarted = List { number: "01", age: hours(1), ..GOOD };
    let before = List { number: "77", age: hours(48), life: hours(-1), revoked: REVOKED, more: "" };
    assert_eq!(outcomes(&house, &[&restarted, &before]), expected);
}

#[test]
fn i5_a_list_of_the_future_revokes_and_proves_nothing() {
    let house = house();
    let future = List { number: "09", age: hours(-1), life: hours(2), ..GOOD };
    let none = || Err(Refusal::CrlNotYetValid);
    assert_eq!(outcomes(&house, &[&future]), [none(), none()]);
    let eve = || Ok("eve".to_owned());
    assert_eq!(outcomes(&house, &[&future, &GOOD]), [Ok("bob".to_owned()), eve()]);
    // It is signed by the CA: what it revokes is believed at once.
    let revokes = List { revoked: REVOKED, ..future };
    assert_eq!(outcomes(&house, &[&revokes, &GOOD]), [Err(Refusal::Revoked), eve()]);
}

#[test]
fn i5_expired_lists_that_are_accepted_are_all_asked() {
    let house = house();
    let over = List { age: hours(48), life: hours(-24), ..GOOD };
    house.list("ca", "old", &List { revoked: REVOKED, ..over.clone() });
    house.list("ca", "new", &List { number: "02", age: hours(24), life: hours(-1), ..GOOD });
    house.join(&["new", "old"], "all");
    let mut settings = house.settings(&["ca.pem"], &["all"]);
    settings.accept_expired_crl = true;
    let trust = ClientTrust::open(&settings, &house.path("")).unwrap();
    assert_eq!(house.user(&trust, &["bob"]), Err(Refusal::Revoked));
    assert_eq!(house.user(&trust, &["eve"]), Ok("eve".to_owned()));
}

/// Two CAs of one name: the key was changed.
#[test]
fn i5_after_a_change_of_keys_each_key_has_its_own_lists() {
    let house = house();
    house.root("next", "CA", CA);
    // Numbers may be given again by the new key.
    house.issue("next", "amy", "amy", "0a", CLIENT);
    house.list("ca", "first", &List { revoked: REVOKED, ..GOOD });
    house.list("next", "second", &GOOD);
    let cas = ["ca.pem", "next.pem"];
    for lists in [["first", "second"], ["second", "first"]] {
        let trust = house.trust(&cas, &lists).unwrap();
        assert_eq!(house.user(&trust, &["bob"]), Err(Refusal::Revoked));
        assert_eq!(house.user(&trust, &["eve"]), Ok("eve".to_owned()));
        assert_eq!(house.user(&trust, &["amy"]), Ok("amy".to_owned()), "by the second key");
    }
    house.list("next", "second", &List { number: "02", revoked: REVOKED, ..GOOD });
    let trust = house.trust(&cas, &["first", "second"]).unwrap();
    assert_eq!(house.user(&trust, &["amy"]), Err(Refusal::Revoked));
    // Without a list of the second key its holders are refused, for the reason that it is.
    let trust = house.trust(&cas, &["first"]).unwrap();
    assert_eq!(house.user(&trust, &["amy"]), Err(Refusal::StatusUnknown));
    assert_eq!(house.user(&trust, &["eve"]), Ok("eve".to_owned()));
    assert!(Refusal::StatusUnknown.as_str().contains("by the key of its CA"));
}

#[test]
fn i5_a_list_that_no_trusted_ca_signed_is_named_at_start_with_its_line_and_counts_for_nothing_later() {
    let house = house();
    house.root("forger", "CA", CA);
    house.list("ca", "good", &GOOD);
    house.list("forger", "forged", &List { number: "99", ..GOOD });
    house.join(&["good", "forged"], "all");
    let line = house.read("good").lines().count() + 1;
    let error = house.trust(&["ca.pem"], &["all"]).unwrap_err();
    let start = format!("--client-crl {}:{line}: ", shown(&house.path("all")));
    assert!(
        error.starts_with(&start) && error.contains("no CA of this name in --client-ca signed it"),
        "{error}"
    );
    // While running the others count: a revocation must not wait until somebody takes the wrong list out.
    house.join(&["good"], "all");
    let trust = house.trust(&["ca.pem"], &["all"]).unwrap();
    house.list("ca", "good", &List { number: "02", revoked: REVOKED, ..GOOD });
    house.join(&["forged", "good"], "all");
    assert!(trust.refresh());
    assert_eq!(house.user(&trust, &["bob"]), Err(Refusal::Revoked));
    assert_eq!(house.user(&trust, &["eve"]), Ok("eve".to_owned()));
    // Alone it proves nothing.
    house.join(&["forged"], "all");
    assert!(trust.refresh());
    assert_eq!(house.user(&trust, &["eve"]), Err(Refusal::StatusUnknown));
    // Of a CA whose certificate says that it signs no lists.
    house.root(
        "mute",
        "Mute",
        "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n",
    );
    house.list("mute", "mute.crl", &GOOD);
    let error = house.trust(&["mute.pem"], &["mute.crl"]).unwrap_err();
    assert!(
        error.contains("mute.crl:1: ") && error.contains("keyUsage without cRLSign")
            || error.contains("without cRLSign"),
        "{error}"
    );
    // Of a name that no trusted CA has: perhaps of one in between, which nobody knows at start.
    house.root("far", "Far", CA);
    house.list("far", "far.crl", &GOOD);
    let trust = house.trust(&["ca.pem"], &["good", "far.crl"]).unwrap();
    let warnings = trust.warnings().join("\n");
    assert!(warnings.contains("far.crl:1: the list is of CN=Far, which is not in --client-ca"), "{warnings}");
}

#[test]
fn i5_a_list_that_is_appended_while_the_gateway_runs_counts() {
    let house = house();
    house.list("ca", "old", &GOOD);
    house.join(&["old"], "all");
    let trust = house.trust(&["ca.pem"], &["all"]).unwrap();
    assert_eq!(house.user(&trust, &["bob"]), Ok("bob".to_owned()));
    house.list("ca", "new", &List { number: "02", revoked: REVOKED, ..GOOD });
    let appended = house.read("old") + &house.read("new");
    std::fs::write(house.path("all"), appended).unwrap();
    assert!(trust.refresh());
    assert_eq!(house.user(&trust, &["bob"]), Err(Refusal::Revoked));
}

/// A CA in between, with a client of its own.
#[test]
fn i5_each_ca_of_a_chain_needs_a_list_of_its_own_key() {
    let house = house();
    house.issue("ca", "mid", "Mid", "1a", CA);
    house.issue("mid", "zoe", "zoe", "0a", CLIENT);
    house.list("ca", "root.crl", &List { revoked: &[("0A", "")], ..GOOD });
    house.list("mid", "mid.crl", &GOOD);
    let chain = ["zoe", "mid"];
    let outcome = |lists: &[&str]| {
        let outcome = house.user(&house.trust(&["ca.pem"], lists).unwrap(), &chain);
        assert!(house.is_taken_by_openssl(&["ca.pem"], lists, &chain) || outcome.is_err(), "{outcome:?}");
        outcome
    };
    assert_eq!(outcome(&["root.crl", "mid.crl"]), Ok("zoe".to_owned()), "0a of the root is another");
    assert_eq!(outcome(&["root.crl"]), Err(Refusal::StatusUnknown));
    assert_eq!(outcome(&["mid.crl"]), Err(Refusal::StatusUnknown));
    house.list("mid", "mid2.crl", &List { number: "02", revoked: REVOKED, ..GOOD });
    assert_eq!(outcome(&["mid.crl", "root.crl", "mid2.crl"]), Err(Refusal::Revoked));
    house.list("ca", "root2.crl", &List { number: "02", revoked: &[("1A", "")], ..GOOD });
    assert_eq!(outcome(&["root.crl", "mid.crl", "root2.crl"]), Err(Refusal::Revoked));
}

#[test]
fn i5_a_list_speaks_of_what_it_was_made_for() {
    let house = house();
    house.issue("ca", "mid", "Mid", "1a", CA);
    house.issue("mid", "zoe", "zoe", "0a", CLIENT);
    let point = "crlDistributionPoints=URI:http://ca.example/1.crl\n";
    house.issue("ca", "pat", "pat", "0c", &format!("{CLIENT}{point}"));
    house.list("mid", "mid.crl", &GOOD);
    let of = |name: &str, more: &str, revoked: &'static [(&'static str, &'static str)]| {
        let more = format!(
            "issuingDistributionPoint=critical,@idp\n[idp]\nfullname=URI:http://ca.example/1.crl\n{more}"
        );
        house.list("ca", name, &List { more: &more, revoked, ..GOOD });
    };
    of("users", "onlyuser=TRUE\n", &[]);
    of("cas", "onlyCA=TRUE\n", &[]);
    let outcome =
        |lists: &[&str], chain: &[&str]| house.user(&house.trust(&["ca.pem"], lists).unwrap(), chain);
    assert_eq!(outcome(&["users"], &["pat"]), Ok("pat".to_owned()));
    assert_eq!(outcome(&["cas"], &["pat"]), Err(Refusal::StatusUnknown));
    assert_eq!(outcome(&["users", "mid.crl"], &["zoe", "mid"]), Err(Refusal::StatusUnknown));
    assert_eq!(outcome(&["cas", "mid.crl"], &["zoe", "mid"]), Ok("zoe".to_owned()));
    assert_eq!(outcome(&["cas", "users"], &["pat"]), Ok("pat".to_owned()));
    // One number is one certificate, whatever the list was made for.
    of("cas", "onlyCA=TRUE\n", &[("0C", "")]);
    assert_eq!(outcome(&["users", "cas"], &["pat"]), Err(Refusal::Revoked));
    // Another distribution point is another list.
    let other = "issuingDistributionPoint=critical,@idp\n[idp]\nfullname=URI:http://ca.example/2.crl\n";
    house.list("ca", "other", &List { more: other, ..GOOD });
    assert_eq!(outcome(&["other"], &["pat"]), Err(Refusal::StatusUnknown));
}

#[test]
fn i5_a_list_that_nobody_can_judge_by_is_refused_with_file_and_line() {
    let house = house();
    house.list("ca", "good", &GOOD);
    let point = |more: &str| format!("issuingDistributionPoint=critical,@idp\n[idp]\n{more}");
    let delta = "2.5.29.27=critical,DER:02:01:01\n".to_owned();
    let unknown = "1.2.3.4=critical,DER:05:00\n".to_owned();
    for (what, number, more) in [
        ("of changes only", "02", delta),
        ("with a critical extension that nobody knows", "02", unknown),
        ("of other issuers", "02", point("fullname=URI:http://x/1.crl\nindirectCRL=TRUE\n")),
        ("of some reasons", "02", point("fullname=URI:http://x/1.crl\nonlysomereasons=keyCompromise\n")),
        ("of attribute certificates", "02", point("fullname=URI:http://x/1.crl\nonlyAA=TRUE\n")),
        ("of version 1", "", String::new()),
    ] {
        house.list("ca", "odd", &List { number, more: &more, ..GOOD });
        house.join(&["good", "odd"], "all");
        let line = house.read("good").lines().count() + 1;
        let error = house.trust(&["ca.pem"], &["all"]).unwrap_err();
        let start = format!("--client-crl {}:{line}: ", shown(&house.path("all")));
        assert!(error.starts_with(&start) && error.contains("cannot be used"), "{what}: {error}");
    }
}

/// What is there and cannot be read is not treated as if it were not there.
#[test]
fn i5_no_list_of_a_file_is_overlooked() {
    let house = house();
    house.list("ca", "old", &GOOD);
    house.list("ca", "new", &List { number: "02", revoked: REVOKED, ..GOOD });
    for file in ["old", "new"] {
        house.try_openssl(&format!("crl -in {file} -outform DER -out {file}.der"));
    }
    let (old, new) = (house.read("old"), house.read("new"));
    let der = |file: &str| std::fs::read(house.path(file)).unwrap();
    let torn: String =
        old.lines().filter(|line| !line.contains("END")).map(|line| format!("{line}\n")).collect();
    let ca = house.read("ca.pem");
    let text = house.try_openssl("crl -in new -text").1;
    for (what, bytes, is_read) in [
        ("DER after DER", [der("old.der"), der("new.der")].concat(), true),
        ("with CRLF", (old.clone() + &new).replace('\n', "\r\n").into_bytes(), true),
        ("with the CA's certificate", (ca + &old + &new).into_bytes(), true),
        ("with words", format!("# by hand\n{old}\n{text}").into_bytes(), true),
        ("DER after PEM", [old.clone().into_bytes(), der("new.der")].concat(), false),
        ("PEM after DER", [der("old.der"), new.clone().into_bytes()].concat(), false),
        ("without a line break", (old.trim_end().to_owned() + &new).into_bytes(), true),
        ("without an end", (torn + &new).into_bytes(), false),
        ("indented", format!("{old}{}", new.replace("-----BEGIN", "  -----BEGIN")).into_bytes(), true),
        ("behind a byte order mark", format!("\u{feff}{new}{old}").into_bytes(), true),
        (
            "in small letters",
            (old.clone() + &new.replace("BEGIN X509 CRL", "begin x509 crl")).into_bytes(),
            false,
        ),
        ("under another name", (old.clone() + &new.replace("X509 CRL", "CRL")).into_bytes(), false),
        ("in PKCS #7", (old.clone() + &new.replace("X509 CRL", "PKCS7")).into_bytes(), false),
        ("cut", (old.clone() + new.get(..new.len() / 2).unwrap()).into_bytes(), false),
    ] {
        house.write("all", bytes);
        match house.trust(&["ca.pem"], &["all"]) {
            Ok(trust) => {
                assert!(is_read, "{what}");
                assert_eq!(house.user(&trust, &["bob"]), Err(Refusal::Revoked), "{what}");
            }
            Err(error) => assert!(!is_read && error.contains("/all:"), "{what}: {error}"),
        }
    }
}

#[test]
fn i5_a_moment_at_which_a_list_begins_or_ends_is_told() {
    let house = house();
    house.list("ca", "now", &GOOD);
    house.list("ca", "later", &List { number: "02", age: hours(-3), life: hours(9), ..GOOD });
    let trust = house.trust(&["ca.pem"], &["now", "later"]).unwrap();
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let next = trust.next_change(now).unwrap();
    assert!((now + 3500..now + 3700).contains(&next), "the first one ends");
    let after = trust.next_change(next + 1).unwrap();
    assert!(
        (now + 3 * 3600 - 400..now + 3 * 3600).contains(&after),
        "the second begins, clocks being a little apart"
    );
    let identify = |at: i64| trust.identify(&house.chain(&["bob"]) as &ClientCertificate, at).is_ok();
    assert_eq!([now, next, after].map(identify), [true, false, true]);
}
