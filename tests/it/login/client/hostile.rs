//! A gateway that turns hostile gets nothing and hurts nothing.

use rcgen::{CertificateParams, CertificateSigningRequestParams, Issuer, KeyPair};
use serde_json::Value;

use super::Home;
use super::server::{Reply, Server, granted, json};

#[test]
fn k5_a_changed_key_is_refused_loudly_before_anything_is_said() {
    let (home, server) = (Home::new(), Server::start(|_| granted()));
    server.log_in(&home, "secret horse\n", &["--no-context"]).expect(0);
    let before = server.requests().len();
    assert!(before > 0);
    server.change_key();
    let url = server.url();
    for arguments in [
        vec!["whoami"],
        vec!["token", "list"],
        vec!["api", "GET", "/"],
        vec!["context", "renew", "127.0.0.1"],
        vec!["login", "--user", "bob", "--password-stdin", &url],
    ] {
        let said = home.run_with("secret horse\n", &arguments).expect(6).err;
        assert!(said.contains("HAS CHANGED") && said.contains("doorward logout --host"), "{said}");
    }
    // Logout forgets it, and does not give it the token either.
    home.run(&["logout"]).expect(1);
    assert_eq!(server.requests().len(), before, "{:?}", server.requests());
    home.is_empty();
}

#[test]
fn a_redirect_is_followed_nowhere() {
    let elsewhere = Server::start(|_| granted());
    let target = elsewhere.url();
    for status in [301, 302, 303, 307, 308] {
        let head = format!(
            "HTTP/1.1 {status} X\r\nLocation: {target}/_doorward/api/v1/login\r\nContent-Length: 0\r\n\r\n"
        );
        let server = Server::start(move |_| Reply::Bytes(head.clone().into_bytes()));
        let home = Home::new();
        let said = server.log_in(&home, "secret horse\n", &[]).expect(1).err;
        assert!(said.contains("does not follow"), "{said}");
        home.is_empty();
    }
    assert_eq!(elsewhere.handshakes(), 0);
}

#[test]
fn questions_without_end_are_given_up() {
    let question = r#"{"conversation":"c","messages":[],"prompts":[{"style":"secret","text":"Again: "}]}"#;
    let (home, server) = (Home::new(), Server::start(move |_| json(200, question)));
    let said = server.log_in(&home, &"secret horse\n".repeat(1000), &[]).expect(5).err;
    assert!(said.contains("asks and asks"), "{said}");
    let requests = server.requests();
    assert!(requests.len() < 50, "{}", requests.len());
    assert!(requests.last().unwrap().contains("\"cancel\":true"), "{requests:?}");
    home.is_empty();
}

