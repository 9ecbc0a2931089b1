//! `doorward login --web`, approved and denied in a browser.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Stdio};

use super::super::devices::{press, request_of, type_code};
use super::super::door::{BOB, Door};
use super::Home;

/// The command, and the code that it shows.
fn start(home: &Home, door: &Door) -> (Child, BufReader<ChildStderr>, String) {
    let ca = door.state().join("autocert/cert.pem").display().to_string();
    let mut command = home.command(&["login", "--web", "--name", "bob@laptop", "--ca", &ca, &door.origin()]);
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let is_code = |line: &String| line.len() == 9 && line.as_bytes()[4] == b'-';
    let lines = said.by_ref().lines().map(|line| line.unwrap().trim().to_owned());
    let code = lines.take_while(|line| !line.starts_with("error")).find(is_code);
    (child, said, code.unwrap())
}

#[test]
fn a_terminal_is_let_in_by_a_browser_or_not() {
    let door = Door::shared();
    let cookie = door.cookie(BOB);
    for (choice, code) in [("deny", 5), ("approve", 0)] {
        let home = Home::new();
        let (mut child, mut said, shown) = start(&home, &door);
        let page = type_code(&door, &cookie, &shown);
        assert!(page.body.contains("bob@laptop"), "{}", page.body);
        assert_eq!(press(&door, &cookie, &request_of(&page), choice).status, 200);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        if code == 0 {
            assert!(rest.contains("as bob until"), "{rest}");
            // The login is one of its own: it may look after tokens.
            home.run(&["token", "list"]).expect(0);
            home.run(&["logout"]).expect(0);
        }
        home.is_empty();
    }
}
