//! What a token of the scope `read` may ask the engine for. Pure.
//!
//! A list of what is allowed and not of what is not: a route that a new engine adds is refused until somebody has looked
//! at it. Left out although they change nothing: what hands out the content of containers and images (`archive`,
//! `export`, `get`), an attached terminal, join tokens and unlock key of a swarm, the data of configs, Go's profiles
//! (`/debug/`), and what has the engine talk to registries (`distribution`, `images/search`, `plugins/privileges`).

use http::Method;

/// Whether this is reading, as of the Docker Engine API 1.24 to 1.54. `route` is canonical and without a version; the query never counts.
pub(super) fn is_reading(method: &Method, route: &str) -> bool {
    let is_head = method == Method::HEAD;
    if !is_head && method != Method::GET {
        return false;
    }
    let segments: Vec<&str> = route.trim_start_matches('/').split('/').collect();
    match segments.as_slice() {
        ["_ping" | "version" | "info" | "events"] | ["system", "df"] => true,
        ["containers" | "images", "json"] => true,
        ["containers", _, "json" | "top" | "logs" | "changes" | "stats"] => true,
        // How a file is called and how large it is; `docker cp` asks so before it fetches.
        ["containers", _, "archive"] => is_head,
        // Names of images hold slashes.
        ["images", _, .., "json" | "history"] | ["plugins", _, .., "json"] | ["exec", _, "json"] => true,
        ["networks" | "volumes" | "nodes" | "services" | "tasks" | "secrets" | "plugins"] => true,
        ["networks" | "volumes" | "nodes" | "services" | "tasks" | "secrets", id] => !id.is_empty(),
        ["services" | "tasks", _, "logs"] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use crate::policy::version::without;

    fn is_reading(method: &Method, path: &str) -> bool {
        super::is_reading(method, without(path))
    }

    #[test]
    fn gc5_reading_is_what_a_dashboard_asks_for() {
        for path in [
            "/_ping",
            "/version",
            "/v1.41/info",
            "/v9/events",
            "/v1.54/system/df",
            "/containers/json",
            "/v1.41/containers/web/json",
            "/containers/web/logs",
            "/containers/web/stats",
            "/containers/web/top",
            "/containers/web/changes",
            "/images/json",
            "/images/library/busybox:1/json",
            "/images/busybox/history",
            "/networks",
            "/networks/bridge",
            "/volumes/data",
            "/services/web/logs",
            "/tasks",
            "/secrets/key",
            "/plugins/vieux/sshfs/json",
            "/exec/0f/json",
        ] {
            assert!(is_reading(&Method::GET, path), "{path}");
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE] {
                assert!(!is_reading(&method, path), "{method} {path}");
            }
        }
        assert!(
            is_reading(&Method::HEAD, "/_ping") && is_reading(&Method::HEAD, "/v1.41/containers/a/archive")
        );
    }

    #[test]
    fn ge4_reading_is_not_what_hands_out_content_or_secrets_or_is_not_known() {
        for path in [
            "/containers/web/attach/ws",
            "/containers/web/archive",
            "/containers/web/export",
            "/v1.41/containers/web/export",
            "/images/get",
            "/images/busybox/get",
            "/images/search",
            "/distribution/busybox/json",
            "/plugins/privileges",
            "/swarm",
            "/swarm/unlockkey",
            "/configs",
            "/configs/nginx",
            "/debug/pprof/heap",
            "/debug/vars",
            "/session",
            "/grpc",
            "/libpod/secrets/x/json",
            "/v5.0.0/libpod/secrets/x/json",
            "/",
            "/v1.41",
            "/v/version",
            "/v1.41/v1.41/version",
            "/version/",
            "/secrets/",
            "/Containers/json",
            "/containers",
        ] {
            assert!(!is_reading(&Method::GET, path), "{path}");
        }
    }
}
