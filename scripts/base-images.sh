#!/bin/bash
# Makes the base images that the end-to-end tests need, without any registry: quiet, and does nothing twice.
#
#   scripts/base-images.sh             busybox:latest, from the host's static busybox
#   scripts/base-images.sh --debian    debian:12-slim as well, by debootstrap (about a minute, then cached)
#
# DOCKER_HOST      the engine, unix:///var/run/docker.sock when unset
# DOORWARD_CACHE   folder for the Debian root file system (default: /var/cache/doorward, or ~/.cache/doorward)
set -euo pipefail

export DOCKER_HOST=${DOCKER_HOST:-unix:///var/run/docker.sock}
readonly path_env='ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

fail() { echo "base-images: $*" >&2; exit 1; }

have_image() { docker image inspect "$1" >/dev/null 2>&1; }

need() { # need COMMAND PACKAGE
    command -v "$1" >/dev/null && return
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "$1 is missing: install the package $2"
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 -qq -y \
        --no-install-recommends install "$2"; } >/dev/null || fail "could not install $2"
}

cache_folder() {
    if [ -n "${DOORWARD_CACHE:-}" ]; then echo "$DOORWARD_CACHE"
    elif [ "$(id -u)" = 0 ]; then echo /var/cache/doorward
    else echo "${HOME:?}/.cache/doorward"
    fi
}

make_busybox() {
    local root applet busybox
    need busybox busybox-static
    busybox=$(command -v busybox)
    ! ldd "$busybox" >/dev/null 2>&1 || fail "$busybox is not static: install the package busybox-static"
    root=$(mktemp -d)
    mkdir -p "$root"/{bin,dev,etc,home,proc,root,run,sys,tmp,usr/bin,var/run}
    chmod 755 "$root"; chmod 1777 "$root/tmp"
    cp "$busybox" "$root/bin/busybox"
    for applet in $("$busybox" --list); do
        [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
    done
    printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n' > "$root/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' > "$root/etc/group"
    tar -C "$root" --numeric-owner --owner=0 --group=0 -c . \
        | docker import -c 'CMD ["sh"]' -c "$path_env" - busybox:latest >/dev/null
    rm -rf "$root"
}

make_debian() {
    local cache archive root
    cache=$(cache_folder); archive=$cache/debian-12-slim.tar
    mkdir -p "$cache"
    if [ ! -s "$archive" ]; then
        [ "$(id -u)" = 0 ] || fail "debootstrap needs root"
        need debootstrap debootstrap
        root=$(mktemp -d); chmod 755 "$root"
        debootstrap --variant=minbase bookworm "$root" >"$cache/debootstrap.log" 2>&1 \
            || fail "debootstrap failed, see $cache/debootstrap.log"
        # Updates come from where this machine has its own.
        for sources in sources.list sources.list.d/debian.sources; do
            [ ! -s "/etc/apt/$sources" ] || cp "/etc/apt/$sources" "$root/etc/apt/$sources"
        done
        rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}/*
        tar -C "$root" --numeric-owner -cf "$archive.part" .
        mv "$archive.part" "$archive"
        rm -rf "$root"
    fi
    docker import -c 'CMD ["bash"]' -c "$path_env" "$archive" debian:12-slim >/dev/null
}

case ${1:-} in
    '' | --debian) ;;
    *) fail "unknown argument $1 (known: --debian)" ;;
esac
have_image busybox:latest || make_busybox
[ "${1:-}" != --debian ] || have_image debian:12-slim || make_debian
