#!/bin/sh
# boot-disk.sh ROOT KERNEL INITRAMFS ARGUMENTS MIB OUTPUT: makes a qcow2 disk that boots by BIOS or UEFI's shell: a FAT partition with
# SYSLINUX, the kernel and its initramfs, and an ext4 partition of MIB mebibytes with what is in the folder ROOT, /dev/vda2 in
# a machine. Nothing is mounted, and no loop device is needed.
set -eu
root=$1 kernel=$2 initramfs=$3 arguments="console=ttyS0 root=/dev/vda2 $4" size=$5 output=$6
work=$(mktemp -d "$(dirname "$output")/boot-disk.XXXXXX")
trap 'rm -rf "$work"' EXIT

cat >"$work/syslinux.cfg" <<END
SERIAL 0 115200
DEFAULT linux
LABEL linux
    LINUX vmlinuz
    INITRD initrd.img
    APPEND $arguments
END
# What the shell of UEFI firmware looks for.
echo "vmlinuz initrd=initrd.img $arguments" >"$work/startup.nsh"
boot=$(($(du -cm "$kernel" "$initramfs" | sed -n 's/\t.*total$//p') + 32))
truncate -s "${boot}M" "$work/boot.img"
mkfs.fat -F 16 "$work/boot.img" >/dev/null
mcopy -i "$work/boot.img" "$kernel" ::vmlinuz
mcopy -i "$work/boot.img" "$initramfs" ::initrd.img
mcopy -i "$work/boot.img" "$work/syslinux.cfg" "$work/startup.nsh" ::
syslinux --install "$work/boot.img" >&2
truncate -s "${size}M" "$work/system.img"
/sbin/mkfs.ext4 -q -F -m 0 -d "$root" -E root_owner=0:0 "$work/system.img"

second=$((2048 + boot * 2048))
truncate -s "$((1 + boot + size + 1))M" "$work/disk.img"
printf 'start=2048,size=%s,type=ef,bootable\nstart=%s,size=%s,type=83\n' $((boot * 2048)) $second $((size * 2048)) |
    sfdisk -q "$work/disk.img" >&2
dd if=/usr/lib/SYSLINUX/mbr.bin of="$work/disk.img" bs=440 count=1 conv=notrunc status=none
dd if="$work/boot.img" of="$work/disk.img" bs=1M seek=1 conv=notrunc,sparse status=none
dd if="$work/system.img" of="$work/disk.img" bs=1M seek=$((1 + boot)) conv=notrunc,sparse status=none
qemu-img convert -O qcow2 "$work/disk.img" "$work/disk.qcow2"
mv "$work/disk.qcow2" "$output"
