# The timings of demo.sh: the same container, `busybox true`, by Skala and by the peers that are installed. Sourced.
#
# A few repetitions, alternating, on a machine that may be busy: an impression. Benchmarks/ measures.

declare -A samples=()
peers=()
docker_daemon=''

# Adds a peer: a function of that name runs one container.
add_peer() { peers+=("$1"); }

# MARK: the peers

run_skala() { engine run --rm --network none busybox true; }
run_skala_bridge() { engine run --rm busybox true; }
run_skala_microvm() { engine run --rm --isolation microvm busybox true; }
run_skala_runtime() { (cd "$work/bundle" && "$bin/skala-runtime" run "demo-skala-$RANDOM$RANDOM"); }
run_docker() { docker -H "unix://$work/docker.sock" run --rm --network none busybox true; }
run_docker_bridge() { docker -H "unix://$work/docker.sock" run --rm busybox true; }
run_podman() {
    podman --root "$work/podman" --runroot "$work/podman-run" --storage-driver overlay --cgroup-manager cgroupfs \
        --runtime runc --events-backend none run --rm --network none --ulimit nofile=1024:1024 \
        --ulimit nproc=1024:1024 docker.io/library/busybox true
}
run_runc() { (cd "$work/bundle" && runc --root "$work/runc" run "demo-runc-$RANDOM$RANDOM"); }
run_crun() { (cd "$work/bundle" && crun --root "$work/crun" run "demo-crun-$RANDOM$RANDOM"); }

# MARK: getting them ready

make_bundle() {
    mkdir -p "$work/bundle/rootfs"
    local container
    container=$(engine create busybox)
    engine export "$container" | tar -C "$work/bundle/rootfs" -xf -
    engine rm "$container" >/dev/null
    cat >"$work/bundle/config.json" <<'JSON'
{ "ociVersion": "1.0.2", "hostname": "demo",
  "process": { "args": ["true"], "env": ["PATH=/bin"], "cwd": "/", "user": { "uid": 0, "gid": 0 } },
  "root": { "path": "rootfs" },
  "mounts": [ { "destination": "/proc", "type": "proc", "source": "proc" },
              { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"] } ],
  "linux": { "namespaces": [ { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" },
                             { "type": "mount" } ] } }
JSON
}

# Docker in a network namespace of its own: its firewall rules stay in there.
start_docker() {
    ip netns add "$client-docker"
    ip -n "$client-docker" link set lo up
    # Not `ip netns exec`, which hides the control groups.
    nsenter --net="/run/netns/$client-docker" dockerd --data-root "$work/docker" --exec-root "$work/docker-run" \
        --pidfile "$work/docker.pid" -H "unix://$work/docker.sock" --cgroup-parent "/$group-docker" >"$work/docker.log" 2>&1 &
    docker_daemon=$!
    wait_until 20 "dockerd" docker -H "unix://$work/docker.sock" version >/dev/null 2>&1
}

# Tries a peer once; one that does not work here is left out, and named.
try_peer() {
    if "run_$1" >"$work/peer.log" 2>&1 </dev/null; then
        add_peer "$1"
    else
        left_out+=("$1: $(tail -n1 "$work/peer.log" | cut -c1-100)")
    fi
}

prepare_peers() {
    left_out=()
    make_bundle
    engine save busybox -o "$work/busybox.tar"
    try_peer skala
    try_peer skala_bridge
    try_peer skala_microvm
    if command -v dockerd >/dev/null; then
        if start_docker && docker -H "unix://$work/docker.sock" load -q -i "$work/busybox.tar" >/dev/null; then
            try_peer docker
            try_peer docker_bridge
        else
            left_out+=("docker: $(tail -n1 "$work/docker.log" | cut -c1-100)")
        fi
    fi
    if command -v podman >/dev/null; then
        podman --root "$work/podman" --runroot "$work/podman-run" --storage-driver overlay load -q \
            -i "$work/busybox.tar" >/dev/null 2>&1 || true
        try_peer podman
    fi
    try_peer skala_runtime
    ! command -v runc >/dev/null || try_peer runc
    ! command -v crun >/dev/null || try_peer crun
}

stop_peers() {
    [ -z "$docker_daemon" ] || end_process "$docker_daemon"
    for process in $(pgrep -f -- "$work/docker-run/"); do end_process "$process"; done
    [ ! -e "/run/netns/$client-docker" ] || ip netns delete "$client-docker"
    for runtime in runc crun; do
        ! command -v "$runtime" >/dev/null || "$runtime" --root "$work/$runtime" list -q 2>/dev/null |
            xargs -r -n1 "$runtime" --root "$work/$runtime" delete --force
    done
}

# MARK: measuring

measure_all() {
    local runs=$1 peer start
    prepare_peers
    for _ in $(seq "$runs"); do
        for peer in "${peers[@]}"; do
            start=$EPOCHREALTIME
            "run_$peer" >/dev/null 2>&1 </dev/null
            samples[$peer]+=" $(((${EPOCHREALTIME/[.,]/} - ${start/[.,]/}) / 10))"
        done
    done
}

# The median, in hundredths of a millisecond.
median() {
    local -n list=$1
    printf '%s\n' $list | sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'
}

print_timings() {
    local peer values ours=''
    printf '\n%-44s %10s %12s\n' "busybox true, from the command to its end" "median" "Skala takes"
    row() {
        [ -n "${samples[$1]:-}" ] || return 0
        values=${samples[$1]}
        local time
        time=$(median values)
        if [ -z "$3" ]; then
            ours=$time
            printf '%-44s %7d.%d ms\n' "$2" $((time / 100)) $((time % 100 / 10))
        else
            printf '%-44s %7d.%d ms %10s %%\n' "$2" $((time / 100)) $((time % 100 / 10)) $((ours * 100 / time))
        fi
    }
    row skala "skala run --rm, no network" ''
    row docker "docker run, $(dockerd --version 2>/dev/null | sed 's/.*version \([^,]*\),.*/\1/'), no network" peer
    row podman "podman run with runc, no network" peer
    row skala_bridge "skala run, bridge network" ''
    row docker_bridge "docker run, bridge network" peer
    row skala_microvm "skala run --isolation microvm, bridge" ''
    row docker_bridge "docker run of a container, bridge network" peer
    row skala_runtime "skala-runtime run" ''
    row runc "runc run" peer
    row crun "crun run" peer
    for reason in "${left_out[@]}"; do printf 'not measured here: %s\n' "$reason"; done
}
