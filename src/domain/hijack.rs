//! Which routes the engine takes the connection over on ("hijacks"), whatever the client asks for in headers.
//!
//! dockerd and Podman hijack `attach` and `exec start` always: an `Upgrade` header only chooses between `101` and `200` as
//! the answer's status, and `Connection` is not looked at. Clients differ accordingly: Docker.DotNet sends `Upgrade: tcp`
//! without `Connection: Upgrade`, podman-remote and docker-api (Ruby) send neither.

use http::Method;

/// What the engine sends when it hijacks without `Upgrade`.
pub const RAW_STREAM: &str = "application/vnd.docker.raw-stream";

/// Whether the engine takes the connection over when it says yes to this. `path` is canonical, without its query.
#[must_use]
pub fn is_hijack(method: &Method, path: &str) -> bool {
    // Quick no for nearly every request.
    if method != Method::POST || !(path.ends_with("/attach") || path.ends_with("/start")) {
        return false;
    }
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let route = match segments.as_slice() {
        [version, rest @ ..] if is_version(version) => rest,
        all => all,
    };
    let route = match route {
        ["libpod", rest @ ..] => rest,
        all => all,
    };
    // Names of containers may hold slashes.
    matches!(route, ["containers", _, .., "attach"] | ["exec", _, .., "start"])
}

/// `v1.41`, or as little of it as the engine itself takes for a version.
fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    })
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::is_hijack;

    #[test]
    fn w1_the_routes_that_the_engine_hijacks_are_known() {
        for path in [
            "/containers/web/attach",
            "/v1.41/containers/web/attach",
            "/v1.41/containers/a/web/attach",
            "/exec/0f/start",
            "/v1.24/exec/0f/start",
            "/v4.0.0/libpod/containers/web/attach",
            "/libpod/exec/0f/start",
        ] {
            assert!(is_hijack(&Method::POST, path), "{path}");
            assert!(!is_hijack(&Method::GET, path), "{path}");
        }
        for path in
            ["/containers/web/start", "/containers/attach", "/exec/start", "/v1.41/exec/start", "/attach"]
        {
            assert!(!is_hijack(&Method::POST, path), "{path}");
        }
    }
}
