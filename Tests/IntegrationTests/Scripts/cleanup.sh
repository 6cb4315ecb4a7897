#!/bin/sh
# cleanup.sh FOLDER BRIDGE: ends the daemon and warden that run below FOLDER, and removes whatever they left: processes
# in their cgroups, cgroups, mounts, interfaces, the nft table, the folder. Waits for the end of standard input first
# when a third argument is given: so it runs even when the one who should call it is killed.
folder=$1
bridge=$2
[ -n "$3" ] && cat >/dev/null
case $folder in /tmp/skala-*) ;; *) echo "cleanup.sh: not a test's folder: $folder" >&2; exit 2 ;; esac

# Process ids whose command line names the folder; not our own.
ours() {
    for entry in /proc/[0-9]*; do
        pid=${entry#/proc/}
        [ "$pid" = $$ ] || [ "$pid" = "$PPID" ] && continue
        program=$(readlink "$entry/exe" 2>/dev/null) || continue
        case $program in */skala-daemon* | */skala-warden* | *memfd:skala-warden* | */docker-registry | */python3* | */haproxy \
            | */dockerd | */containerd* | */conmon | */podman) ;; *) continue ;; esac
        tr '\0' '\n' <"$entry/cmdline" 2>/dev/null | grep -q "^$folder/" && echo "$pid"
    done
}
pids=$(ours)
[ -n "$pids" ] && kill -KILL $pids 2>/dev/null

cgroup=skala-$(echo "$folder/run" | sed 's|^/||; s|/|-|g')
roots=$(awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/mounts)
for root in $roots; do
    [ -d "$root/$cgroup" ] || continue
    find "$root/$cgroup" -name cgroup.kill -exec sh -c 'for f; do echo 1 >"$f"; done' sh {} + 2>/dev/null
    find "$root/$cgroup" -name cgroup.procs -exec cat {} + 2>/dev/null | xargs -r kill -KILL 2>/dev/null
done
for attempt in 1 2 3 4 5; do
    left=
    for root in $roots; do
        # The balancer's processes ended above.
        [ -d "$root/$cgroup-http" ] && { rmdir "$root/$cgroup-http" 2>/dev/null || left=yes; }
        [ -d "$root/$cgroup" ] || continue
        find "$root/$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null
        [ -d "$root/$cgroup" ] && left=yes
    done
    [ -z "$left" ] && break
    sleep 0.1
done

awk -v f="$folder/" 'index($5, f) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r mount; do
    umount -l "$mount" 2>/dev/null
done
for port in /sys/class/net/"$bridge"/brif/*; do
    [ -e "$port" ] && ip link delete "${port##*/}" 2>/dev/null
done
ip link delete "$bridge" 2>/dev/null
# The engine's tag is in the names of its table and interfaces; the daemon's folder tells it.
if [ -f "$folder/tag" ]; then
    tag=$(cat "$folder/tag")
    nft delete table ip "skala_$tag" 2>/dev/null
    nft delete table ip6 "skala_$tag" 2>/dev/null
    for family in ip ip6 bridge; do nft delete table "$family" "skala_${tag}_services" 2>/dev/null; done
    ip -o link | sed -n "s/^[0-9]*: \(sk$tag[^:@]*\).*/\1/p" | while read -r link; do ip link delete "$link" 2>/dev/null; done
fi
rm -rf "$folder"
