#!/usr/bin/env bash
# make-deb.sh FOLDER OUTPUT: packs the programs built in FOLDER into a Debian package in the folder OUTPUT.
set -euo pipefail
cd "$(dirname "$0")/.."
built=$1
output=$2
version=$("$built/skala" --version | awk '{ print $3 }')
architecture=$(dpkg --print-architecture)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
root=$stage/root
chmod 755 "$stage"
install -d -m 755 "$root"
DESTDIR=$root PREFIX=/usr scripts/install.sh "$built"

# dpkg-shlibdeps reads debian/control of the folder it runs in.
install -d "$stage/debian"
printf 'Source: skala\n\nPackage: skala\nArchitecture: any\n' >"$stage/debian/control"
libraries=$(cd "$stage" && dpkg-shlibdeps -O "$root/usr/libexec/skala/skala-daemon" 2>/dev/null |
    sed -n 's/^shlibs:Depends=//p')
[ -n "$libraries" ] || { echo "make-deb: dpkg-shlibdeps found no libraries" >&2; exit 1; }

install -d -m 755 "$root/DEBIAN"
install -m 755 packaging/debian/* "$root/DEBIAN/"
cat >"$root/DEBIAN/control" <<CONTROL
Package: skala
Version: $version
Architecture: $architecture
Section: admin
Priority: optional
Maintainer: The Skala authors <skala@localhost>
Installed-Size: $(du -sk "$root/usr" | cut -f1)
Depends: $libraries, passwd
Recommends: procps, tar, nftables, buildah
Suggests: qemu-system-x86
Description: containers behind the Docker Engine API
 Skala runs OCI images as containers at the isolation one chooses, and answers
 the Docker Engine API, so that the docker CLI, Compose and other tools work
 with it. The command 'skala doctor' tells what the host offers.
CONTROL
mkdir -p "$output"
package=$output/skala_${version}_$architecture.deb
dpkg-deb --root-owner-group -Zxz --build "$root" "$package" >/dev/null
echo "$package"
