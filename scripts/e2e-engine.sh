#!/bin/bash
# Finds or starts a Docker Engine for the end-to-end tests and prints its DOCKER_HOST.
#
#   scripts/e2e-engine.sh                the machine's engine when it answers, else a private one (kept running)
#   scripts/e2e-engine.sh --private DIR [OPTION…]
#                                        a private engine with everything it keeps under DIR; DIR/docker.pid is its pid;
#                                        options go to dockerd; DIR/namespace is the name of its network namespace
#   scripts/e2e-engine.sh --stop DIR     stops a private engine and waits until it is gone
#
# A private engine has a network namespace of its own: two engines in one namespace fight over docker0.
set -euo pipefail

readonly machine=unix:///var/run/docker.sock
readonly shared=${DOORWARD_E2E_ENGINE_DIR:-/run/doorward-e2e}

fail() { echo "e2e-engine: $*" >&2; exit 1; }

answers() { timeout 10 docker -H "$1" version >/dev/null 2>&1; }

namespace_of() { echo "dw$(printf %s "$1" | cksum | cut -d' ' -f1)"; }

# The machine's daemon.json may set data-root and hosts, which clash with our flags; its storage driver is what works here.
write_config() {
    local driver
    driver=$(grep -o '"storage-driver" *: *"[^"]*"' /etc/docker/daemon.json 2>/dev/null || true)
    printf '{%s}\n' "$driver" > "$1"
}

start_private() {
    local dir=$1 name starting
    shift
    answers "unix://$dir/docker.sock" && return
    [ "$(id -u)" = 0 ] || fail "no engine answers at $machine, and starting one needs root"
    command -v dockerd >/dev/null || fail "no engine answers at $machine, and dockerd is not installed"
    mkdir -p "$dir"
    name=$(namespace_of "$dir")
    if [ ! -e "/run/netns/$name" ]; then
        ip netns add "$name"
        ip -n "$name" link set lo up
    fi
    echo "$name" >"$dir/namespace"
    write_config "$dir/daemon.json"
    [ -e "$dir/docker.pid" ] && ! kill -0 "$(cat "$dir/docker.pid")" 2>/dev/null && rm -f "$dir/docker.pid"
    setsid nohup nsenter "--net=/run/netns/$name" dockerd --config-file "$dir/daemon.json" \
        --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/docker.pid" \
        -H "unix://$dir/docker.sock" "$@" >>"$dir/dockerd.log" 2>&1 </dev/null &
    starting=$!
    for _ in $(seq 1 120); do
        answers "unix://$dir/docker.sock" && return
        kill -0 "$starting" 2>/dev/null || break
        sleep 0.5
    done
    tail -5 "$dir/dockerd.log" >&2
    fail "the private engine did not start, see $dir/dockerd.log"
}

stop_private() {
    local dir=$1 pid
    if pid=$(cat "$dir/docker.pid" 2>/dev/null); then
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 1 120); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.5
        done
        ! kill -0 "$pid" 2>/dev/null || fail "engine $pid does not stop"
    fi
    [ ! -e "/run/netns/$(namespace_of "$dir")" ] || ip netns delete "$(namespace_of "$dir")"
}

case ${1:-} in
    '')
        if answers "$machine"; then echo "$machine"; exit; fi
        start_private "$shared"
        echo "unix://$shared/docker.sock"
        ;;
    --private)
        dir=${2:?e2e-engine: --private needs a folder}
        start_private "$dir" "${@:3}"
        echo "unix://$dir/docker.sock"
        ;;
    --stop) stop_private "${2:?e2e-engine: --stop needs a folder}" ;;
    *) fail "unknown argument $1" ;;
esac
