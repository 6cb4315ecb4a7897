#!/usr/bin/env bash
# Builds the programs in release and links them into one folder, which it prints:
#   build-release.sh            quiet; what the compiler said is shown when it fails
# Builds lie in ${SKALA_CACHE:-~/.cache/skala}, outside the checkout, so that a second build is quick.
set -euo pipefail
cd "$(dirname "$0")/.."
key=$(pwd | sha256sum | cut -c1-12)
cache=${SKALA_CACHE:-$HOME/.cache/skala}/$key
mkdir -p "$cache/bin"
log=$cache/release.log

build() {
    swift build -c release "$@" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
}

build --scratch-path "$cache/release" --product skala-daemon
build --scratch-path "$cache/release" --product skala
# A scratch path of its own: static linking rebuilds everything it touches.
build --scratch-path "$cache/static" --product skala-warden -Xswiftc -static-executable
ln -sf "$cache/release/release/skala-daemon" "$cache/release/release/skala" "$cache/static/release/skala-warden" \
    "$cache/bin/"
ln -sf skala-warden "$cache/bin/skala-runtime"
echo "$cache/bin"
