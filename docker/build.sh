#!/bin/bash
# Builds the image from binaries that were built before.
#
#   docker/build.sh TARGET_DIR      for example target/release; it must hold doorward and doorward-pam
#
# IMAGE   name of the image (doorward)
# BASE    base image (debian:12-slim); scripts/base-images.sh --debian makes one where no registry can be reached
#
# The binaries are linked against the C library of the machine that built them: BASE must not be older than that.
set -euo pipefail

readonly target=${1:?usage: docker/build.sh TARGET_DIR}
readonly tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
for binary in doorward doorward-pam; do
    [ -x "$target/$binary" ] || { echo "build: $target/$binary is missing: run cargo build --release" >&2; exit 1; }
    cp "$target/$binary" "$context/"
done
for service in doorward doorward-account; do
    install -D -m 0644 "$tree/pam.d/$service" "$context/pam.d/$service"
done
docker build --target runtime --build-arg "BASE=${BASE:-debian:12-slim}" --tag "${IMAGE:-doorward}" \
    --file "$tree/docker/Dockerfile" "$context"
