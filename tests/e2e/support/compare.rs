//! Running one scenario on every way and holding the results against each other.

use std::fmt::Debug;

use super::cli::{Cli, Way, client_ways, programs};

/// Runs `scenario` with every installed client on every way; what it returns must be equal on all ways.
pub(crate) fn with_every_client<T: Debug + PartialEq>(scenario: impl Fn(&Cli) -> T) {
    for program in programs() {
        compare(program, &scenario);
    }
}

/// Runs `scenario` with the first client on every way; what it returns must be equal on all ways.
pub(crate) fn on_every_way<T: Debug + PartialEq>(scenario: impl Fn(&Cli) -> T) {
    compare(&programs()[0], &scenario);
}

/// Runs `scenario` with `program` on every way.
pub(crate) fn compare<T: Debug + PartialEq>(program: &std::path::Path, scenario: &impl Fn(&Cli) -> T) {
    let expected = scenario(&Cli::new(program, Way::Socket));
    for way in client_ways() {
        let cli = Cli::new(program, way);
        assert_eq!(scenario(&cli), expected, "{cli} differs from the engine's socket");
    }
}
