#!/bin/sh
# venv.sh: makes a Python environment with docker-py and testcontainers in the cache folder, and prints its Python.
cache=${SKALA_CACHE:-${REAL_HOME:-$HOME}/.cache/skala}
folder=$cache/clients-venv-1
if [ ! -f "$folder/complete" ]; then
    mkdir -p "$cache" && exec 9>"$cache/clients-venv.lock" && flock 9 || exit 1
    if [ ! -f "$folder/complete" ]; then
        rm -rf "$folder"
        /usr/bin/python3 -m venv "$folder" >&2 || exit 1
        timeout 120 "$folder/bin/pip" install -q --disable-pip-version-check docker==7.1.0 testcontainers==4.9.2 >&2 || exit 1
        touch "$folder/complete"
    fi
fi
echo "$folder/bin/python3"
