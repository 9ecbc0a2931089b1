//! How many connections the descriptors of this process are enough for.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors for everything else: files, the log, the store, listeners, idle connections to the engine.
const RESERVE: u64 = 512;
/// A client's connection and the engine's for it.
const PER_CONNECTION: u64 = 2;
/// Fewer would serve nobody; then the kernel's own refusal is what is seen.
const FEWEST: u64 = 16;
/// What a system says that sets no limit.
const MOST: u64 = 1 << 20;

/// Raises this process's limit to what it may have, and gives the connections that each of so many event loops may hold.
/// Beyond them clients wait in the listener's backlog: a process without descriptors could not reach the engine for those
/// that it has accepted.
pub(super) fn connections_of_each(event_loops: usize) -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    };
    let each = share(limit, event_loops);
    tracing::debug!(descriptors = limit, connections = each.saturating_mul(event_loops), "connection limit");
    each
}

fn share(limit: u64, event_loops: usize) -> usize {
    let all = limit.min(MOST).saturating_sub(RESERVE) / PER_CONNECTION;
    let loops = u64::try_from(event_loops.max(1)).unwrap_or(1);
    usize::try_from((all / loops).max(FEWEST)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn w15_connections_and_their_engines_fit_into_the_descriptors_of_the_process() {
        for (limit, loops) in [(65_536, 1), (65_536, 2), (65_536, 16), (4_096, 3), (1_048_576, 4)] {
            let all = share(limit, loops) * loops;
            assert!(all as u64 * 2 + 512 <= limit, "{limit} descriptors, {loops} loops: {all}");
            assert!(all as u64 * 2 + 1024 > limit, "{limit} descriptors, {loops} loops: {all}");
        }
        assert_eq!(share(100, 4), 16);
        assert_eq!(share(u64::MAX, 2), share(1 << 20, 2));
    }
}
