//! The five samples, how each becomes a file for this machine, and how its terminator is started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::scope::Scope;
use crate::support::{engine, keeper};

/// A sample, and what it becomes here.
pub(super) struct Sample {
    /// The file in `docs/terminators/`.
    pub(super) file: &'static str,
    /// `--client-cert-header`.
    pub(super) form: &'static str,
    /// Where the sample listens, and how that is written with another port.
    pub(super) listens: (&'static str, fn(u16) -> String),
    /// Starts the terminator with the file that the sample became, in a folder of its own.
    pub(super) command: fn(&Path) -> Command,
}

/// Writes the sample with the test's own ports and paths. Each of them must be in it.
pub(super) fn adapt(sample: &Sample, scope: &Scope, port: u16, gateway: u16) -> PathBuf {
    let path = |name: &str| scope.file(name).display().to_string();
    let mut text =
        fs::read_to_string(engine::tree().join("docs/terminators").join(sample.file)).expect("the sample");
    assert!(text.contains(&format!("--client-cert-header {}", sample.form)), "the gateway's side");
    let mut replace = |from: &str, to: &str| {
        assert!(text.contains(from), "{} has no {from}", sample.file);
        text = text.replace(from, to);
    };
    replace("/etc/doorward/gate.pem", &path("gate/server.pem"));
    replace("/etc/doorward/client-ca.pem", &path("ca/ca.pem"));
    let (listens, on) = sample.listens;
    replace(listens, &on(port));
    if sample.form == "envoy" {
        replace(
            "address: 127.0.0.1, port_value: 8100",
            &format!("address: 127.0.0.1, port_value: {gateway}"),
        );
    } else {
        replace("127.0.0.1:8100", &format!("127.0.0.1:{gateway}"));
    }
    text = text.replace("/etc/doorward/gate.key", &path("gate/key.pem")).replace("gate.example", "localhost");
    let file = scope.file(sample.file);
    fs::write(&file, text).expect("scratch folder");
    file
}

pub(super) const NGINX: Sample = Sample {
    file: "nginx.conf",
    form: "nginx",
    listens: ("listen 443 ssl;", |port| format!("listen 127.0.0.1:{port} ssl;")),
    command: |file| {
        let folder = file.parent().expect("a folder").display();
        let main = file.with_file_name("main.conf");
        let text = format!(
            "daemon off; pid {folder}/pid; error_log stderr;\nevents {{}}\nhttp {{ access_log off;\n\
             client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;\n\
             uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\ninclude {};\n}}\n",
            file.display()
        );
        fs::write(&main, text).expect("scratch folder");
        let mut command = keeper::tied("nginx");
        command.arg("-c").arg(main).arg("-p").arg(file.parent().expect("a folder"));
        command
    },
};

pub(super) const HAPROXY: Sample = Sample {
    file: "haproxy.cfg",
    form: "haproxy",
    listens: ("bind :443 ssl", |port| format!("bind 127.0.0.1:{port} ssl")),
    command: |file| {
        let mut command = keeper::tied("haproxy");
        command.arg("-db").arg("-f").arg(file);
        command
    },
};

pub(super) const CADDY: Sample = Sample {
    file: "Caddyfile",
    form: "caddy",
    listens: ("https://gate.example {", |port| {
        let general =
            "{\n\tadmin off\n\tauto_https disable_redirects\n\tservers {\n\t\tprotocols h1 h2\n\t}\n}\n";
        format!("{general}https://localhost:{port} {{\n\tbind 127.0.0.1")
    }),
    command: |file| {
        let mut command = keeper::tied("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
        command.env("HOME", file.parent().expect("a folder"));
        command
    },
};

pub(super) const TRAEFIK: Sample = Sample {
    file: "traefik.yaml",
    form: "traefik",
    listens: ("address: \":443\"", |port| format!("address: \"127.0.0.1:{port}\"")),
    command: |file| {
        let text = fs::read_to_string(file).expect("the sample");
        let is_entry = |line: &&str| line.starts_with("#   entryPoints:");
        let entry = text.lines().find(is_entry).expect("the static part").trim_start_matches(['#', ' ']);
        let general = file.with_file_name("static.yaml");
        let providers = format!("providers: {{ file: {{ filename: {} }} }}", file.display());
        fs::write(&general, format!("{entry}\n{providers}\n")).expect("scratch folder");
        let mut command = keeper::tied("traefik");
        command.arg(format!("--configFile={}", general.display()));
        command
    },
};

pub(super) const ENVOY: Sample = Sample {
    file: "envoy.yaml",
    form: "envoy",
    listens: ("address: 0.0.0.0, port_value: 443", |port| format!("address: 127.0.0.1, port_value: {port}")),
    command: |file| {
        let mut command = keeper::tied("envoy");
        command.args(["--concurrency", "1", "--use-dynamic-base-id", "-c"]).arg(file);
        command
    },
};
