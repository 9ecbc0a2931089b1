//! Stacks that let people in without a proof, and stacks that only look so.

use std::path::Path;

use super::super::Stack;
use super::lines_without_proof;

/// The numbers of the lines that are named, in the service's own file and others.
fn named(files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let stack = Stack::read(files[0].0, &[folder.path().to_owned()]).unwrap();
    let place = |place: &str| place.rsplit('/').next().unwrap().to_owned();
    lines_without_proof(&stack).into_iter().map(|entry| place(&entry.place)).collect()
}

fn lines(text: &str) -> Vec<usize> {
    let named = named(&[("s", text)]);
    named.iter().map(|place| place.strip_prefix("s:").unwrap().parse().unwrap()).collect()
}

const COMMON_AUTH: &str = "auth [success=1 default=ignore] pam_unix.so nullok\n\
    auth requisite pam_deny.so\nauth required pam_permit.so\nauth optional pam_cap.so\n";

#[test]
fn i9_stacks_that_ask_for_a_proof_are_left_alone() {
    for text in [
        COMMON_AUTH,
        "auth required pam_unix.so\n",
        "auth requisite pam_nologin.so\nauth sufficient pam_unix.so\nauth required pam_deny.so\n",
        "auth required pam_env.so\nauth required pam_faildelay.so delay=1\nauth required pam_unix.so\n",
        // pam_faillock's manual page.
        "auth required pam_faillock.so preauth\nauth [success=1 default=bad] pam_unix.so\n\
         auth [default=die] pam_faillock.so authfail\nauth sufficient pam_faillock.so authsucc\n",
        // SSSD beside local users, as Red Hat writes it.
        "auth required pam_env.so\nauth [default=1 success=ok] pam_localuser.so\nauth sufficient pam_unix.so\n\
         auth sufficient pam_sss.so forward_pass\nauth required pam_deny.so\n",
        // A second factor that some do without.
        "auth [success=ignore default=1] pam_succeed_if.so user ingroup codes\nauth required pam_oath.so\n\
         auth required pam_unix.so\n",
        "auth [success=1 default=ignore] pam_succeed_if.so user ingroup staff\nauth requisite pam_deny.so\n\
         auth required pam_unix.so\n",
        "auth required pam_unix.so\nauth required pam_u2f.so nouserok\n",
        // A module that nobody here knows is taken to ask.
        "auth sufficient pam_of_our_own.so\nauth required pam_deny.so\n",
        "auth sufficient pam_exec.so expose_authtok /bin/check\nauth required pam_deny.so\n",
        "auth sufficient pam_wheel.so\nauth required pam_unix.so\n",
        // Nothing counts behind a success that was only said to be ok.
        "auth optional pam_permit.so\nauth required pam_unix.so\n",
        // Never reached.
        "auth [default=1] pam_succeed_if.so uid > 0\nauth sufficient pam_permit.so\nauth required pam_unix.so\n",
        "auth requisite pam_deny.so\nauth sufficient pam_rootok.so\n",
        "auth required pam_unix.so\nauth sufficient pam_rootok.so\n",
        // What libpam cannot read fails.
        "auth maybe pam_rootok.so\n",
        "auth [success=perhaps] pam_permit.so\n",
        "auth [success=1 default=ignore] pam_rootok.so\n",
        "account sufficient pam_permit.so\nsession required pam_permit.so\nauth required pam_unix.so\n",
        "auth [success=die default=ignore] pam_localuser.so\nauth required pam_unix.so\n",
    ] {
        assert_eq!(lines(text), [0; 0], "{text}");
    }
}

#[test]
fn i9_every_line_is_named_by_which_somebody_gets_in_without_a_proof() {
    for (text, wanted) in [
        ("auth sufficient pam_rootok.so\nauth required pam_unix.so\n", &[1][..]),
        ("-auth SUFFICIENT pam_rootok.so\nauth required pam_unix.so\n", &[1]),
        ("auth [sufficient] [pam_rootok.so]\nauth required pam_unix.so\n", &[1]),
        ("auth [success=done default=ignore] pam_rootok.so\nauth required pam_unix.so\n", &[1]),
        ("auth success=done pam_rootok.so\nauth required pam_unix.so\n", &[1]),
        ("auth [ success = done  default = ignore ] pam_rootok.so\nauth required pam_unix.so\n", &[1]),
        ("auth suff\\\nicient pam_rootok.so\n", &[]),
        ("auth \\\n  sufficient \\\n  pam_rootok.so # root\nauth required pam_unix.so\n", &[1]),
        ("auth sufficient /usr/local/lib/pam_rootok.so\nauth required pam_unix.so\n", &[1]),
        ("auth required pam_env.so\nauth sufficient pam_localuser.so\nauth required pam_unix.so\n", &[2]),
        (
            "auth sufficient pam_timestamp.so\nauth sufficient pam_wheel.so trust\nauth required pam_unix.so\n",
            &[1, 2],
        ),
        (
            "auth sufficient pam_succeed_if.so user ingroup x\nauth sufficient pam_unix.so\nauth required pam_deny.so\n",
            &[1],
        ),
        ("auth sufficient pam_listfile.so item=user sense=allow file=/x\nauth required pam_unix.so\n", &[1]),
        ("auth sufficient pam_exec.so /bin/true\nauth required pam_unix.so\n", &[1]),
        ("auth sufficient pam_u2f.so nouserok\nauth required pam_unix.so\n", &[1]),
        ("auth sufficient pam_rhosts.so\nauth required pam_unix.so\n", &[1]),
        // A jump to the closing pam_permit of Debian's files.
        (
            "auth [success=2 default=ignore] pam_rootok.so\nauth [success=1 default=ignore] pam_unix.so\n\
             auth requisite pam_deny.so\nauth required pam_permit.so\n",
            &[1],
        ),
        (
            "auth [default=1] pam_succeed_if.so uid > 0\nauth required pam_unix.so\nauth required pam_permit.so\n",
            &[1],
        ),
        // Whatever the module says is taken for a yes.
        ("auth [default=done] pam_nologin.so\nauth required pam_unix.so\n", &[1]),
        ("auth optional pam_unix.so\nauth required pam_permit.so\n", &[2]),
        ("auth [default=ignore] pam_unix.so\nauth required pam_permit.so\n", &[2]),
        ("auth required pam_permit.so\n", &[1]),
        ("auth optional pam_env.so\n", &[1]),
        ("auth sufficient pam_permit.so\nauth required pam_unix.so\n", &[1]),
        // A failure that is said to be ok, in versions before 1.6.
        ("auth [success=ok default=ok] pam_unix.so\nauth required pam_permit.so\n", &[2]),
        // Both lines are needed.
        (
            "auth [success=1 default=ignore] pam_localuser.so\nauth required pam_unix.so\n\
             auth [success=1 default=ignore] pam_access.so\nauth required pam_unix.so\nauth required pam_permit.so\n",
            &[1, 3, 5],
        ),
        // A jump beyond a line that libpam cannot read.
        ("auth [success=1 default=ignore] pam_rootok.so\nauth wrong\nauth required pam_permit.so\n", &[1]),
        // Users whom the module that asks leaves alone.
        ("auth required pam_google_authenticator.so nullok\nauth required pam_permit.so\n", &[2]),
        ("auth required pam_ldap.so ignore_unknown_user\nauth required pam_env.so\n", &[2]),
        ("auth sufficient pam_ccreds.so action=store\nauth required pam_unix.so\n", &[1]),
    ] {
        assert_eq!(lines(text), wanted, "{text}");
    }
}

