//! Commands that root runs on the gateway's own files, and on folders that others can write.

use super::*;
use doorward::store::SqliteStore;

/// A state folder of the gateway's with a database in it, as a run of the gateway leaves it.
fn state(world: &World) -> PathBuf {
    let state = world.theirs("");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    let made = world.path("made");
    fs::create_dir(&made).unwrap();
    drop(SqliteStore::open(&made.join("doorward.db")).unwrap());
    fs::rename(made.join("doorward.db"), state.join("doorward.db")).unwrap();
    world.give(&state.join("doorward.db"));
    state
}

#[test]
fn i4_bans_of_root_follow_no_link_of_the_gateways() {
    if !may_run() {
        return;
    }
    for name in ["doorward.db", "doorward.db-wal", "doorward.db-shm", "doorward.db-journal"] {
        for kind in KINDS {
            let (world, about) = (World::of(&gateway()), format!("{name}: {kind:?}"));
            let state = state(&world);
            let _ = fs::remove_file(state.join(name));
            world.plant(kind, &state.join(name));
            let mut command = doorward(&["bans", "--state"]);
            // A dangling link in the database's place is no database.
            refused(command.arg(&state), &state.join(name), &about);
            world.is_untouched(&about);
        }
    }
}

#[test]
fn i4_bans_of_root_leave_nothing_of_roots_in_the_gateways_folder() {
    if !may_run() {
        return;
    }
    let world = World::of(&gateway());
    let state = state(&world);
    let (code, said) = run(doorward(&["bans", "--state"]).arg(&state));
    assert_eq!((code, said.trim()), (Some(0), "nobody is banned"));
    for entry in fs::read_dir(&state).unwrap().flatten() {
        assert_eq!(entry.metadata().unwrap().uid(), gateway().uid.as_raw(), "{entry:?}");
    }
}

#[test]
fn i4_a_database_that_others_could_have_planted_is_not_opened() {
    if !may_run() {
        return;
    }
    for (mode, owner) in [(0o777, gateway()), (0o1777, gateway()), (0o770, gateway()), (0o700, third())] {
        let world = World::of(&owner);
        let state = state(&world);
        fs::set_permissions(&state, fs::Permissions::from_mode(mode)).unwrap();
        refused(doorward(&["bans", "--state"]).arg(&state), &state, &format!("{mode:o} {}", owner.name));
    }
    // And where root would open it itself.
    let world = World::of(&third());
    let folder = world.path("folder");
    fs::create_dir(&folder).unwrap();
    let database = folder.join("doorward.db");
    drop(SqliteStore::open(&database).unwrap());
    chown(&database, Some(third().uid.as_raw()), None).unwrap();
    let error = SqliteStore::open(&database).err().unwrap().to_string();
    assert!(error.contains("belongs to user"), "{error}");
    chown(&database, Some(0), None).unwrap();
    for mode in [0o777, 0o1777, 0o775] {
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        let error = SqliteStore::open(&database).err().unwrap().to_string();
        assert!(error.contains("chmod go-w"), "{error}");
    }
}

#[test]
fn i4_a_ca_is_made_in_no_folder_that_the_gateway_planted() {
    if !may_run() {
        return;
    }
    let init = ["ca", "init", "--no-passphrase"];
    for kind in [Kind::Dangling, Kind::ToFolder, Kind::ToFile, Kind::OverTwo, Kind::Pipe] {
        let (world, about) = (World::of(&gateway()), format!("{kind:?}"));
        let state = state(&world);
        world.plant(kind, &state.join("ca"));
        refused(doorward(&init).arg("--state").arg(&state), &state.join("ca"), &about);
        world.is_untouched(&about);
    }
    let world = World::of(&gateway());
    let state = state(&world);
    fs::create_dir(state.join("ca")).unwrap();
    world.give(&state.join("ca"));
    refused(doorward(&init).arg("--state").arg(&state), &state.join("ca"), "a folder of theirs");
    for name in ["ca.pem", "ca-key.pem", "index", "crl.pem"] {
        for kind in KINDS {
            let (world, about) = (World::of(&gateway()), format!("{name}: {kind:?}"));
            let ca = world.path("ca");
            fs::create_dir(&ca).unwrap();
            world.plant(kind, &ca.join(name));
            run(doorward(&init).arg("--dir").arg(&ca));
            world.is_untouched(&about);
        }
    }
}

