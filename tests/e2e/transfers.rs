//! Files and images in and out.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::cli::gateway_ways;
use crate::support::compare::{on_every_way, with_every_client};
use crate::support::engine::{self, IMAGE};
use crate::support::gateway;
use crate::support::http::{self, Target};
use crate::support::process;
use crate::support::scope::Scope;

#[test]
fn gf9_a_file_is_copied_in_and_out_unchanged() {
    with_every_client(|docker| {
        let scope = Scope::new();
        let name = scope.idle();
        let (there, back) = (scope.file("there"), scope.file("back"));
        // Every byte value, and no multiple of any buffer size.
        let content: Vec<u8> =
            (0..3_000_017_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        fs::write(&there, &content).expect("scratch folder");
        docker.run(&["cp", &there.display().to_string(), &format!("{name}:/tmp/copied")]).ok();
        docker.run(&["cp", &format!("{name}:/tmp/copied"), &back.display().to_string()]).ok();
        assert!(fs::read(&back).expect("the copy") == content, "{docker}: the file came back changed");
        docker.run(&["exec", &name, "sha256sum", "/tmp/copied"]).ok().visible()
    });
}

#[test]
fn gf9_a_folder_is_copied_out_as_an_archive() {
    let scope = Scope::new();
    let name = scope.idle();
    let script = "mkdir -p /tmp/d/e; echo one > /tmp/d/1; echo two > /tmp/d/e/2";
    engine::bare().run(&["exec", &name, "sh", "-c", script]).ok();
    with_every_client(|docker| {
        let archive = docker.run(&["cp", &format!("{name}:/tmp/d"), "-"]).ok();
        assert!(archive.stdout.contains("d/e/2"), "{archive:?}");
        archive.visible()
    });
}

#[test]
fn gf9_the_head_of_an_archive_keeps_its_header_and_has_no_body() {
    let scope = Scope::new();
    let path = format!("/v1.41/containers/{}/archive?path=/etc/passwd", scope.idle());
    let expected = head(&Target::Socket(engine::socket().to_owned()), &path, "none");
    for way in gateway_ways() {
        let gateway = gateway::shared(way);
        assert_eq!(head(&gateway.target(), &path, &gateway.token), expected, "{way:?}");
    }
}

fn head(target: &Target, path: &str, token: &str) -> (u16, Vec<String>, Vec<String>) {
    let bearer = format!("Authorization: Bearer {token}");
    let answer = http::send(target, path, &["-I", "-H", &bearer]).expect("an answer");
    let header = |name: &str| answer.header(name).into_iter().map(str::to_owned).collect::<Vec<_>>();
    let stat = header("X-Docker-Container-Path-Stat");
    assert_eq!((answer.status, stat.len()), (200, 1), "{answer:?}");
    (answer.status, stat, header("Content-Type"))
}

#[test]
fn gf9_an_image_is_saved_and_loaded() {
    with_every_client(|docker| {
        let scope = Scope::new();
        let (image, file) = (scope.name("saved:1"), scope.file("tar"));
        let file = file.display().to_string();
        engine::bare().run(&["tag", IMAGE, &image]).ok();
        docker.run(&["save", "-o", &file, &image]).ok();
        docker.run(&["rmi", &image]).ok();
        let loaded = docker.run(&["load", "-i", &file]).ok();
        assert_eq!(loaded.stdout, format!("Loaded image: {image}\n"));
        docker.run(&["image", "inspect", "--format", "{{.Id}}", &image]).ok().visible()
    });
}

#[test]
fn gf9_an_image_on_standard_output_is_the_same_bytes_on_every_way() {
    let scope = Scope::new();
    let file = scope.file("stdout");
    on_every_way(|docker| {
        let mut command = docker.command(&["save", IMAGE]);
        let status = command.stdout(fs::File::create(&file).expect("scratch folder")).status();
        assert!(status.expect("the docker client").success(), "{docker}");
        let sum = process::run(with_file("sha256sum", &file)).ok();
        (fs::metadata(&file).expect("the archive").len(), sum.visible())
    });
}

fn with_file(program: &str, file: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg(file);
    command
}

#[test]
fn export_and_import_carry_a_whole_file_system() {
    on_every_way(|docker| {
        let scope = Scope::new();
        let (name, image) = (scope.idle(), scope.name("imported:1"));
        let file = scope.file("export").display().to_string();
        docker.run(&["export", "-o", &file, &name]).ok();
        docker.run(&["import", &file, &image]).ok();
        docker
            .run(&["run", "--rm", "--label", &scope.label(), &image, "/bin/echo", "imported"])
            .ok()
            .visible()
    });
}