#[test]
fn i9_files_that_are_taken_in_are_walked_as_libpam_walks_them() {
    let with = |own: &str, other: &str| named(&[("s", own), ("other-file", other)]);
    let rootok = "auth sufficient pam_rootok.so\nauth required pam_unix.so\n";
    for own in ["@include other-file\n", "auth include other-file\n", "auth substack other-file\n"] {
        assert_eq!(with(own, rootok), ["other-file:1"], "{own}");
        assert_eq!(with(own, COMMON_AUTH), [""; 0], "{own}");
    }
    assert_eq!(with("account include other-file\nauth required pam_unix.so\n", rootok), [""; 0]);
    // `done` ends a substack, and not the stack around it.
    assert_eq!(with("auth substack other-file\nauth required pam_oath.so\n", rootok), [""; 0]);
    assert_eq!(with("auth include other-file\nauth required pam_oath.so\n", rootok), ["other-file:1"]);
    // A jump over a substack is one line, whatever is in it.
    let jump = "auth [success=1 default=ignore] pam_succeed_if.so x\nauth substack other-file\nauth required pam_permit.so\n";
    assert_eq!(with(jump, "auth required pam_unix.so\nauth required pam_oath.so\n"), ["s:1"]);
    let include = jump.replace("substack", "include");
    assert_eq!(with(&include, "auth required pam_unix.so\nauth required pam_oath.so\n"), [""; 0]);
    // Within a substack nothing is jumped out of.
    assert_eq!(
        with("auth substack other-file\nauth required pam_unix.so\n", "auth [success=5] pam_rootok.so\n"),
        [""; 0]
    );
    // `reset` forgets the failure of the substack that it stands in.
    let reset = "auth required pam_unix.so\nauth [default=reset] pam_warn.so\n";
    assert_eq!(with("auth required pam_env.so\nauth substack other-file\n", reset), ["s:1", "other-file:2"]);
    assert_eq!(with("auth required pam_unix.so\nauth substack other-file\n", reset), [""; 0]);
    // What cannot be read fails, and a jump can lead around it.
    assert_eq!(named(&[("s", "auth include absent\nauth sufficient pam_rootok.so\n")]), [""; 0]);
    assert_eq!(
        named(&[(
            "s",
            "auth [success=1 default=ignore] pam_rootok.so\nauth include absent\nauth required pam_permit.so\n"
        )]),
        ["s:1"]
    );
}

#[test]
fn i9_what_cannot_be_read_to_its_end_is_not_believed() {
    let doubling: Vec<(String, String)> = (0..9)
        .map(|n| {
            (
                format!("f{n}"),
                format!("@include f{}\n@include f{}\nauth required pam_unix.so\n", n + 1, n + 1),
            )
        })
        .collect();
    let mut files: Vec<(&str, &str)> =
        doubling.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    files.push(("f9", "auth required pam_unix.so\n"));
    assert_eq!(named(&files).len(), 1);
    let long = "auth required pam_env.so\n".repeat(1_001) + "auth required pam_unix.so\n";
    assert_eq!(lines(&long), [1]);
    let padded = format!("auth required pam_unix.so\n#{}\n", "x".repeat(2 * 1024 * 1024));
    assert_eq!(lines(&padded), [1]);
}

#[test]
fn i9_the_service_files_that_come_with_doorward_ask_for_a_proof() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = [
        "pam.d/doorward",
        "pam.d/doorward-account",
        "docker/ldap/doorward.pam",
        "docker/kerberos/doorward.pam",
        "docker/active-directory/doorward.pam",
    ];
    for file in files {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let account = "account required pam_permit.so\n";
        let all = [
            ("s", text.as_str()),
            ("common-auth", COMMON_AUTH),
            ("common-account", account),
            ("common-password", ""),
        ];
        assert_eq!(named(&all), [""; 0], "{file}");
    }
}
