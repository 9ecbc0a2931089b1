//! Docker contexts that belong to logins.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::super::door::{BOB, Door, Setup};
use super::{Home, mode};

fn read(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn gc4_login_makes_a_context_that_docker_understands_and_logout_removes_it() {
    let (home, door) = (Home::new(), Door::shared());
    let config = home.path(".docker/config.json");
    fs::create_dir(home.path(".docker")).unwrap();
    fs::write(&config, r#"{"auths":{"r.example":{}},"currentContext":"mine"}"#).unwrap();
    home.log_in(&door, BOB, &["--context", "work"]).expect(0);
    assert_eq!(read(config.clone())["currentContext"], "mine");
    let metas: Vec<PathBuf> = fs::read_dir(home.path(".docker/contexts/meta"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(metas.len(), 1);
    let meta = read(metas[0].join("meta.json"));
    assert_eq!(meta["Name"], "work");
    assert_eq!(meta["Endpoints"]["docker"]["Host"], format!("tcp://{}", door.address));
    let ca = home.path(".docker/contexts/tls").join(metas[0].file_name().unwrap()).join("docker/ca.pem");
    assert_eq!(mode(&ca), 0o600);
    let rows: Value = serde_json::from_str(&home.run(&["context", "--json"]).expect(0).out).unwrap();
    assert_eq!((&rows[0]["context"], &rows[0]["default"]), (&json!("work"), &json!(false)));
    // A renewal may choose it, and may give it another name.
    home.run(&["context", "renew", "work", "--default"]).expect(0);
    assert_eq!(read(config.clone())["currentContext"], "work");
    home.run(&["context", "renew", "--context", "office", "--default"]).expect(0);
    assert_eq!(read(config.clone())["currentContext"], "office");
    assert!(!metas[0].exists() && home.run(&["context"]).expect(0).out.contains("office"));
    home.run(&["logout"]).expect(0);
    assert_eq!(home.files(), std::slice::from_ref(&config));
    assert_eq!(read(config), json!({ "auths": { "r.example": {} } }));
}

/// What docker connects to by the only context.
fn endpoint(home: &Home) -> String {
    let metas: Vec<PathBuf> = fs::read_dir(home.path(".docker/contexts/meta"))
        .unwrap()
        .map(|entry| entry.unwrap().path().join("meta.json"))
        .collect();
    let [meta] = metas.try_into().unwrap();
    read(meta)["Endpoints"]["docker"]["Host"].as_str().unwrap().to_owned()
}

#[test]
fn w6_a_login_for_a_tunnel_makes_a_context_on_its_socket_and_keeps_it_there() {
    let (home, door) = (Home::new(), Door::shared());
    let said = home.log_in(&door, BOB, &["--tunnel"]).expect(0).err;
    assert!(said.contains("doorward tunnel --host 127.0.0.1:") && said.contains("--detach"), "{said}");
    let host = endpoint(&home);
    assert!(host.starts_with("unix:///") && host.ends_with(".sock"), "{host}");
    assert!(!home.path(".docker/contexts/tls").exists(), "the tunnel has the login");
    assert_eq!(home.entry(&door)["context"]["certificate"], Value::Null);
    home.run(&["context", "renew"]).expect(0);
    assert_eq!(endpoint(&home), host);
    // What is asked for last counts.
    home.log_in(&door, BOB, &[]).expect(0);
    assert_eq!(endpoint(&home), format!("tcp://{}", door.address));
    home.run(&["context", "renew", "127.0.0.1", "--tunnel"]).expect(0);
    assert_eq!(endpoint(&home), host);
    home.run(&["login", "--tunnel", "--no-context", "https://127.0.0.1:1"]).expect(2);
    home.run(&["logout"]).expect(0);
    assert!(!home.path(".docker/contexts/meta").exists() || home.files().is_empty());
}

#[test]
fn a_context_can_go_while_the_login_stays() {
    let (home, door) = (Home::new(), Door::shared());
    home.log_in(&door, BOB, &["--default"]).expect(0);
    home.run(&["context", "remove", "127.0.0.1"]).expect(0);
    assert!(home.run(&["context"]).expect(0).err.contains("no docker contexts"));
    home.run(&["whoami"]).expect(0);
    home.run(&["context", "remove", "127.0.0.1"]).expect(1);
    home.run(&["context", "renew"]).expect(0);
    assert_eq!(home.entry(&door)["context"], Value::Null);
    home.run(&["context", "renew", "127.0.0.1"]).expect(0);
    assert_eq!(home.entry(&door)["context"]["name"], "127.0.0.1");
}

#[test]
fn a_context_of_somebody_else_is_not_touched() {
    let (home, door) = (Home::new(), Door::shared());
    home.log_in(&door, BOB, &["--context", "mine"]).expect(0);
    let meta = fs::read_dir(home.path(".docker/contexts/meta")).unwrap().next().unwrap().unwrap().path();
    let foreign = r#"{"Name":"mine","Metadata":{},"Endpoints":{"docker":{"Host":"unix:///x"}}}"#;
    fs::write(meta.join("meta.json"), foreign).unwrap();
    let said = home.log_in(&door, BOB, &["--context", "mine"]).expect(1).err;
    assert!(said.contains("write --context NAME") && said.contains("you are logged in"), "{said}");
    home.run(&["logout"]).expect(0);
    assert_eq!(fs::read_to_string(meta.join("meta.json")).unwrap(), foreign);
}

#[test]
fn gc2_a_token_in_dockers_headers_goes_with_the_login() {
    let (home, door) = (Home::new(), Door::shared());
    let said = home.log_in(&door, BOB, &["--http-headers"]).expect(0).err;
    assert!(said.contains("to every engine"), "{said}");
    let config = home.path(".docker/config.json");
    let header = |home: &Home| read(home.path(".docker/config.json"))["HttpHeaders"]["Authorization"].clone();
    assert_eq!(header(&home), format!("Bearer {}", home.token(&door)));
    assert_eq!(mode(&config), 0o600);
    // The next login's token takes its place.
    home.log_in(&door, BOB, &[]).expect(0);
    assert_eq!(header(&home), format!("Bearer {}", home.token(&door)));
    home.run(&["logout"]).expect(0);
    assert_eq!(read(config), json!({}));
}

#[test]
fn docker_config_says_where_contexts_are_kept() {
    let (home, door) = (Home::new(), Setup::usual().open());
    let ca = door.state().join("autocert/cert.pem");
    let url = door.origin();
    let mut command = home.command(&["login", "--user", BOB.0, "--password-stdin", &url, "--ca"]);
    command
        .arg(&ca)
        .env("DOCKER_CONFIG", home.path("elsewhere"))
        .env("DOORWARD_CONFIG_HOME", home.path("kept"));
    Home::end(command, "correct horse\n").expect(0);
    home.is_empty();
    assert!(home.path("elsewhere/contexts/meta").exists());
    assert!(home.path(&format!("kept/hosts/{}.json", door.address)).exists());
    // Wherever docker looks by then: the context is where it was made.
    let mut command = home.command(&["logout"]);
    command.env("DOORWARD_CONFIG_HOME", home.path("kept"));
    Home::end(command, "").expect(0);
    assert_eq!(fs::read_dir(home.path("elsewhere/contexts/meta")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(home.path("elsewhere/contexts/tls")).unwrap().count(), 0);
}

#[test]
fn logout_removes_what_it_can_where_dockers_configuration_is_broken() {
    let (home, door) = (Home::new(), Door::shared());
    home.log_in(&door, BOB, &[]).expect(0);
    let token = home.token(&door);
    let config = home.path(".docker/config.json");
    fs::write(&config, "{ broken").unwrap();
    let said = home.run(&["logout"]).expect(1).err;
    assert!(said.contains("logged out of") && said.contains("config.json cannot be understood"), "{said}");
    assert_eq!(home.files(), std::slice::from_ref(&config), "{said}");
    assert_eq!(fs::read_to_string(&config).unwrap(), "{ broken");
    assert_eq!(door.passes(|request| request.bearer(&token)), 401);
    // A token that is in there cannot be taken out, and is told of.
    fs::remove_file(&config).unwrap();
    home.log_in(&door, BOB, &["--http-headers"]).expect(0);
    fs::write(&config, "{ broken").unwrap();
    let said = home.run(&["logout"]).expect(1).err;
    assert!(said.contains("may still hold the login's token"), "{said}");
    assert_eq!(home.files(), [config], "{said}");
}

#[test]
fn a_login_that_has_ended_is_listed_as_ended() {
    let (home, door) = (Home::new(), Door::shared());
    home.log_in(&door, BOB, &[]).expect(0);
    let mut entry = home.entry(&door);
    entry["expires"] = json!(1);
    fs::write(home.entry_path(&door), entry.to_string()).unwrap();
    let table = home.run(&["context"]).expect(0).out;
    assert!(table.contains(" ended "), "{table}");
}
