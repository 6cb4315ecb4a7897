#!/usr/bin/env bash
# Makes OCI images of Debian packages:  build.sh [NAME...]   (all without a name)
#
# Each image is an OCI archive in ${SKALA_CACHE:-~/.cache/skala}/images; one that is there is made again only when its
# folder here has changed. nginx, postgres, redis and visits stand on one base layer, so an engine stores it once.
# Needs root, mmdebstrap, buildah and a Debian mirror: the one this host's apt uses.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${SKALA_CACHE:-$HOME/.cache/skala}/images
names=("$@")
[ ${#names[@]} -gt 0 ] || names=(busybox nginx postgres redis visits mariadb blog)

# As the official images are tagged, so that either kind can be used. Of several tags each is a release: RELEASE is its tag.
declare -A tags=([busybox]=latest [nginx]=1.22 [postgres]=15 [redis]=7 [visits]=latest [mariadb]=10.11 [blog]="1 2 3")

say() { printf '%s\n' "  $*" >&2; }

work=''
cleanup() {
    [ -n "$work" ] || return 0
    store rm --all >/dev/null 2>&1 || true
    # buildah leaves the storage driver's folder mounted on itself.
    umount "$work/storage/overlay" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# buildah with a store of its own: nothing is left in the host's.
store() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver overlay "$@"; }

# Runs a step quietly; shows what it said when it fails.
quietly() {
    "$@" >"$work/log" 2>&1 </dev/null || { cat "$work/log" >&2; return 1; }
}

open_work() {
    [ -z "$work" ] || return 0
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/.build-XXXXXX")
    mkdir -p "$work/apt/lists" "$work/apt/cache"
    # How this host reaches its mirror (a proxy, for instance), without its hooks.
    apt-config dump Acquire | grep -v '^Acquire::IndexTargets' >"$work/apt/host.conf"
}

# The Debian sources of this host, one a line; other vendors' are left out.
sources() {
    local signed='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
    apt-get indextargets --format "deb $signed \$(REPO_URI) \$(CODENAME) \$(COMPONENT)" \
        'Created-By: Packages' 'Origin: Debian' | sort -u
}

make_base() {
    [ ! -s "$cache/base.tar" ] || return 0
    say "base: a minimal Debian with mmdebstrap"
    local suite
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    sources >"$work/apt/sources.list"
    [ -s "$work/apt/sources.list" ] || { apt-get update -qq && sources >"$work/apt/sources.list"; }
    # No service is started while packages are installed; no documentation in images.
    quietly mmdebstrap --variant=minbase --mode=root \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
        --aptopt='Apt::Install-Recommends "false"' \
        --customize-hook='printf "#!/bin/sh\nexit 101\n" >"$1/usr/sbin/policy-rc.d"; chmod 755 "$1/usr/sbin/policy-rc.d"' \
        --customize-hook='rm -f "$1/etc/resolv.conf" "$1/etc/hostname"' \
        "$suite" "$work/base.tar" "$work/apt/sources.list"
    mv "$work/base.tar" "$cache/base.tar"
}

# Puts the base into buildah's store, where Containerfiles find it as skala-base.
load_base() {
    ! store inspect --type image localhost/skala-base >/dev/null 2>&1 || return 0
    make_base
    local container
    container=$(store from scratch)
    quietly store add "$container" "$cache/base.tar" /
    # A fixed time: images that are made at different times share the layer.
    quietly store commit --rm --timestamp 0 "$container" localhost/skala-base
}

make_image() {
    local name=$1 context=$here/$1 tag
    local options=(--layers)
    if [ "$name" = busybox ]; then
        context=$work/busybox
        mkdir -p "$context"
        cp "$here/busybox/Containerfile" /bin/busybox "$context"
    else
        load_base
        # apt's lists and packages are shared by all images and part of none.
        options+=(-v "$work/apt/lists:/var/lib/apt/lists" -v "$work/apt/cache:/var/cache/apt"
            -v "$work/apt/host.conf:/etc/apt/apt.conf.d/99host:ro")
    fi
    say "$name: building ${tags[$name]}"
    for tag in ${tags[$name]}; do
        quietly store build --isolation chroot --format oci --pull-never --build-arg "RELEASE=$tag" "${options[@]}" \
            -f "$context/Containerfile" -t "$name:$tag" "$context"
        # One layout for all: what they share is in it once.
        quietly store push "localhost/$name:$tag" "oci:$work/layout-$name:docker.io/library/$name:$tag"
    done
    tar -C "$work/layout-$name" -cf "$work/$name.tar" .
    mv "$work/$name.tar" "$cache/$name.tar"
    source_of "$name" >"$cache/$name.sum"
}

# What an image is made of, as a checksum.
source_of() { (cd "$here/$1" && sha256sum *) | sha256sum; }

for name in "${names[@]}"; do
    [ -n "${tags[$name]:-}" ] || { echo "build.sh: unknown image '$name' (${!tags[*]})" >&2; exit 2; }
    if [ -s "$cache/$name.tar" ] && [ "$(source_of "$name")" = "$(cat "$cache/$name.sum" 2>/dev/null)" ]; then continue; fi
    open_work
    make_image "$name"
done
