//! The recipe that puts nginx with client certificates before docker.sock, with the gateway in nginx's place: the three
//! curl lines that it ends with.

use std::path::Path;
use std::process::Command;

use crate::support::certificates::for_nginx;
use crate::support::engine;
use crate::support::gateway::Gateway;
use crate::support::http::{self, Target};
use crate::support::process::{Finished, run};
use crate::support::scope::Scope;

#[test]
fn the_three_curl_lines_are_refused_refused_and_answered() {
    let scope = Scope::new();
    let folder = for_nginx(&scope);
    let file = |name: &str| folder.join(name).display().to_string();
    let expected =
        http::send(&Target::Socket(engine::socket().to_owned()), "/info", &[]).expect("the engine");
    for whether in ["optional", "required"] {
        let (server, ca) = (file("server.pem"), file("ca.crt"));
        let state = file(&format!("state-{whether}"));
        let options =
            ["--certfile", &server, "--client-ca", &ca, "--client-cert", whether, "--state", &state];
        let gateway = Gateway::with_options(&engine::url(), Path::new(&ca), &options);
        let curl = |line: &str| curl(&folder, &line.replace("4242", &gateway.port.to_string()));

        let plain = curl("-v http://localhost:4242/info");
        assert!(plain.stderr.contains("< HTTP/1.1 400"), "{plain:?}");
        assert!(plain.stdout.contains("https"), "it says what to do: {plain:?}");

        let stranger = curl("-v -s -k https://localhost:4242/info");
        match whether {
            // The handshake itself ends; over TLS 1.3 curl reads of it in the place of an answer.
            "required" => assert!(stranger.code != 0 && stranger.stdout.is_empty(), "{stranger:?}"),
            _ => {
                assert!(stranger.stderr.contains("401"), "{stranger:?}");
                assert!(stranger.stdout.starts_with("{\"message\":"), "{stranger:?}");
            }
        }

        let good = curl("-v -s -k --key client.key --cert client.crt https://localhost:4242/info");
        let info: serde_json::Value = serde_json::from_str(&good.stdout).expect("JSON of /info");
        assert_eq!((&info["ID"], &info["Name"]), (&expected.json()["ID"], &expected.json()["Name"]));

        // Made as the recipe has it, it says nothing of what it is for: the same key would also do as a server's.
        for version in ["--tls-max 1.2", "--tlsv1.3"] {
            let line = "-v -s -k --key client.key --cert old.crt https://localhost:4242/info";
            let old = curl(&format!("{version} {line}"));
            match whether {
                "required" => assert!(old.code != 0 && old.stdout.is_empty(), "{old:?}"),
                _ => assert!(old.stdout.contains("clientAuth"), "{old:?}"),
            }
        }
    }
}

fn curl(folder: &Path, line: &str) -> Finished {
    let mut command = Command::new("curl");
    command.args(["--noproxy", "*", "--max-time", "60"]).args(line.split(' ')).current_dir(folder);
    run(command)
}
