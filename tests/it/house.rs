//! The rules of the house, held by reading the sources, the dependency graph and the binaries.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

mod source;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use source::{Source, all_sources, code_only, is_word, sources};

/// One part of the code and what it may import of ours. `domain` is open to everybody and is not repeated.
struct Room {
    /// The module's path under `src/`, without `.rs`. The longest one that fits a file counts.
    name: &'static str,
    /// Rooms it may import; its own is always allowed.
    may_import: &'static [&'static str],
    /// Why just these.
    why: &'static str,
}

impl Room {
    fn allows(&self, import: &str) -> bool {
        import == "domain" || self.name.split('/').next() == Some(import) || self.may_import.contains(&import)
    }
}

/// The table's line for a file.
fn room_of(source: &Source) -> &'static Room {
    let path = source.module();
    ROOMS
        .iter()
        .filter(|room| path == room.name || path.starts_with(&format!("{}/", room.name)))
        .max_by_key(|room| room.name.len())
        .unwrap_or_else(|| panic!("{} belongs to no room: add it to the table", source.name))
}

/// A request flows `listener → identity → policy → proxy`; side rooms do not know the stages; nobody knows `startup`.
/// To change a line is to change `docs/architecture.md`, where the same table stands in words.
#[rustfmt::skip]
const ROOMS: &[Room] = &[
    Room { name: "domain", may_import: &[], why: "plain types: everybody builds on them, so they build on nobody" },
    Room { name: "config", may_import: &[], why: "settings are read before anything else exists" },
    Room { name: "fs", may_import: &[], why: "files and folders that somebody could exchange; both binaries compile it" },
    Room { name: "store", may_import: &["config", "fs"], why: "the seam under the side rooms" },
    // Side rooms: pure rules and one seam each. Settings come from `config` as plain structs.
    Room { name: "acme", may_import: &["store", "config", "fs"], why: "side room" },
    Room { name: "audit", may_import: &["store", "config"], why: "side room" },
    Room { name: "ca", may_import: &["store", "config", "fs"], why: "side room" },
    Room { name: "pam", may_import: &["store", "config"], why: "side room" },
    Room { name: "session", may_import: &["store", "config"], why: "side room" },
    Room { name: "streams", may_import: &["store", "config"], why: "side room" },
    Room { name: "throttle", may_import: &["store", "config"], why: "side room" },
    Room { name: "token", may_import: &["store", "config"], why: "side room" },
    Room { name: "trust", may_import: &["ca", "store", "config", "fs"], why: "side room; our own CA's index says what was revoked" },
    Room { name: "users", may_import: &["store", "config", "fs"], why: "side room" },
    // Compiled into the broker too, where the library's rooms do not exist.
    Room { name: "pam/frames", may_import: &[], why: "both binaries compile it" },
    Room { name: "pam/stack", may_import: &[], why: "both binaries compile it: the doctor tells, the broker refuses" },
    Room { name: "pam/arguments", may_import: &[], why: "the broker's command line, and its manual page in the gateway" },
    Room { name: "pam/worker", may_import: &["worker"], why: "a program of its own, with libpam and nothing of the gateway" },
    // Stages, left to right. Each may know those to its left, and the side rooms that hold what it asks.
    Room { name: "listener", may_import: &["acme", "ca", "config", "fs", "streams", "trust"],
           why: "stage 1: it has nobody to its left; its certificates are made as the CA's are, it shows an ACME server its answers, it names the trusted ones to clients, and its byte streams leave HTTP and are looked for like any other" },
    Room { name: "identity", may_import: &["listener", "session", "throttle", "token", "trust", "users", "pam", "streams", "store", "config"],
           why: "stage 2: its doors read sessions and tokens, check passwords, count failures, and cut what a dead credential opened" },
    Room { name: "policy", may_import: &["identity", "listener", "config"], why: "stage 3: it decides about an identity" },
    Room { name: "proxy", may_import: &["policy", "identity", "listener", "session", "streams", "config", "fs"],
           why: "stage 4: it takes a permit by value, strips our cookie and registers what it opens" },
    Room { name: "pages", may_import: &["ca", "identity", "session", "token", "users", "store", "pam", "policy", "streams", "audit", "config", "trust"],
           why: "our own HTTP surface: writes what the stages read, but never touches a listener or the proxy" },
    Room { name: "gateway", may_import: &["audit", "config", "identity", "listener", "pages", "policy", "proxy", "session", "streams", "token"],
           why: "the heart: it alone sees all stages, and calls them in their order" },
    Room { name: "startup", may_import: &["acme", "audit", "ca", "config", "fs", "gateway", "identity", "listener", "pages", "pam", "policy", "proxy",
                                         "session", "store", "streams", "throttle", "token", "trust", "users"],
           why: "the composition root builds everything" },
    Room { name: "doctor", may_import: &["acme", "ca", "config", "listener", "pam", "proxy", "store", "users"],
           why: "looks at what the stages will use, with their own eyes: certificates, the way to the engine, the broker" },
    Room { name: "client", may_import: &["ca", "fs", "listener", "store"],
           why: "the other side of the wire: keys as the CA makes them, certificates as the listener shows them, private files; never what judges requests" },
    Room { name: "tunnel", may_import: &["client", "fs", "streams"],
           why: "a developer's end of the wire: logins and connections are the client's, bytes are carried as in the proxy" },
    Room { name: "cli", may_import: &["acme", "ca", "client", "config", "doctor", "fs", "listener", "pam", "startup", "store", "throttle", "token", "trust", "tunnel", "users"],
           why: "arguments to settings to one call; the only one that knows startup; bans have names; `check` loads certificates and the files of ACME too" },
    Room { name: "bin", may_import: &["cli", "worker"], why: "three lines each" },
    Room { name: "lib", may_import: &[], why: "a list of modules" },
];

