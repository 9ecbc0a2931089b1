//! The account behind a certificate: real accounts, real account modules. Needs root; says so and passes without.

use super::super::people::{Person, Service, may_run};
use super::super::wire::Request;
use super::{Bench, Setup};

#[test]
fn c6_gd2_the_holder_of_a_certificate_passes_the_account_stage_and_is_cut_when_it_says_no() {
    if !may_run() {
        return;
    }
    let (person, service) = (Person::new("right horse"), Service::unix());
    for recheck in ["1s", "never"] {
        let setup = Setup::pam().with(&["--pam-service", &service.name, "--account-recheck", recheck]);
        let bench = Bench::of(setup, &[]);
        let (shown, nobody) = (bench.authority.client(&person.name), bench.authority.client("no-such-user"));
        assert_eq!(
            bench.whoami(&shown).unwrap(),
            (person.name.clone(), "certificate".to_owned()),
            "{recheck}"
        );
        let groups =
            bench.send(&shown, &Request::get("/_doorward/api/v1/whoami")).json()["groups"].to_string();
        assert!(groups.contains("users"), "{recheck}: {groups}");
        bench.send(&nobody, &Request::get("/version")).is_engine_error(401);
        let stream = bench.open_stream(&bench.client(&shown));
        person.change("usermod", &["-L"]);
        if recheck == "1s" {
            stream.await_end();
            bench.send(&shown, &Request::get("/version")).is_engine_error(401);
        } else {
            assert_eq!(
                bench.send(&shown, &Request::get("/version")).status,
                200,
                "nobody is asked about again"
            );
        }
        person.change("usermod", &["-U"]);
    }
}

#[test]
fn gd2_a_machine_needs_no_account() {
    if !may_run() {
        return;
    }
    let service = Service::unix();
    let folder = super::folder();
    let map = folder.path().join("map.toml");
    std::fs::write(&map, "[[certificate]]\nsubject = 'CN=ci'\nuser = 'ci-robot'\nmachine = true\n").unwrap();
    let setup = Setup::pam().with(&["--pam-service", &service.name, "--account-recheck", "1s"]);
    let bench = Bench::of(setup, &["--cert-map", &map.display().to_string()]);
    let shown = bench.authority.client("ci");
    assert_eq!(bench.whoami(&shown).unwrap(), ("ci-robot".to_owned(), "certificate".to_owned()));
    let stream = bench.open_stream(&bench.client(&shown));
    // Two rounds of account checks pass by.
    let person = Person::new("right horse");
    let other = bench.authority.client(&person.name);
    assert_eq!(bench.send(&other, &Request::get("/version")).status, 200);
    for _ in 0..2 {
        while !bench.door.output.line_with("mode=AccountOnly").contains(&person.name) {}
    }
    assert!(!bench.door.output.lines().iter().any(|line| line.contains("ci-robot")), "nobody was asked");
    assert_eq!(bench.send(&shown, &Request::get("/version")).status, 200);
    drop(stream);
}
