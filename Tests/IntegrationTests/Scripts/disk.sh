#!/bin/sh
# Makes a small bootable disk of Debian packages (the kernel for clouds, busybox), and prints its path.
# The disk is kept in the folder of the builds, and made anew when this script or the kernel changes.
#
# The system reads NoCloud data as cloud-init does (network-config, local-hostname, write_files' environment), or asks
# DHCP when the user data says NETWORK=dhcp; serves /www on port 80; has a login (root, no password) on the serial console;
# and goes down when its power button is pressed.
set -eu
here=$(realpath "$(dirname "$0")")
cache=${SKALA_CACHE:-${REAL_HOME:-$HOME}/.cache/skala}/disk
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9

package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -n 1)
key=$( (cat "$0" "$here/../../../scripts/images/boot-disk.sh"; echo "$package"; dpkg-query -W busybox-static syslinux) | sha256sum | cut -c1-16)
disk=$cache/$key.qcow2
if [ -f "$disk" ]; then
    echo "$disk"
    exit 0
fi
rm -f "$cache"/*.qcow2
work=$(mktemp -d "$cache/new.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -q -o APT::Sandbox::User=root download "$package" >&2
dpkg-deb --fsys-tarfile "$package"_*.deb | tar -x
kernel=$(basename boot/vmlinuz-*)
release=${kernel#vmlinuz-}
modules=lib/modules/$release

# Copies modules, with what they need, into a root.
install_modules() { # ROOT MODULE...
    root=$1
    shift
    mkdir -p "$root/$modules"
    cp "$modules"/modules.builtin "$modules"/modules.order "$root/$modules/"
    for module in "$@"; do
        modprobe -d "$work" -S "$release" --show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
    done | sort -u | while read -r path; do
        mkdir -p "$root/$(dirname "${path#"$work"/}")"
        cp "$path" "$root/${path#"$work"/}"
    done
    depmod -b "$root" "$release"
}

install_busybox() { # ROOT
    mkdir -p "$1/bin" "$1/sbin" "$1/dev" "$1/proc" "$1/sys" "$1/tmp" "$1/run" "$1/etc" "$1/root" "$1/mnt"
    cp /bin/busybox "$1/bin/busybox"
    for name in $(/bin/busybox --list); do [ -e "$1/bin/$name" ] || ln -s /bin/busybox "$1/bin/$name"; done
    ln -sf /bin/busybox "$1/sbin/init"
    ln -sf /bin/busybox "$1/sbin/modprobe"
}

depmod -b "$work" "$release"
install_busybox early
install_modules early virtio_pci virtio_blk
cat >early/init <<'END'
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
modprobe -a virtio_pci virtio_blk
n=0
until [ -b /dev/vda2 ] || [ $n -ge 100 ]; do n=$((n + 1)); sleep 0.1; done
mount -t ext4 /dev/vda2 /mnt
umount /proc /sys
mount -o move /dev /mnt/dev
exec switch_root /mnt /sbin/init
END
chmod 755 early/init
(cd early && find . | cpio -o -H newc -R 0:0 --quiet) | gzip -1 >initrd.img

install_busybox system
install_modules system virtio_net virtio_rng virtio_balloon isofs button evdev
mkdir -p system/www system/etc/udhcpc
echo 'root::0:0:root:/root:/bin/sh' >system/etc/passwd
echo 'root:x:0:' >system/etc/group
cat >system/etc/inittab <<'END'
::sysinit:/etc/rc
ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100
::shutdown:/bin/umount -a -r
END
ln -s /bin/busybox system/sbin/getty
cat >system/etc/udhcpc/default.script <<'END'
#!/bin/sh
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
ip address flush dev "$interface"
ip address add "$ip/$mask" dev "$interface"
[ -z "${mtu:-}" ] || ip link set "$interface" mtu "$mtu"
[ -z "${router:-}" ] || ip route add default via "${router%% *}"
for server in ${dns:-}; do echo "nameserver $server"; done >/etc/resolv.conf
[ -z "${hostname:-}" ] || hostname "$hostname"
echo "DHCP gave $ip/$mask, lease $lease, mtu ${mtu:-none}"
END
chmod 755 system/etc/udhcpc/default.script
cat >system/etc/rc <<'END'
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /run
mount -o remount,rw /
modprobe -a virtio_net virtio_rng virtio_balloon isofs button evdev
ip link set lo up
for disk in /dev/vdb /dev/vdc /dev/sr0; do
    mkdir -p /run/seed
    [ -b $disk ] && mount -t iso9660 -o ro $disk /run/seed 2>/dev/null && break
done
[ -f /run/seed/meta-data ] || { mkdir -p /run/none; touch /run/none/meta-data /run/none/user-data; mount -o bind /run/none /run/seed; }
name=$(sed -n 's/^local-hostname: //p' /run/seed/meta-data)
[ -n "$name" ] && hostname "$name"
card=$(ls /sys/class/net | grep -v lo | head -n 1)
config=/run/seed/network-config
if grep -q NETWORK=dhcp /run/seed/user-data || [ ! -f $config ]; then
    ip link set "$card" up
    udhcpc -i "$card" -n -q -t 10 -T 2
elif [ -n "$card" ]; then
    mac=$(sed -n 's/^ *macaddress: "\(.*\)"/\1/p' $config)
    [ "$mac" = "$(cat /sys/class/net/"$card"/address)" ] || echo "the network-config is for $mac"
    ip link set "$card" up
    for address in $(sed -n '/addresses:/,/:$/s/^ *- "\([0-9a-f.:]*\/[0-9]*\)"/\1/p' $config); do ip address add "$address" dev "$card"; done
    gateway=$(sed -n 's/^ *via: "\([0-9.]*\)"/\1/p' $config | head -n 1)
    [ -n "$gateway" ] && ip route add default via "$gateway"
    sed -n '/nameservers/,$s/^ *- "\([0-9.]*\)"/nameserver \1/p' $config >/etc/resolv.conf
fi
# The default user data's only file.
sed -n '/path: \/etc\/environment/,$s/^      \([A-Z][A-Z0-9_]*=.*\)/\1/p' /run/seed/user-data >/etc/environment
sed -n 's/^# say: //p' /run/seed/user-data
echo "hello from $(hostname)" >/www/index.html
httpd -h /www
# Nobody types on its keyboard: the power button's is the only event.
for device in /dev/input/event*; do
    {
        dd if="$device" of=/dev/null bs=24 count=1 2>/dev/null
        echo "the power button was pressed"
        poweroff
    } &
done
echo "$(hostname) is up: disk $(cat /sys/block/vda/size) sectors, $(nproc) processors, $(ip -4 -o address show dev "$card" | awk '{print $4}')"
END
chmod 755 system/etc/rc

"$here/../../../scripts/images/boot-disk.sh" system "boot/$kernel" initrd.img "quiet mitigations=off" 32 "$disk"
echo "$disk"
