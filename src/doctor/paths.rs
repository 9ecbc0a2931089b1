//! Where things are on a Linux host. Fields and not constants, so that tests can look elsewhere; nothing that a user
//! types or sets changes them.

use std::path::PathBuf;

/// The places that are looked at.
#[derive(Clone, Debug)]
pub struct Paths {
    /// Folders with a PAM service's file, in libpam's order (pam.d(5)).
    pub pam: Vec<PathBuf>,
    /// Folders with PAM modules.
    pub modules: Vec<PathBuf>,
    /// The shadow file.
    pub shadow: PathBuf,
    /// Folder of earlier passwords (pam_pwhistory, pam_unix with `remember`).
    pub old_passwords: PathBuf,
    /// Settings of pam_faillock.
    pub faillock: PathBuf,
    /// Where people have their home folders.
    pub homes: PathBuf,
    /// Where `unix_chkpwd` may be.
    pub unix_chkpwd: Vec<PathBuf>,
    /// Settings and socket of nslcd (libpam-ldapd).
    pub nslcd: (PathBuf, PathBuf),
    /// Socket of sssd's PAM responder.
    pub sssd: PathBuf,
    /// Sockets of winbind, in its order.
    pub winbind: Vec<PathBuf>,
    /// Settings of Kerberos.
    pub krb5: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        let all = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
        let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
        let mut modules: Vec<PathBuf> = all(&["/lib64/security", "/usr/lib64/security", "/lib/security"]);
        modules.insert(0, PathBuf::from(format!("/lib/{triplet}/security")));
        modules.extend(all(&["/usr/lib/security"]));
        Self {
            pam: all(&["/etc/pam.d", "/usr/lib/pam.d"]),
            modules,
            shadow: "/etc/shadow".into(),
            old_passwords: "/etc/security".into(),
            faillock: "/etc/security/faillock.conf".into(),
            homes: "/home".into(),
            unix_chkpwd: all(&["/usr/sbin/unix_chkpwd", "/sbin/unix_chkpwd"]),
            nslcd: ("/etc/nslcd.conf".into(), "/run/nslcd/socket".into()),
            sssd: "/var/lib/sss/pipes/pam".into(),
            winbind: all(&["/run/samba/winbindd/pipe", "/var/run/samba/winbindd/pipe"]),
            krb5: krb5(),
        }
    }
}

impl Paths {
    /// A new shadow file is made beside the old one.
    pub(super) fn shadow_folder(&self) -> PathBuf {
        self.shadow.parent().unwrap_or(&self.shadow).to_owned()
    }
}

/// `KRB5_CONFIG` may hold several files with colons between; the first is read here.
fn krb5() -> PathBuf {
    let given = std::env::var_os("KRB5_CONFIG");
    let first = given.as_ref().and_then(|paths| std::env::split_paths(paths).next());
    first.filter(|path| !path.as_os_str().is_empty()).unwrap_or_else(|| "/etc/krb5.conf".into())
}
