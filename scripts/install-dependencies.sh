#!/usr/bin/env bash
# Installs the Debian packages that building and testing need, only when some are missing.
set -euo pipefail
packages=(
    build-essential pkg-config libseccomp-dev libarchive-dev libcurl4-openssl-dev libssl-dev libsqlite3-dev
    libnftables-dev zlib1g-dev libzstd-dev nftables iproute2 procps busybox-static docker-registry
    crun dpkg-dev python3
)
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
