#!/bin/bash
# Installs the Debian packages that one purpose needs, and only those that are missing.
#
#   scripts/install-deps.sh build|run|test|image|bench
#
# Quick when everything is there: one dpkg-query, no apt, no root. Otherwise it says in one line what it installs and
# uses apt-get as root, or through sudo. Without either it names the packages and stops, so that nothing half-works.
set -euo pipefail

# aws-lc (TLS) and SQLite are compiled from source: they ask for a C compiler and make, not for cmake, nasm or clang.
BUILD=(gcc libc6-dev libpam0g-dev make)
# `passwd` brings useradd, for the system user; libpam-modules brings pam_unix.
RUN=("${BUILD[@]}" passwd libpam-modules libpam-runtime)
# An engine of its own, an image built without a registry, clients, a browser, terminators.
TEST=("${RUN[@]}" docker.io iptables iproute2 busybox-static debootstrap openssl curl python3-venv chromium
      fonts-dejavu-core docker-compose python3-docker fail2ban libnss3-tools nginx-light haproxy caddy procps util-linux
      libpam-oath oathtool libpam-google-authenticator systemd pebble testssl.sh man-db mandoc fish zsh
      podman runc)
# An engine that builds images, and a base image where no registry can be reached.
IMAGE=("${BUILD[@]}" docker.io busybox-static debootstrap)
# The peers to measure against and the load generators.
BENCH=("${RUN[@]}" nginx-light haproxy caddy wrk nghttp2-client curl openssl python3)

usage() {
    echo "usage: $0 build|run|test|image|bench" >&2
    exit 64
}

as_root=()

# Nobody who runs a benchmark wants nginx to start on port 80 of the machine. Debian's packages ask policy-rc.d before
# they start a service (101 = "not allowed"); a policy that the machine already has is left alone.
hold_services() {
    [ ! -e /usr/sbin/policy-rc.d ] || return 0
    trap release_services EXIT
    trap 'exit 130' INT TERM
    printf '%s\n' '#!/bin/sh' '# Temporary, by doorward/scripts/install-deps.sh; safe to delete.' 'exit 101' |
        "${as_root[@]}" install -m 0755 /dev/stdin /usr/sbin/policy-rc.d
}

release_services() {
    "${as_root[@]}" rm -f /usr/sbin/policy-rc.d
}

# Prints those of its arguments that dpkg does not know as installed.
missing() {
    local installed
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)
    local package
    for package in "$@"; do
        # A full nginx (nginx-extras and the like) serves as well as nginx-light.
        if [ "$package" = nginx-light ] && command -v nginx >/dev/null; then continue; fi
        grep -qx "installed $package" <<<"$installed" || echo "$package"
    done
}

main() {
    local -a wanted
    case "${1-}" in
        build) wanted=("${BUILD[@]}") ;;
        run) wanted=("${RUN[@]}") ;;
        test) wanted=("${TEST[@]}") ;;
        image) wanted=("${IMAGE[@]}") ;;
        bench) wanted=("${BENCH[@]}") ;;
        *) usage ;;
    esac

    if ! command -v dpkg-query >/dev/null; then
        echo "install-deps: this is not a Debian system; make sure these are there: ${wanted[*]}" >&2
        return 0
    fi

    local -a absent
    mapfile -t absent < <(missing "${wanted[@]}")
    [ "${#absent[@]}" -gt 0 ] || return 0

    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "install-deps: these Debian packages are missing, and there is no sudo: ${absent[*]}" >&2
            echo "install-deps: run as root: apt-get install --no-install-recommends ${absent[*]}" >&2
            exit 1
        fi
        as_root=(sudo)
    fi

    echo "install-deps: installing ${absent[*]}"
    hold_services
    local -a apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600)
    "${as_root[@]}" "${apt[@]}" update </dev/null
    "${as_root[@]}" "${apt[@]}" install -y --no-install-recommends "${absent[@]}" </dev/null >/dev/null
}

main "$@"
