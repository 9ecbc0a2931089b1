#!/bin/bash
# Makes the Python environment that drives Chromium, and prints its interpreter. Does nothing twice.
#
# Chromium itself comes from the distribution (apt-get install chromium fonts-dejavu-core): no browser is downloaded.
set -euo pipefail

readonly tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly folder=$tree/.venv-e2e

[ -x /usr/bin/chromium ] || { echo "e2e-browser: install the packages chromium and fonts-dejavu-core" >&2; exit 1; }
exec 9>"${TMPDIR:-/tmp}/doorward-e2e-browser.lock"
flock 9
if ! "$folder/bin/python" -c 'import playwright' 2>/dev/null; then
    rm -rf "$folder"
    python3 -m venv "$folder"
    echo '*' > "$folder/.gitignore"
    "$folder/bin/pip" install --quiet --disable-pip-version-check playwright >&2
fi
echo "$folder/bin/python"
