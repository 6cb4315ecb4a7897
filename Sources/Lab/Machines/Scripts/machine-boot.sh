#!/bin/sh
# machine-boot.sh FOLDER SUITE SOURCES: makes FOLDER/vmlinuz, Debian's kernel for clouds, and FOLDER/initrd.img with busybox, dropbear,
# the kernel's modules and machine-init.sh, which lies beside this script. As root. mmdebstrap takes the packages of SUITE from SOURCES, a
# file; nothing of them is set up or started.
set -eu
folder=$(realpath "$1") suite=$2 sources=$(realpath "$3")
here=$(realpath "$(dirname "$0")")
work=$(mktemp -d "$folder/new.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# Folders as in distributions in which /bin is /usr/bin.
mmdebstrap --quiet --variant=extract --mode=root --aptopt='Apt::Install-Recommends "false"' \
    --setup-hook='cd "$1" && for d in bin sbin lib lib64; do mkdir -p usr/$d && ln -s usr/$d $d; done' \
    --include=linux-image-cloud-amd64,dropbear-bin,busybox-static,libc-bin "$suite" "$work/packages" "$sources"
cd "$work/packages"
kernel=$(echo boot/vmlinuz-*)
release=${kernel#boot/vmlinuz-}

mkdir early
(cd early && mkdir -p usr/bin usr/sbin usr/lib usr/lib64 dev proc sys run root seed image etc)
for name in bin sbin lib lib64; do ln -s "usr/$name" "early/$name"; done
copy() { # FILE...: as they are, without links
    for file in "$@"; do
        mkdir -p "early/$(dirname "$file")"
        cp -L "./$file" "early/$file"
    done
}
copy bin/busybox usr/sbin/dropbear usr/bin/dropbearconvert lib64/ld-linux-x86-64.so.2
for program in usr/sbin/dropbear usr/bin/dropbearconvert; do
    chroot . /lib64/ld-linux-x86-64.so.2 --list "/$program" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p'
done | sort -u >libraries
while read -r library; do copy "$library"; done <libraries
for name in $(./bin/busybox --list); do [ -e "early/bin/$name" ] || ln -s busybox "early/bin/$name"; done

chroot . /sbin/depmod "$release"
for module in virtio_pci virtio_blk virtio_net virtio_rng virtio_balloon ext4 isofs button evdev; do
    chroot . /sbin/modprobe -S "$release" --show-depends "$module"
done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u >modules
while read -r module; do copy "$module"; done <modules
copy "lib/modules/$release/modules.builtin" "lib/modules/$release/modules.builtin.modinfo" "lib/modules/$release/modules.order"
chroot . /sbin/depmod -b /early "$release"

echo 'root:x:0:0:root:/root:/bin/sh' >early/etc/passwd
echo 'root:x:0:' >early/etc/group
install -m 755 "$here/machine-init.sh" early/init
(cd early && find . | ../bin/busybox cpio -o -H newc -R 0:0 2>/dev/null) | gzip -1 >"$work/initrd.img"
mv "$kernel" "$folder/vmlinuz"
mv "$work/initrd.img" "$folder/initrd.img"
