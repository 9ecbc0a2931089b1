//! What a developer reads when something is not as it should be, and what there is to type next.

use super::super::door::PROGRAM;
use super::Home;
use super::server::{Server, granted};

#[test]
fn k5_the_command_that_forgets_a_changed_key_works_as_it_is_printed() {
    let (home, server) = (Home::new(), Server::start(|_| granted()));
    server.log_in(&home, "secret horse\n", &["--no-context"]).expect(0);
    server.change_key();
    let said = home.run(&["whoami"]).expect(6).err;
    let line = said.lines().last().unwrap().trim().to_owned();
    let folder = std::path::Path::new(PROGRAM).parent().unwrap();
    let mut shell = std::process::Command::new("/bin/sh");
    shell.env_clear().env("HOME", home.path("")).env("PATH", folder).args(["-c", &line]);
    // The old key is forgotten, and nobody is there who could say that the new one is right.
    let said = Home::end(shell, "").expect(6).err;
    assert!(said.contains("on this machine only") && said.contains("--fingerprint"), "{said}");
    assert!(!said.contains("HAS CHANGED"), "{said}");
    home.is_empty();
}
