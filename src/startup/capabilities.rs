//! Which capabilities a root that starts Doorward has (capabilities(7)). Containers drop some, and what fails later for
//! want of one says "operation not permitted" and no more.

use anyhow::bail;
use nix::unistd::geteuid;

/// A capability by its bit and name, and what does not work without it.
struct Needed {
    bit: u32,
    name: &'static str,
    for_what: &'static str,
}

const fn needed(bit: u32, name: &'static str, for_what: &'static str) -> Needed {
    Needed { bit, name, for_what }
}

/// Without these nothing can start: the gateway does not run as root.
const TO_START: [Needed; 2] = [
    needed(7, "SETUID", "the gateway cannot leave root"),
    needed(6, "SETGID", "the gateway cannot leave the groups of root"),
];

/// Without these something may go wrong; whether it does hangs on who owns what.
const TO_WORK: [Needed; 3] = [
    needed(0, "CHOWN", "the state folder and the log must belong to --user already"),
    needed(1, "DAC_OVERRIDE", "keys, state and PAM's files must be open to root by their owner and mode"),
    needed(5, "KILL", "a PAM module's helpers of other users live on when their login has ended"),
];

/// Names what root lacks here. Does nothing if not root: who is no root makes no use of them.
///
/// # Errors
/// What is lacking keeps the gateway from starting.
pub(super) fn check() -> anyhow::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let Some(effective) = std::fs::read_to_string("/proc/self/status").ok().and_then(|text| effective(&text))
    else {
        tracing::warn!("cannot read /proc/self/status: nobody knows which capabilities this process has");
        return Ok(());
    };
    for lacking in lacking(effective, &TO_WORK) {
        tracing::warn!("{}", told(lacking));
    }
    let fatal: Vec<String> = lacking(effective, &TO_START).map(told).collect();
    if fatal.is_empty() { Ok(()) } else { bail!("{}", fatal.join("; ")) }
}

/// `CapEff` of proc_pid_status(5).
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn lacking(effective: u64, needed: &[Needed]) -> impl Iterator<Item = &Needed> {
    needed.iter().filter(move |capability| effective & (1 << capability.bit) == 0)
}

fn told(lacking: &Needed) -> String {
    let Needed { name, for_what, .. } = lacking;
    format!(
        "root lacks CAP_{name} here, so {for_what}; give it back with: docker run --cap-add {name} (systemd: CapabilityBoundingSet=)"
    )
}

#[cfg(test)]
mod tests {
    use super::{TO_START, TO_WORK, effective, lacking, told};

    #[test]
    fn w12_each_capability_that_is_missing_is_named_with_what_it_is_for() {
        // What `docker run --cap-drop ALL --cap-add SETUID --cap-add CHOWN` leaves.
        let left =
            effective("Name:\tdoorward\nCapPrm:\t00000000000001ff\nCapEff:\t0000000000000081\n").unwrap();
        let named: Vec<_> = TO_START
            .iter()
            .chain(&TO_WORK)
            .filter(|one| lacking(left, std::slice::from_ref(one)).next().is_some())
            .map(|one| one.name)
            .collect();
        assert_eq!(named, ["SETGID", "DAC_OVERRIDE", "KILL"]);
        assert!(told(&TO_START[1]).contains("--cap-add SETGID"));
        assert_eq!(lacking(u64::MAX, &TO_WORK).count(), 0);
        assert_eq!(effective("CapEff:\tnonsense\n"), None);
    }
}