#[test]
fn too_many_questions_at_once_are_not_answered() {
    let prompts = vec![r#"{"style":"secret","text":"x"}"#; 1000].join(",");
    let answer = format!(r#"{{"conversation":"c","prompts":[{prompts}]}}"#);
    let (home, server) = (Home::new(), Server::start(move |_| json(200, &answer)));
    let said = server.log_in(&home, &"secret horse\n".repeat(2000), &[]).expect(1).err;
    assert!(said.contains("at once"), "{said}");
    home.is_empty();
}

#[test]
fn a_login_that_nobody_can_answer_is_given_up_at_the_gateway_too() {
    let question = r#"{"conversation":"c-17","prompts":[{"style":"echo","text":"Code: "}]}"#;
    let (home, server) = (Home::new(), Server::start(move |_| json(200, question)));
    // One line is the password; the code is missing.
    let said = server.log_in(&home, "secret horse\n", &[]).expect(5).err;
    assert!(said.contains("no answer"), "{said}");
    let last = server.requests().pop().unwrap();
    assert!(last.ends_with(r#"{"conversation":"c-17","cancel":true}"#), "{last}");
    home.is_empty();
}

#[test]
fn an_answer_of_a_gigabyte_is_not_read() {
    for length in ["Content-Length: 1073741824", "Connection: close"] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{length}\r\n\r\n");
        let server = Server::start(move |_| Reply::Endless(head.clone().into_bytes()));
        let home = Home::new();
        let said = server.log_in(&home, "secret horse\n", &[]).expect(1).err;
        assert!(said.contains("larger than 1024 KiB"), "{said}");
        // What it could send is what was read and what the kernel holds in between.
        assert!(server.sent() < 64 * 1024 * 1024, "{}", server.sent());
        home.is_empty();
    }
}

#[test]
fn a_head_without_end_is_not_read() {
    let server = Server::start(|_| Reply::Endless(b"HTTP/1.1 200 OK\r\nX: ".to_vec()));
    let home = Home::new();
    server.log_in(&home, "secret horse\n", &[]).expect(1);
    assert!(server.sent() < 64 * 1024 * 1024, "{}", server.sent());
    home.is_empty();
}

#[test]
fn a_gateways_words_do_not_steer_the_terminal() {
    let evil = "bad\\u001b[2J\\u0007\\u202e\\u009b1mword";
    let refusal = format!(r#"{{"message":"{evil}"}}"#);
    let (home, server) = (Home::new(), Server::start(move |_| json(401, &refusal)));
    let said = server.log_in(&home, "secret horse\n", &[]).expect(5).err;
    assert!(said.contains("bad?[2J???1mword"), "{said:?}");
    // Neither those of a success.
    let lists = format!(
        r#"[{{"id":"{evil}","name":"{evil}","kind":"{evil}","expires":"{evil}","created":"{evil}","user":"{evil}"}}]"#
    );
    let me = format!(r#"{{"user":"{evil}","groups":["{evil}"],"scope":"{evil}"}}"#);
    let login = format!(
        r#"{{"token":"dwt_x","user":"bob","expires":"2099-01-01T00:00:00Z","messages":[{{"level":"info","text":"{evil}"}}]}}"#
    );
    let server = Server::start(move |request| match request.split(' ').nth(1).unwrap() {
        path if path.ends_with("/login") => json(200, &login),
        path if path.ends_with("/whoami") => json(200, &me),
        path if path.ends_with("/certificates") => json(404, r#"{"message":"none"}"#),
        _ => json(200, &lists),
    });
    let home = Home::new();
    let mut ended = vec![server.log_in(&home, "secret horse\n", &[])];
    for arguments in
        [vec!["whoami"], vec!["token", "list", "--all"], vec!["session", "list"], vec!["context"]]
    {
        ended.push(home.run(&arguments));
    }
    for ended in ended {
        let ended = ended.expect(0);
        let steers = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!ended.out.contains(steers) && !ended.err.contains(steers), "{ended:?}");
    }
}

#[test]
fn an_answer_that_is_no_login_leaves_nothing() {
    for answer in [
        r#"{}"#,
        r#"{"token":"dwt_x","user":"bob"}"#,
        r#"{"token":"dwt x\r\nX: y","user":"bob","expires":"2099-01-01T00:00:00Z"}"#,
        r#"{"token":"dwt_x","user":"../../etc","expires":"2099-01-01T00:00:00Z"}"#,
        r#"{"token":"dwt_x","user":"bob","expires":"never"}"#,
        r#"[]"#,
        "<html>",
    ] {
        let server = Server::start(move |_| json(200, answer));
        let home = Home::new();
        let said = server.log_in(&home, "secret horse\n", &[]).expect(1).err;
        assert!(said.contains("is this a Doorward gateway?") && !said.contains("dwt"), "{answer}: {said}");
        home.is_empty();
    }
}

#[test]
fn a_certificate_for_another_key_is_not_given_to_docker() {
    let made = rcgen::generate_simple_self_signed(["bob".to_owned()]).unwrap().cert.pem();
    let issued = serde_json::json!({ "id": "ab", "certificate": made, "expires": "2099-01-01T00:00:00Z" });
    let issued = issued.to_string();
    let server = Server::start(move |request| match request.contains("/certificates ") {
        true => json(200, &issued),
        false => granted(),
    });
    let home = Home::new();
    let said = server.log_in(&home, "secret horse\n", &[]).expect(1).err;
    assert!(said.contains("you are logged in, but docker cannot use it yet"), "{said}");
    assert!(!home.path(".docker").exists());
    // The request held a public key and nothing else of this machine.
    let request = server.requests().into_iter().find(|request| request.contains("/certificates ")).unwrap();
    assert!(request.contains("BEGIN CERTIFICATE REQUEST") && !request.contains("PRIVATE KEY"), "{request}");
}

/// A certificate for whatever key is asked for, by a CA that nobody in between knows.
fn issue(request: &str) -> String {
    let body: Value = serde_json::from_str(request.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let csr = CertificateSigningRequestParams::from_pem(body["csr"].as_str().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::new(CertificateParams::default(), key);
    csr.signed_by(&issuer).unwrap().pem()
}

#[test]
fn a_certificate_is_not_promised_where_somebody_in_between_keeps_it_to_himself() {
    for who in [
        json_text(401, r#"{"message":"login required"}"#),
        json_text(200, r#"{"user":"bob","door":"none"}"#),
        "HTTP/1.1 400 X\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n".to_owned(),
    ] {
        let server = Server::start(move |request| match request.split(' ').nth(1).unwrap() {
            path if path.ends_with("/login") => granted(),
            path if path.ends_with("/whoami") => Reply::Bytes(who.clone().into_bytes()),
            path if path.ends_with("/certificates") => {
                let issued = serde_json::json!({ "id": "ab", "certificate": issue(request), "expires": "2099-01-01T00:00:00Z" });
                json(200, &issued.to_string())
            }
            _ => json(200, "null"),
        });
        let home = Home::new();
        let said = server.log_in(&home, "secret horse\n", &[]).expect(0).err;
        assert!(said.contains("does not let it in") && said.contains("doorward tunnel"), "{said}");
        let keys = home.files().into_iter().filter(|path| path.ends_with("key.pem")).count();
        assert_eq!(keys, 0);
        let requests = server.requests();
        let asked = requests.iter().find(|request| request.contains("/whoami ")).unwrap();
        assert!(!asked.to_ascii_lowercase().contains("authorization"), "with the certificate alone: {asked}");
        assert!(requests.last().unwrap().starts_with("DELETE /_doorward/api/v1/certificates/ab "));
    }
}

fn json_text(status: u16, body: &str) -> String {
    let Reply::Bytes(bytes) = json(status, body) else { panic!("it has an end") };
    String::from_utf8(bytes).unwrap()
}

#[test]
fn what_is_sent_from_a_pipe_or_a_file_arrives_as_it_is() {
    let server =
        Server::start(|request| if request.contains("/login ") { granted() } else { json(200, "{}") });
    let home = Home::new();
    server.log_in(&home, "secret horse\n", &["--no-context"]).expect(0);
    home.run_with("from a pipe", &["api", "POST", "/x", "--data", "-", "--type", "text/plain"]).expect(0);
    let sent = server.requests().pop().unwrap();
    assert!(sent.contains("content-type: text/plain") && sent.contains("from a pipe"), "{sent}");
    assert!(sent.to_ascii_lowercase().contains("authorization: bearer dwt_x"), "{sent}");
    let file = home.place.write("body.json", "{\"a\":1}");
    home.run(&["api", "PUT", "/x", "-d", &format!("@{}", file.display())]).expect(0);
    assert!(server.requests().pop().unwrap().contains("{\"a\":1}"));
    let revoked = home.run(&["token", "revoke", "--user", "a/b?c"]).expect(0);
    assert!(server.requests().pop().unwrap().starts_with("DELETE /_doorward/api/v1/tokens?user=a%2Fb%3Fc "));
    assert!(revoked.err.contains("a/b?c"), "{revoked:?}");
}

#[test]
fn a_browser_is_sent_to_the_gateway_that_was_asked_and_nowhere_else() {
    let begun = |url: &str| {
        format!(r#"{{"device":"dev_secret","code":"ABCD-EFGH","url":"{url}","interval":1,"expires_in":600}}"#)
    };
    let elsewhere = Server::start({
        let answer = begun("https://evil.example/_doorward/device");
        move |_| json(200, &answer)
    });
    let home = Home::new();
    let web = |server: &Server, home: &Home| {
        let url = server.url();
        let said = home.run(&["login", "--web", &url]).expect(6).err;
        let print =
            said.lines().find_map(|line| line.trim().strip_prefix("--fingerprint ")).unwrap().to_owned();
        home.run(&["login", "--web", "--no-context", "--fingerprint", &print, &url])
    };
    let said = web(&elsewhere, &home).expect(1).err;
    assert!(said.contains("another host's") && !said.contains("evil.example"), "{said}");
    home.is_empty();
    // Pending, too fast, approved; and denied.
    let polls = std::sync::atomic::AtomicUsize::new(0);
    let good = Server::start(move |request| match request.contains("/device/token ") {
        true if !request.ends_with(r#"{"device":"dev_secret"}"#) => json(400, r#"{"message":"wrong"}"#),
        true => match polls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => json(202, r#"{"status":"pending"}"#),
            1 => granted(),
            _ => json(410, r#"{"message":"the login was denied"}"#),
        },
        false => json(200, &begun("https://127.0.0.1:1/_doorward/device")),
    });
    let said = web(&good, &home).expect(0).err;
    assert!(
        said.contains("ABCD-EFGH") && said.contains("/_doorward/device") && !said.contains("dev_secret"),
        "{said}"
    );
    let entry = std::fs::read(home.path(&format!(".config/doorward/hosts/{}.json", good.address))).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&entry).unwrap()["user"], "bob");
    let said = web(&good, &Home::new()).expect(5).err;
    assert!(said.contains("the login was denied"), "{said}");
}
