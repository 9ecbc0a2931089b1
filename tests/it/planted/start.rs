//! `serve` and `demo`, as root.

use super::*;

/// The words of a start that would go on for ever if nothing kept it.
fn serve(world: &World, state: &Path) -> Command {
    serve_with(world, state, &world.path("run"))
}

fn serve_with(world: &World, state: &Path, runtime: &Path) -> Command {
    let mut command =
        doorward(&["serve", "--no-login", "--listen", "127.0.0.1:0", "--autocert", "localhost"]);
    command.arg("--engine").arg(format!("unix://{}", world.path("engine.sock").display()));
    command.arg("--state").arg(state).arg("--runtime-dir").arg(runtime);
    command
}

#[test]
fn i4_no_link_in_the_log_files_place_leads_root_elsewhere() {
    if !may_run() {
        return;
    }
    for owner in [gateway(), third()] {
        for kind in KINDS {
            let (world, about) = (World::of(&owner), format!("{kind:?} of {}", owner.name));
            let log = world.theirs("requests.log");
            world.plant(kind, &log);
            let mut command = serve(&world, &world.path("state"));
            refused(command.arg("--log").arg(&log), &log, &about);
            world.is_untouched(&about);
        }
    }
}

#[test]
fn i4_the_log_may_be_what_the_process_was_started_with() {
    if !may_run() {
        return;
    }
    let world = World::of(&gateway());
    for log in ["/dev/stdout", "/proc/self/fd/1"] {
        let mut command = serve(&world, &world.path("state"));
        // As whoever starts it has made it for the gateway's user, who opens it once more.
        let (_reader, writer) = std::io::pipe().unwrap();
        std::os::unix::fs::fchown(&writer, Some(world.owner.uid.as_raw()), None).unwrap();
        let mut child = command.arg("--log").arg(log).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let mut errors = std::io::BufReader::new(child.stderr.take().unwrap());
        while !said.contains("\"listening\"") {
            assert!(std::io::BufRead::read_line(&mut errors, &mut said).unwrap() > 0, "{log}: {said}");
        }
        let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn i4_no_folder_above_the_log_file_leads_root_elsewhere() {
    if !may_run() {
        return;
    }
    let world = World::of(&gateway());
    world.plant(Kind::ToFolder, &world.theirs("logs"));
    let mut command = serve(&world, &world.path("state"));
    let said = refused(
        command.arg("--log").arg(world.theirs("logs/requests.log")),
        &world.theirs("logs"),
        "a linked folder",
    );
    assert!(said.contains("is a link that user"), "{said}");
    world.is_untouched("a linked folder");
}

#[test]
fn i4_a_state_folder_that_is_not_the_gateways_alone_is_refused_and_nothing_in_it_changes_hands() {
    if !may_run() {
        return;
    }
    let try_it = |about: &str, owner: &User, prepare: &dyn Fn(&World) -> PathBuf, words: &str| {
        let world = World::of(owner);
        let state = prepare(&world);
        fs::create_dir_all(state.join("below")).ok();
        let below = Seen::of(&state.join("below"));
        let own = Seen::of(&state);
        let said = refused(&mut serve(&world, &state), &state, about);
        assert!(said.contains(words), "{about}: {said}");
        assert_eq!((Seen::of(&state.join("below")), Seen::of(&state)), (below, own), "{about}");
        world.is_untouched(about);
    };
    let moded = |mode: u32| {
        move |world: &World| {
            let state = world.path("state");
            fs::create_dir(&state).unwrap();
            fs::set_permissions(&state, fs::Permissions::from_mode(mode)).unwrap();
            state
        }
    };
    for mode in [0o777, 0o1777, 0o775, 0o757, 0o2770] {
        try_it(&format!("{mode:o}"), &gateway(), &moded(mode), "chmod go-w");
    }
    try_it("a third user's", &third(), &|world| world.theirs(""), "belongs to user");
    try_it("root's with other things in it", &gateway(), &moded(0o755), "holds 'below'");
    try_it(
        "root's below a third user's",
        &third(),
        &|world| {
            fs::create_dir(world.theirs("state")).unwrap();
            world.theirs("state")
        },
        "could exchange it",
    );
    try_it("the system's", &gateway(), &|_| PathBuf::from("/etc"), "which is not Doorward's");
}

#[test]
fn i4_folders_of_the_system_that_may_be_empty_are_never_given_away() {
    if !may_run() {
        return;
    }
    for path in ["/home", "/srv", "/mnt", "/opt", "/usr/../srv"] {
        let world = World::of(&gateway());
        let before = Seen::of(Path::new(path));
        let (code, said) = run(&mut serve(&world, Path::new(path)));
        assert!(code.is_some_and(|code| code != 0), "{path}: {said}");
        let after = Seen::of(Path::new(path));
        // This machine's own: should it have gone wrong, it is put right at once.
        chown(path, Some(0), Some(0)).unwrap();
        assert_eq!(after, before, "{path}");
    }
}

#[test]
fn i4_no_link_in_the_state_folders_place_leads_root_elsewhere() {
    if !may_run() {
        return;
    }
    for kind in KINDS {
        let (world, about) = (World::of(&gateway()), format!("{kind:?}"));
        let state = world.theirs("state");
        world.plant(kind, &state);
        refused(&mut serve(&world, &state), &state, &about);
        world.is_untouched(&about);
    }
}

#[test]
fn i4_no_link_below_a_state_folder_of_the_gateways_leads_root_elsewhere() {
    if !may_run() {
        return;
    }
    let names = ["ca", "autocert", "acme", "login-ca", "doorward.db", "doorward.db-wal", "session.key", "x"];
    for name in names {
        for kind in KINDS {
            let (world, about) = (World::of(&gateway()), format!("{name}: {kind:?}"));
            fs::set_permissions(world.theirs(""), fs::Permissions::from_mode(0o700)).unwrap();
            world.plant(kind, &world.theirs(name));
            // Where it can start all the same, a log in the way ends it.
            let mut command = serve(&world, &world.theirs(""));
            run(command.arg("--log").arg(world.path("run")));
            world.is_untouched(&about);
        }
    }
}

#[test]
fn i4_a_runtime_folder_that_is_not_roots_own_is_refused() {
    if !may_run() {
        return;
    }
    for (about, owner, mode) in [("the gateway's", gateway(), 0o755), ("a third user's", third(), 0o755)] {
        let world = World::of(&owner);
        fs::set_permissions(world.theirs(""), fs::Permissions::from_mode(mode)).unwrap();
        let runtime = world.theirs("");
        refused(&mut serve_with(&world, &world.path("state"), &runtime), &runtime, about);
    }
    for kind in [Kind::Dangling, Kind::ToFolder] {
        let world = World::of(&gateway());
        world.plant(kind, &world.theirs("run"));
        let runtime = world.theirs("run");
        refused(&mut serve_with(&world, &world.path("state"), &runtime), &runtime, "a link");
        world.is_untouched("a link");
    }
    let world = World::of(&gateway());
    fs::set_permissions(world.victim("folder"), fs::Permissions::from_mode(0o700)).unwrap();
    let runtime = world.victim("folder");
    let said = refused(&mut serve_with(&world, &world.path("state"), &runtime), &runtime, "root's");
    assert!(said.contains("inner"), "{said}");
}

#[test]
fn i4_no_link_in_the_place_of_a_unix_socket_leads_root_elsewhere() {
    if !may_run() {
        return;
    }
    for owner in [gateway(), third()] {
        for kind in KINDS {
            let (world, about) = (World::of(&owner), format!("{kind:?} of {}", owner.name));
            let socket = world.theirs("gate.sock");
            world.plant(kind, &socket);
            let mut command = serve(&world, &world.path("state"));
            refused(command.arg("--listen").arg(format!("unix:{}", socket.display())), &socket, &about);
            world.is_untouched(&about);
        }
    }
    let world = World::of(&gateway());
    let _listening = std::os::unix::net::UnixListener::bind(world.victim("live.sock")).unwrap();
    symlink(world.victim("live.sock"), world.theirs("gate.sock")).unwrap();
    world.give(&world.theirs("gate.sock"));
    let mut command = serve(&world, &world.path("state"));
    let listen = format!("unix:{}", world.theirs("gate.sock").display());
    refused(command.args(["--listen", &listen]), &world.theirs("gate.sock"), "a link to a socket");
    assert!(world.victim("live.sock").exists());
}

#[test]
fn i4_root_reads_no_certificate_on_behalf_of_whoever_made_a_link_to_it() {
    if !may_run() {
        return;
    }
    let world = World::of(&gateway());
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let secret = world.path("secret.pem");
    fs::write(&secret, format!("{}{}", certificate.pem(), key.serialize_pem())).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let link = world.theirs("server.pem");
    symlink(&secret, &link).unwrap();
    world.give(&link);
    let mut command = doorward(&["serve", "--no-login", "--listen", "127.0.0.1:0", "--certfile"]);
    command.arg(&link).arg("--state").arg(world.path("state")).arg("--runtime-dir").arg(world.path("run"));
    let said = refused(&mut command, &link, "a linked key");
    assert!(said.contains("is a link that user"), "{said}");
}

#[test]
fn i4_the_demonstration_of_root_is_led_nowhere_either() {
    if !may_run() {
        return;
    }
    let demo = |state: &Path| {
        let mut command = doorward(&["demo", "--listen", "127.0.0.1:0", "--state"]);
        command.arg(state);
        command
    };
    for kind in [Kind::Dangling, Kind::ToFolder, Kind::ToFile] {
        let world = World::of(&third());
        world.plant(kind, &world.theirs("state"));
        refused(&mut demo(&world.theirs("state")), &world.theirs("state"), "a link");
        world.is_untouched("a link");
    }
    let world = World::of(&third());
    refused(&mut demo(&world.theirs("")), &world.theirs(""), "a third user's folder");
    refused(&mut demo(&world.victim("folder")), &world.victim("folder"), "a folder of root's in use");
    world.is_untouched("demo");
}
