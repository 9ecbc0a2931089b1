#!/bin/bash
# Makes the Python environment that drives Chromium, with the libraries that no package has, and prints its interpreter.
# Does nothing twice.
#
# Chromium itself comes from the distribution (apt-get install chromium fonts-dejavu-core): no browser is downloaded.
set -euo pipefail

readonly tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly folder=$tree/.venv-e2e

[ -x /usr/bin/chromium ] || { echo "e2e-python: install the packages chromium and fonts-dejavu-core" >&2; exit 1; }
exec 9>"${TMPDIR:-/tmp}/doorward-e2e-python.lock"
flock 9
if ! "$folder/bin/python" -c 'import aiodocker, playwright' 2>/dev/null; then
    rm -rf "$folder"
    python3 -m venv "$folder"
    echo '*' > "$folder/.gitignore"
    "$folder/bin/pip" install --quiet --disable-pip-version-check aiodocker==0.27.0 playwright >&2
fi
echo "$folder/bin/python"
