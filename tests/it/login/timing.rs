//! The statistics of refusals, in small; `benches/timing.py` by itself takes 200 samples and judges the times.

use std::process::Command;

use serde_json::Value;

use super::door::PROGRAM;
use super::people::may_run;

#[test]
fn a11_unknown_wrong_and_locked_have_one_shape_at_every_door_and_their_times_can_be_compared() {
    if !may_run() {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/timing.py");
    let output = Command::new("python3")
        .args([script, "--program", PROGRAM, "--samples", "4", "--people", "1", "--delay", "200ms"])
        .args(["--json", "--shapes-only"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stdout));
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(figures["differ"], serde_json::json!([]));
    for kind in ["unknown", "wrong", "locked"] {
        let figure = &figures["milliseconds"][kind];
        let at = |name: &str| figure[name].as_f64().unwrap();
        // The promise is a lower bound: 200 ms less a quarter.
        assert!(at("min") >= 150.0 && at("q1") <= at("median") && at("median") <= at("q3"), "{figure}");
    }
}
