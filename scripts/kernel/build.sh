#!/usr/bin/env bash
# make kernel: builds a kernel for guests from the distribution's source, with what Skala's VMs need and little else, and
# prints the folder `skala kernel add` takes. Ten minutes on two cores; needs root for the packages.
#
#   scripts/kernel/build.sh [FOLDER]      default: a folder in ${SKALA_CACHE:-~/.cache/skala}
set -euo pipefail
cd "$(dirname "$0")"
here=$(pwd)
folder=${1:-${SKALA_CACHE:-$HOME/.cache/skala}/kernel}
mkdir -p "$folder"
log=$folder/build.log

packages=(linux-source-6.1 gcc make flex bison bc libelf-dev xz-utils)
missing=()
for package in "${packages[@]}"; do
    [ "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" = "install ok installed" ] || missing+=("$package")
done
[ ${#missing[@]} = 0 ] || DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >&2

archive=/usr/src/linux-source-6.1.tar.xz
source=$folder/source
# Another version of the source, or of the configuration, is built anew.
key=$(stat -c '%s %Y' "$archive"; sha256sum <config)
if [ "$key" != "$(cat "$folder/key" 2>/dev/null)" ]; then
    rm -rf "$source" "$folder/key"
    mkdir -p "$source"
    echo "unpacking $archive" >&2
    tar -xf "$archive" -C "$source" --strip-components 1
    cd "$source"
    {
        make tinyconfig
        scripts/kconfig/merge_config.sh -m .config "$here/config"
        make olddefconfig
    } >"$log" 2>&1 || { tail -n 20 "$log" >&2; exit 1; }
    # What depends on something else that is missing is dropped without a word.
    while read -r line; do
        [[ $line =~ ^CONFIG_.*=y$ ]] || continue
        grep -qx "$line" .config || { echo "the kernel does not take $line" >&2; exit 1; }
    done <"$here/config"
    echo "building the kernel; the compiler's words go to $log" >&2
    make -j "$(nproc)" LOCALVERSION=-skala vmlinux >>"$log" 2>&1 || { tail -n 20 "$log" >&2; exit 1; }
    release=$(make -s LOCALVERSION=-skala kernelrelease)
    rm -rf "$folder/result"
    mkdir -p "$folder/result/$release"
    cp vmlinux "$folder/result/"
    strip --strip-debug "$folder/result/vmlinux"
    # Nothing is a module; this list says what is built in.
    cp modules.builtin "$folder/result/$release/"
    echo "$key" >"$folder/key"
fi
echo "$folder/result"