/// Where `unsafe` may be written.
const UNSAFE_ROOMS: &[&str] = &["pam/worker"];

/// Most lines of a source file, its tests not counted: beyond that it does two things.
const MAX_LINES: usize = 400;

#[test]
fn imports_go_one_way() {
    let mut faults = String::new();
    for source in sources("src") {
        let room = room_of(&source);
        for import in source.imports() {
            let import = import.as_str();
            if !room.allows(import) {
                let _ = writeln!(faults, "{} imports {import}: {} is {}", source.name, room.name, room.why);
            }
        }
    }
    assert!(faults.is_empty(), "against the direction of docs/architecture.md:\n{faults}");
}

#[test]
fn every_module_of_the_library_has_a_line_in_the_table_and_the_other_way_round() {
    let library = code_only(&read("src/lib.rs"));
    let modules: Vec<&str> =
        library.lines().filter_map(|line| line.trim().strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(modules.len() > 5, "src/lib.rs was not understood: {modules:?}");
    for module in &modules {
        assert!(ROOMS.iter().any(|room| room.name == *module), "no line in the table for {module}");
    }
    for room in ROOMS.iter().filter(|room| !["bin", "lib"].contains(&room.name)) {
        let root = room.name.split('/').next().unwrap();
        assert!(modules.contains(&root), "{} is in the table but not in src/lib.rs", room.name);
        for import in room.may_import.iter().filter(|import| **import != "worker") {
            assert!(modules.contains(import), "{} may import {import}, which does not exist", room.name);
        }
    }
}

#[test]
fn no_source_file_is_too_long_to_read() {
    for source in sources("src") {
        let lines = source.code.lines().count();
        assert!(
            lines <= MAX_LINES,
            "{} has {lines} lines before its tests, more than {MAX_LINES}",
            source.name
        );
    }
}

#[test]
fn programs_are_only_a_door_to_the_library() {
    for source in sources("src").iter().filter(|source| room_of(source).name == "bin") {
        let lines = source.code.lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines <= 8, "{} has {lines} lines of code", source.name);
    }
}

#[test]
fn unsafe_code_stays_in_the_broker() {
    for source in sources("src") {
        let has = source.code.split(|c: char| !is_word(c)).any(|word| word == "unsafe");
        assert!(!has || UNSAFE_ROOMS.contains(&room_of(&source).name), "{} holds unsafe code", source.name);
    }
}

#[test]
fn i22_what_is_unsafe_to_show_is_decided_in_one_place() {
    // These refuse a value; they do not make one fit to be shown.
    let refusing = [
        "src/ca/profile.rs",
        "src/config/acme.rs",
        "src/identity/credential.rs",
        "src/pam/worker/transaction.rs",
        "src/policy/reading.rs",
        "src/policy/target.rs",
    ];
    for source in sources("src") {
        let is_known =
            source.name == "src/domain/foreign_text.rs" || refusing.contains(&source.name.as_str());
        assert!(
            is_known || ![".is_control()", "char::is_control"].iter().any(|call| source.code.contains(call)),
            "{} has a sanitizer of its own",
            source.name
        );
    }
}

#[test]
fn an_ignored_test_says_why() {
    for source in all_sources("src").into_iter().chain(all_sources("tests")) {
        let text = code_only(&source.text);
        assert!(!text.contains("#[ignore]"), "{}: #[ignore] without a reason", source.name);
    }
}

#[test]
fn the_gateway_does_not_link_libpam_and_the_broker_does() {
    let gateway = needed_libraries(env!("CARGO_BIN_EXE_doorward"));
    assert!(gateway.iter().any(|library| library.starts_with("libc.so")), "not understood: {gateway:?}");
    assert!(!gateway.iter().any(|library| library.starts_with("libpam")), "doorward needs {gateway:?}");
    let broker = needed_libraries(env!("CARGO_BIN_EXE_doorward-pam"));
    assert!(broker.iter().any(|library| library.starts_with("libpam.so")), "doorward-pam needs {broker:?}");
}