#[test]
fn i4_a_folder_that_holds_something_else_does_not_become_a_cas() {
    if !may_run() {
        return;
    }
    let world = World::of(&gateway());
    let mut command = doorward(&["ca", "init", "--no-passphrase", "--dir"]);
    let said = refused(command.arg(world.victim("folder")), &world.victim("folder"), "--dir");
    assert!(said.contains("inner"), "{said}");
    world.is_untouched("--dir");
}

#[test]
fn i4_what_is_written_into_a_folder_of_somebody_elses_replaces_their_links_and_follows_none() {
    if !may_run() {
        return;
    }
    for kind in [Kind::Dangling, Kind::ToFile, Kind::HardLink] {
        let (world, about) = (World::of(&third()), format!("{kind:?}"));
        fs::create_dir(world.theirs("man8")).unwrap();
        world.give(&world.theirs("man8"));
        world.plant(kind, &world.theirs("man8/doorward-serve.8"));
        let (code, said) = run(doorward(&["man", "--out"]).arg(world.theirs("")));
        assert_eq!(code, Some(0), "{about}: {said}");
        world.is_untouched(&about);
        assert!(fs::read_to_string(world.theirs("man8/doorward-serve.8")).unwrap().contains("serve"));
    }
    let world = World::of(&third());
    world.plant(Kind::ToFolder, &world.theirs("man8"));
    refused(doorward(&["man", "--out"]).arg(world.theirs("")), &world.theirs("man8"), "a linked folder");
    world.is_untouched("man");

    let ca = world.path("ca");
    assert_eq!(run(doorward(&["ca", "init", "--no-passphrase", "--dir"]).arg(&ca)).0, Some(0));
    world.plant(Kind::ToFolder, &world.theirs("tls"));
    let mut command = doorward(&["ca", "server", "--name", "gate.example", "--dir"]);
    command.arg(&ca).arg("--out").arg(world.theirs("tls"));
    refused(&mut command, &world.theirs("tls"), "a linked folder");
    world.is_untouched("ca server");

    let users = world.theirs("tls/users.toml");
    let mut command = doorward(&["users", "--users"]);
    refused(command.arg(&users).args(["add", "bob", "--generate"]), &world.theirs("tls"), "users");
    world.is_untouched("users");
}

#[test]
fn i4_a_brokers_socket_is_made_only_where_nobody_else_could_put_another() {
    if !may_run() {
        return;
    }
    let broker = |path: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward-pam"));
        command.args(["--service", "login", "--socket"]).arg(path);
        command
    };
    for owner in [gateway(), third()] {
        let world = World::of(&owner);
        refused(&mut broker(&world.theirs("pam.sock")), &world.theirs("pam.sock"), "in a folder of theirs");
        for kind in KINDS {
            let path = world.theirs(&format!("{kind:?}.sock"));
            world.plant(kind, &path);
            refused(&mut broker(&path), &path, &format!("{kind:?}"));
            let _ = fs::remove_file(world.theirs("between"));
            world.is_untouched(&format!("{kind:?}"));
        }
    }
    for mode in [0o777, 0o775] {
        let world = World::of(&gateway());
        fs::create_dir(world.path("open")).unwrap();
        fs::set_permissions(world.path("open"), fs::Permissions::from_mode(mode)).unwrap();
        refused(&mut broker(&world.path("open/pam.sock")), &world.path("open"), &format!("{mode:o}"));
    }
    let world = World::of(&gateway());
    world.plant(Kind::ToFile, &world.path("pam.sock"));
    refused(&mut broker(&world.path("pam.sock")), &world.path("pam.sock"), "a link in a folder of root's");
    world.is_untouched("a link");
}
