//! Manual pages and completions, as the programs that show them see them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn doorward(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_doorward")).args(arguments).output().unwrap()
}

/// All pages, written to a folder.
fn pages() -> (TempDir, Vec<PathBuf>) {
    let folder = TempDir::new().unwrap();
    let output = doorward(&["man", "--out", folder.path().to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut files = Vec::new();
    for section in ["man1", "man5", "man8"] {
        let entries = std::fs::read_dir(folder.path().join(section)).unwrap();
        files.extend(entries.map(|entry| entry.unwrap().path()));
    }
    assert!(files.len() > 20, "{files:?}");
    (folder, files)
}

/// What a program has to say of a page, on both its outputs.
fn said(program: &str, arguments: &[&str], page: &Path) -> String {
    let output = Command::new(program)
        .args(arguments)
        .arg(page)
        .env("LC_ALL", "C.UTF-8")
        .env("MANWIDTH", "80")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; scripts/install-deps.sh test installs it"));
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn every_manual_page_is_sound_roff() {
    let (_folder, files) = pages();
    for file in &files {
        let groff = Command::new("man")
            .args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"])
            .arg(file)
            .env("LC_ALL", "C.UTF-8")
            .env("MANWIDTH", "80")
            .output()
            .unwrap();
        assert!(groff.stderr.is_empty(), "{}: {}", file.display(), String::from_utf8_lossy(&groff.stderr));
        assert_eq!(said("mandoc", &["-T", "lint", "-W", "warning"], file), "");
    }
}

#[test]
fn every_manual_page_can_be_found_by_its_name() {
    let (_folder, files) = pages();
    for file in &files {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let index = said("lexgrog", &[], file);
        assert!(index.contains(&format!("\"{name} - ")), "{}: {index}", file.display());
    }
}

#[test]
fn a_page_is_printed_by_its_name_with_and_without_the_programs() {
    let long = doorward(&["man", "doorward-ca-init"]);
    assert!(String::from_utf8(long.stdout).unwrap().contains("doorward\\-ca\\-init \\- Make a CA"));
    for words in [&["ca-init"][..], &["ca", "init"], &["doorward", "ca", "init"]] {
        let page = doorward(&[&["man"], words].concat());
        assert!(
            String::from_utf8(page.stdout).unwrap().contains("doorward\\-ca\\-init \\- Make a CA"),
            "{words:?}"
        );
    }
    let wrong = doorward(&["man", "doorward-no-such"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("doorward-ca-init"));
}

/// What bash offers behind these words.
fn completed(words: &str) -> Vec<String> {
    let script = r#"
        set -eu
        source <("$DOORWARD" completions bash)
        COMP_WORDS=($WORDS ${LAST:+"$LAST"})
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        $(complete -p doorward | sed 's/.*-F \([^ ]*\).*/\1/') doorward "$LAST" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let (words, last) = words.rsplit_once(' ').unwrap();
    let output = Command::new("bash")
        .args(["--norc", "-c", script])
        .env("DOORWARD", env!("CARGO_BIN_EXE_doorward"))
        .env("WORDS", words)
        .env("LAST", last)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_options() {
    assert_eq!(completed("doorward ca i"), ["init"]);
    assert_eq!(completed("doorward serve --autoc"), ["--autocert"]);
    let actions = completed("doorward users d");
    assert_eq!(actions, ["disable"]);
}

#[test]
fn zsh_and_fish_read_their_completions() {
    let zsh = "autoload -Uz compinit && compinit -u -D && . /dev/stdin && print ${_comps[doorward]}";
    assert_eq!(fed("zsh", &["-f", "-c", zsh]), "_doorward\n");
    let fish = "source -; complete -C 'doorward ca i'; complete -C 'doorward users d'";
    let offered = fed("fish", &["--no-config", "-c", fish]);
    let words: Vec<&str> = offered.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(words, ["init", "disable"]);
}

/// What a shell prints that gets its script on standard input; it must complain of nothing.
fn fed(shell: &str, arguments: &[&str]) -> String {
    let home = TempDir::new().unwrap();
    let script = home.path().join("script");
    std::fs::write(&script, doorward(&["completions", shell]).stdout).unwrap();
    let output = Command::new(shell)
        .args(arguments)
        .env("HOME", home.path())
        .stdin(std::fs::File::open(&script).unwrap())
        .output()
        .unwrap_or_else(|error| panic!("{shell}: {error}; scripts/install-deps.sh test installs it"));
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn completions_look_up_no_names_of_hosts_or_users() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = doorward(&["completions", shell]);
        assert!(output.status.success(), "{shell}");
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("healthcheck"), "{shell}");
        for source in
            [":_hosts", ":_users", "known_hosts", "-A hostname", "-A user", "__fish_print_hostnames"]
        {
            assert!(!script.contains(source), "{shell}: {source}");
        }
    }
}
