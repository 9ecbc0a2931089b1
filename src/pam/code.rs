//! Return codes of Linux-PAM (`/usr/include/security/_pam_types.h`), for logs and for deciding what a failure means.

use std::fmt;

/// A return code of libpam. Displays as its name, for example `AUTH_ERR`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PamCode(pub i32);

const NAMES: [&str; 32] = [
    "SUCCESS",
    "OPEN_ERR",
    "SYMBOL_ERR",
    "SERVICE_ERR",
    "SYSTEM_ERR",
    "BUF_ERR",
    "PERM_DENIED",
    "AUTH_ERR",
    "CRED_INSUFFICIENT",
    "AUTHINFO_UNAVAIL",
    "USER_UNKNOWN",
    "MAXTRIES",
    "NEW_AUTHTOK_REQD",
    "ACCT_EXPIRED",
    "SESSION_ERR",
    "CRED_UNAVAIL",
    "CRED_EXPIRED",
    "CRED_ERR",
    "NO_MODULE_DATA",
    "CONV_ERR",
    "AUTHTOK_ERR",
    "AUTHTOK_RECOVERY_ERR",
    "AUTHTOK_LOCK_BUSY",
    "AUTHTOK_DISABLE_AGING",
    "TRY_AGAIN",
    "IGNORE",
    "ABORT",
    "AUTHTOK_EXPIRED",
    "MODULE_UNKNOWN",
    "BAD_ITEM",
    "CONV_AGAIN",
    "INCOMPLETE",
];

impl PamCode {
    /// `PAM_SUCCESS`.
    pub const SUCCESS: Self = Self(0);
    /// `PAM_SERVICE_ERR`: here, a service that the broker does not serve.
    pub const SERVICE_ERR: Self = Self(3);
    /// `PAM_SYSTEM_ERR`.
    pub const SYSTEM_ERR: Self = Self(4);
    /// `PAM_PERM_DENIED`.
    pub const PERM_DENIED: Self = Self(6);
    /// `PAM_AUTHINFO_UNAVAIL`: the directory or the shadow file cannot be read.
    pub const AUTHINFO_UNAVAIL: Self = Self(9);
    /// `PAM_USER_UNKNOWN`.
    pub const USER_UNKNOWN: Self = Self(10);
    /// `PAM_NEW_AUTHTOK_REQD`: the password has expired.
    pub const NEW_AUTHTOK_REQD: Self = Self(12);
    /// `PAM_ABORT`.
    pub const ABORT: Self = Self(26);

    /// The name without `PAM_`; `UNKNOWN` for numbers that libpam does not define.
    #[must_use]
    pub fn name(self) -> &'static str {
        usize::try_from(self.0).ok().and_then(|at| NAMES.get(at)).copied().unwrap_or("UNKNOWN")
    }

    /// The stack could not do its work, whatever was typed: "try later", not "wrong password".
    ///
    /// `ABORT` is not among them: pam_unix gives it for two new passwords that differ.
    #[must_use]
    pub fn is_outage(self) -> bool {
        matches!(
            self.name(),
            "OPEN_ERR"
                | "SYMBOL_ERR"
                | "SERVICE_ERR"
                | "SYSTEM_ERR"
                | "BUF_ERR"
                | "AUTHINFO_UNAVAIL"
                | "CRED_UNAVAIL"
                | "NO_MODULE_DATA"
                | "AUTHTOK_LOCK_BUSY"
                | "TRY_AGAIN"
                | "IGNORE"
                | "MODULE_UNKNOWN"
                | "BAD_ITEM"
                | "CONV_AGAIN"
                | "INCOMPLETE"
                | "UNKNOWN"
        )
    }
}

impl fmt::Display for PamCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::PamCode;

    #[test]
    fn the_names_stand_at_their_numbers() {
        for (code, name) in
            [(0, "SUCCESS"), (9, "AUTHINFO_UNAVAIL"), (12, "NEW_AUTHTOK_REQD"), (31, "INCOMPLETE")]
        {
            assert_eq!(PamCode(code).name(), name);
        }
        assert_eq!(PamCode(-1).name(), "UNKNOWN");
        assert_eq!(PamCode(32).name(), "UNKNOWN");
    }

    #[test]
    fn a_wrong_password_is_no_outage_but_a_dead_directory_is() {
        assert!(!PamCode(7).is_outage());
        assert!(!PamCode(10).is_outage());
        assert!(PamCode::AUTHINFO_UNAVAIL.is_outage());
        assert!(PamCode(28).is_outage());
    }
}
