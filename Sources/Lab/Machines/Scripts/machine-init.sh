#!/bin/sh
# The first process of a machine of the lab. It makes the image's files, on the second partition, ready as the root of programs (as the
# lab's processes have theirs by chroot); sets the network up by the NoCloud disk; and runs the user data, which names the program and the
# keys. The machine goes down when its program ends, or when its power button is pressed.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

down() {
    : >/run/down
    kill -TERM -1
    sleep 0.2
    sync
    mount -o remount,ro /image
    poweroff -f
}

give_up() {
    echo "cannot boot: $1"
    down
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
modprobe -a virtio_pci virtio_blk virtio_net virtio_rng virtio_balloon ext4 isofs button evdev
n=0
until [ -b /dev/vda2 ] && [ -e /sys/class/net/eth0 ] || [ $n -ge 200 ]; do n=$((n + 1)); sleep 0.05; done
# Tables that were never written are not written in the background while something is measured.
mount -t ext4 -o noinit_itable /dev/vda2 /image || give_up "no file system on /dev/vda2"
for disk in /dev/vdb /dev/vdc /dev/sr0; do
    [ -b $disk ] && mount -t iso9660 -o ro $disk /seed 2>/dev/null && break
done
[ -f /seed/user-data ] || give_up "no disk with NoCloud data"

# What programs expect to find.
mkdir -p /dev/pts /dev/shm /image/proc /image/sys /image/dev /image/run /image/tmp /image/etc
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /image/run
mount -o bind /proc /image/proc
mount -o bind /sys /image/sys
mount -o rbind /dev /image/dev
chmod 1777 /image/tmp /dev/shm

name=$(sed -n 's/^local-hostname: //p' /seed/meta-data)
hostname "$name"
echo "$name" >/image/etc/hostname
# Programs that look for the host's own name do not ask the network for it.
grep -qw localhost /image/etc/hosts 2>/dev/null || echo '127.0.0.1 localhost' >>/image/etc/hosts
echo "127.0.1.1 $name" >>/image/etc/hosts
ip link set lo up
config=/seed/network-config
if grep -q macaddress $config; then
    mtu=$(sed -n 's/^ *mtu: \([0-9]*\)/\1/p' $config)
    ip link set eth0 mtu "${mtu:-1500}" up
    for address in $(sed -n '/addresses:/,/:$/s/^ *- "\([0-9a-f.:]*\/[0-9]*\)"/\1/p' $config); do
        ip address add "$address" dev eth0
    done
    for gateway in $(sed -n 's/^ *via: "\([0-9.]*\)"/\1/p' $config); do ip route add default via "$gateway"; done
    sed -n '/nameservers/,$s/^ *- "\([0-9.]*\)"/nameserver \1/p' $config >/image/etc/resolv.conf
fi

# Nobody types on its keyboard: the power button's is the only event.
for device in /dev/input/event*; do
    { dd if="$device" of=/dev/null bs=24 count=1 2>/dev/null && down; } &
done

# It writes /run/host-key, /run/authorized-keys and /run/program.
sh /seed/user-data || give_up "the user data failed"
(cd /root && mkdir -m 700 .ssh && cp /run/authorized-keys .ssh/authorized_keys)
dropbearconvert openssh dropbear /run/host-key /run/dropbear-key 2>/dev/null || give_up "no key of the host in the user data"
# What reads a script to its end, and runs it.
cat >/bin/run-script <<'SCRIPT'
#!/bin/sh
echo 0 >/proc/self/oom_score_adj
text=$(cat)
exec /bin/sh -c "$text" </dev/null
SCRIPT
chmod 755 /bin/run-script
sh /run/program </dev/null &
program=$!
# When memory is short, who measures is not the first to go.
echo -900 >/proc/self/oom_score_adj
dropbear -r /run/dropbear-key -s -j -k -p 22
wait $program
status=$?
[ -e /run/down ] || echo "the program ended with status $status"
down
