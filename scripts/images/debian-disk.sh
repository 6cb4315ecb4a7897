#!/bin/sh
# debian-disk.sh OUTPUT.qcow2: makes a disk with Debian, systemd and cloud-init, of Debian's packages alone, for
#   skala machine import debian-disk OUTPUT.qcow2
# As root. Needs mmdebstrap, syslinux, mtools, dosfstools, fdisk, qemu-utils and e2fsprogs. A login comes by the user data.
set -eu
output=$(realpath "$1")
work=$(mktemp -d "$output.XXXXXX")
trap 'rm -rf "$work"' EXIT
packages=systemd-sysv,systemd-resolved,udev,dbus,cloud-init,linux-image-cloud-amd64,initramfs-tools,zstd,iproute2,openssh-server,locales,cloud-guest-utils
mmdebstrap --quiet --variant=minbase --include="$packages" --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' bookworm "$work/root.tar" >&2
mkdir "$work/root"
tar -C "$work/root" -xf "$work/root.tar"
rm "$work/root.tar"
echo '/dev/vda2 / ext4 defaults 0 1' >"$work/root/etc/fstab"
# Nothing but what we hand over: no searching for clouds.
echo 'datasource_list: [ NoCloud, None ]' >"$work/root/etc/cloud/cloud.cfg.d/90_nocloud.cfg"
ln -sf ../run/systemd/resolve/stub-resolv.conf "$work/root/etc/resolv.conf"
ln -sf /lib/systemd/system/systemd-networkd.service "$work/root/etc/systemd/system/multi-user.target.wants/"
size=$(($(du -sm "$work/root" | cut -f1) * 5 / 4 + 200))
"$(dirname "$0")/boot-disk.sh" "$work/root" "$work"/root/boot/vmlinuz-* "$work"/root/boot/initrd.img-* 'ro quiet' "$size" "$output"
echo "$output"
