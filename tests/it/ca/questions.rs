//! What `doorward ca` asks a person at a terminal.

use crate::settings::Place;
use crate::settings::terminal::Terminal;

fn ca(place: &Place, arguments: &[&str]) -> Terminal {
    Terminal::run(place, &[], &[&["ca", "--dir", "ca"], arguments].concat())
}

#[test]
fn a_passphrase_is_asked_for_twice_then_once_and_never_shown() {
    let place = Place::new();
    let mut terminal = ca(&place, &["init", "--name", "Test CA"]);
    terminal.answer("Passphrase for the CA's key: ", "correct horse");
    terminal.answer("The same again: ", "correct horse");
    let (status, shown) = terminal.end();
    assert!(status.success() && shown.contains("made \"Test CA\"") && !shown.contains("horse"), "{shown}");
    let mut terminal = ca(&place, &["client", "bob", "--p12", "--p12-ask"]);
    terminal.answer("Passphrase of Test CA: ", "correct horse");
    terminal.answer("Password for the PKCS#12 file: ", "battery staple");
    terminal.answer("The same again: ", "battery staple");
    let (status, shown) = terminal.end();
    assert!(status.success() && shown.contains("bob.p12") && !shown.contains("staple"), "{shown}");
    assert!(place.path("bob/bob.p12").exists());
    let mut terminal = ca(&place, &["client", "eve"]);
    terminal.answer("Passphrase of Test CA: ", "wrong horse");
    let (status, shown) = terminal.end();
    assert!(status.code() == Some(1) && shown.contains("not the passphrase"), "{shown}");
    assert!(!place.path("eve").exists());
}

#[test]
fn two_passphrases_that_differ_or_none_make_no_ca() {
    let place = Place::new();
    for (first, second, said) in
        [("one horse", "another", "differ"), ("", "", "write --no-passphrase for none")]
    {
        let mut terminal = ca(&place, &["init"]);
        terminal.answer("Passphrase for the CA's key: ", first);
        terminal.answer("The same again: ", second);
        let (status, shown) = terminal.end();
        assert!(status.code() == Some(1) && shown.contains(said), "{shown}");
    }
    assert!(!place.path("ca").exists());
}

#[test]
fn nothing_is_asked_that_an_option_answers_or_that_is_refused_anyway() {
    let place = Place::new();
    assert!(ca(&place, &["init", "--no-passphrase"]).end().0.success());
    assert!(ca(&place, &["client", "bob"]).end().0.success());
    for command in [&["init"][..], &["client", "bob"], &["renew", "eve"], &["revoke", "eve"]] {
        assert_eq!(ca(&place, command).end().0.code(), Some(1), "{command:?}");
    }
}

#[test]
fn revoking_asks_at_a_terminal() {
    let place = Place::new();
    assert!(ca(&place, &["init", "--no-passphrase"]).end().0.success());
    assert!(ca(&place, &["client", "bob"]).end().0.success());
    let before = std::fs::read(place.path("ca/index")).unwrap();
    for answer in ["\r", "n\r"] {
        let mut terminal = ca(&place, &["revoke", "bob"]);
        terminal.expect("Revoke bob (");
        terminal.expect("for good? [y/N]");
        terminal.send(answer);
        let (status, shown) = terminal.end();
        assert!(status.code() == Some(1) && shown.contains("nothing was changed"), "{shown}");
        assert_eq!(std::fs::read(place.path("ca/index")).unwrap(), before);
    }
    let mut terminal = ca(&place, &["revoke", "bob"]);
    terminal.expect("[y/N]");
    terminal.send("y\r");
    assert!(terminal.end().0.success());
    assert_ne!(std::fs::read(place.path("ca/index")).unwrap(), before);
}
