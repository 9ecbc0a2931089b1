#!/bin/bash
# Gives this machine what `doorward serve` expects when it is started by hand: the system user it runs as, and a PAM
# service file. Both are made only if missing; a file that is there is never touched, changed or not.
set -euo pipefail

cd "$(dirname "$0")/.."

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null; then
        as_root=(sudo)
    else
        # Not an error: started by an ordinary user, all of Doorward runs as that user. A later start-up check says
        # what cannot work like that.
        echo "prepare-host: neither root nor sudo: no system user and no /etc/pam.d/doorward made" >&2
        exit 0
    fi
fi

if ! getent passwd doorward >/dev/null; then
    echo "prepare-host: adding the system user doorward"
    "${as_root[@]}" useradd --system --user-group --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin doorward
fi

if [ ! -e /etc/pam.d/doorward ]; then
    echo "prepare-host: installing /etc/pam.d/doorward"
    "${as_root[@]}" install -o root -g root -m 0644 pam.d/doorward /etc/pam.d/doorward
fi
