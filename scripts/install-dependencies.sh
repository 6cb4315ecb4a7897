#!/usr/bin/env bash
# Installs the Debian packages that are missing, by group:  install-dependencies.sh [build] [test] [demo]
# Without a group: build and test. Needs root only when something is missing.
set -euo pipefail

# One package a line of thought: what it is for stands with it.
build=(
    build-essential pkg-config              # the C targets, and how they find libraries
    libseccomp-dev libarchive-dev           # seccomp filters; layers
    libcurl4-openssl-dev libssl-dev         # registries; digests
    libsqlite3-dev libnftables-dev          # the store; published ports
    libyaml-dev                             # Compose files
    zlib1g-dev libzstd-dev                  # what the static warden links
)
test=(
    nftables iproute2 procps                # looking for what was left over
    busybox-static docker-registry          # an image, and a registry to pull it from
    crun dpkg-dev python3                   # conformance: the control, its sources, and what runs them
    buildah skopeo                          # docker build; archives others made
    podman catatonit containerd             # what drives skala-runtime, and peers of the lab
    runc lxc                                # further peers
    qemu-system-x86 squashfs-tools e2fsprogs # virtual machines
    cpio                                    # reads the initramfs we write
    syslinux mtools dosfstools fdisk kmod qemu-utils # a disk that boots, for machines
    mmdebstrap openssh-client               # ... with an image's files, and how the lab logs in
    ovmf                                    # and its UEFI firmware
    docker-compose ansible python3-venv     # clients others wrote
    haproxy openssl                         # the balancer of HTTP requests, and its certificates
    curl strace                             # raw requests; failing kernel calls
    prometheus                              # scrapes the metrics, and checks their form
    chromium                                # shows the lab's reports
)
demo=(
    busybox-static mmdebstrap buildah       # images made of Debian packages
    haproxy                                 # the balancer of requests
    curl iproute2 nftables procps           # requests, a client in a namespace of its own, clean-up
    qemu-system-x86 squashfs-tools e2fsprogs # virtual machines
)

# The docker command: whichever is there, or Debian's.
command -v docker >/dev/null || test+=(docker.io)
groups=("$@")
[ ${#groups[@]} -gt 0 ] || groups=(build test)
missing=()
for group in "${groups[@]}"; do
    case "$group" in
        build) packages=("${build[@]}") ;;
        test) packages=("${test[@]}") ;;
        demo) packages=("${demo[@]}") ;;
        *) echo "install-dependencies: unknown group '$group' (build, test, demo)" >&2; exit 2 ;;
    esac
    for package in "${packages[@]}"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
    done
done
[ ${#missing[@]} -eq 0 ] && exit 0

echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# They come with services of their own, which nobody asked for.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