#[test]
fn there_is_one_crypto_provider() {
    assert!(users_of("rustls").contains("rustls v"), "cargo tree was not understood");
    for crate_name in ["ring", "openssl-sys", "native-tls"] {
        let tree = users_of(crate_name);
        assert!(!tree.contains(&format!("{crate_name} v")), "{crate_name} is in the build:\n{tree}");
    }
}

#[test]
fn every_exception_in_deny_toml_has_a_reason() {
    let file: toml::Table = read("deny.toml").parse().unwrap();
    let bans = file["bans"].as_table().unwrap();
    assert_eq!(bans["multiple-versions"].as_str(), Some("deny"));
    for banned in bans["deny"].as_array().unwrap() {
        assert!(reason(banned).len() > 10, "no reason: {banned}");
    }
    for skip in bans["skip"].as_array().unwrap() {
        let (date, why) = reason(skip).split_once(": ").unwrap_or_default();
        let dated = date.len() == 10 && date.split('-').all(|part| part.parse::<u16>().is_ok());
        assert!(dated && why.len() > 5, "no `YYYY-MM-DD: reason`: {skip}");
    }
}

#[test]
fn every_make_target_that_the_documents_name_exists_and_is_explained() {
    let makefile = read("Makefile");
    let explained: Vec<&str> = makefile
        .lines()
        .filter(|line| line.contains("## ") && !line.starts_with(['\t', '#', ' ']))
        .filter_map(|line| line.split(':').next())
        .collect();
    assert!(explained.contains(&"test"), "the Makefile was not understood: {explained:?}");
    for document in ["README.md", "CONTRIBUTING.md", "docs/operations.md"] {
        let text = read(document);
        for named in text.split("`make ").skip(1).filter_map(|rest| rest.split(['`', ' ']).next()) {
            assert!(explained.contains(&named), "{document} names `make {named}`");
        }
    }
    let readme = read("README.md");
    for command in ["make run", "make test"] {
        assert!(
            readme.lines().any(|line| line == command),
            "README.md does not show `{command}` on a line of its own"
        );
    }
}

#[test]
fn every_option_of_serve_stands_in_the_operations_guide_and_no_other() {
    let output = Command::new(env!("CARGO_BIN_EXE_doorward")).args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let offered = options_at_line_starts(&help, |line| Some(line.trim_start()));
    assert!(offered.len() > 10, "`doorward serve --help` was not understood:\n{help}");
    let guide = read("docs/operations.md");
    let explained = options_at_line_starts(&guide, |line| line.strip_prefix("| `"));
    for option in &offered {
        assert!(
            explained.contains(option) || option == "--help",
            "docs/operations.md does not explain {option}"
        );
    }
    for option in &explained {
        assert!(offered.contains(option), "docs/operations.md explains {option}, which serve does not have");
    }
}

/// The options that begin a line, once `strip` has taken away what stands before them (`-h, ` is skipped).
fn options_at_line_starts(text: &str, strip: impl Fn(&str) -> Option<&str>) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines().filter_map(strip) {
        let line = line
            .split_once(", --")
            .map_or(line, |(short, _)| if short.len() == 2 { &line[4..] } else { line });
        if line.starts_with("--") {
            found.push(line.chars().take_while(|c| is_word(*c) || *c == '-').collect());
        }
    }
    found
}

fn reason(entry: &toml::Value) -> &str {
    entry.get("reason").and_then(toml::Value::as_str).unwrap_or_default()
}

/// The shared libraries that a program asks the loader for.
fn needed_libraries(program: &str) -> Vec<String> {
    let output =
        Command::new("readelf").args(["--dynamic", program]).output().expect("readelf is part of binutils");
    assert!(output.status.success(), "readelf {program}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| Some(line.split_once('[')?.1.trim_end_matches(']').to_owned()))
        .collect()
}

/// Which crates bring `name` into the build, as cargo draws it; empty if none does.
fn users_of(name: &str) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "all", "--depth", "2", "--invert", name])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || said.contains("did not match any packages"), "cargo tree: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let names: Vec<String> = all_sources("src")
        .iter()
        .chain(&all_sources("tests"))
        .flat_map(|source| functions(&source.text))
        .collect();
    let model = read("docs/threat-model.md");
    let cells: Vec<&str> = model
        .lines()
        .filter(|line| line.matches(" | ").count() == 3 && line.contains('→'))
        .filter_map(|line| line.rsplit(" | ").next())
        .collect();
    assert!(cells.len() > 20, "docs/threat-model.md was not understood");
    let mut missing = Vec::new();
    for name in cells.iter().flat_map(|cell| cell.split('`').skip(1).step_by(2)) {
        let found = match name.strip_suffix('*') {
            Some(start) => names.iter().any(|existing| existing.starts_with(start)),
            None => names.iter().any(|existing| existing == name),
        };
        if !found {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "docs/threat-model.md names tests that are not there: {missing:#?}");
}

fn functions(text: &str) -> Vec<String> {
    text.split("fn ").skip(1).map(|rest| rest.chars().take_while(|c| is_word(*c)).collect()).collect()
}
