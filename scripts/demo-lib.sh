# What demo.sh is made of: progress lines, the daemon, the client's network, and the clean-up. Sourced.

work=$(mktemp -d /tmp/skala-demo-XXXXXX)
socket=$work/run/skala.sock
images=${SKALA_CACHE:-$HOME/.cache/skala}/images
# The process id makes names unique on this host; interface names have room for 15 characters.
bridge=skdemo$$
group=skala-demo-$$
client=skala-demo-$$
daemon=''
daemon_subnet='' app_subnet='' client_subnet='' client_gateway='' client_address=''
current='' started=0 checks=0
side_by_side=()
begin=$EPOCHREALTIME

engine() { "$bin/skala" --host "unix://$socket" "$@"; }

# MARK: progress

milliseconds_since() { echo $(((${EPOCHREALTIME/[.,]/} - ${1/[.,]/}) / 1000)); }

# On a terminal a step shows while it runs; elsewhere its line comes when it is done.
step() {
    current=$1
    started=$EPOCHREALTIME
    [ ! -t 1 ] || printf '%s ... ' "$current"
}

done_step() {
    local time
    time=$(milliseconds_since "$started")
    [ ! -t 1 ] || printf '\r\033[K'
    printf '%-62s %4d.%d s  %s\n' "$current" $((time / 1000)) $((time % 1000 / 100)) "${1:-}"
}

summary() {
    local time
    time=$(milliseconds_since "$begin")
    printf '\n%d checks passed in %d s. What each isolation costs: docs/lab-report.html. Next: docs/how-to/install.md\n' "$checks" $((time / 1000))
}

failed() {
    # A subshell's failure is its caller's.
    [ "$BASHPID" = $$ ] || return 0
    trap - ERR
    printf '\ndemo: "%s" failed (%s, line %s)\n' "$current" "${BASH_SOURCE[1]}" "${BASH_LINENO[0]}" >&2
    [ ! -s "$work/daemon.log" ] || { echo "the daemon's last lines:"; tail -n 5 "$work/daemon.log"; } >&2
    [ -n "$daemon" ] && kill -0 "$daemon" 2>/dev/null || return 0
    for name in $(engine ps -a --format '{{.Names}}' | head -n 12); do
        engine logs --tail 3 "$name" 2>&1 | sed "s/^/  $name: /" >&2 || true
    done
    [ ! -s "$work/up.log" ] || { echo "what skala up said last:"; tail -n 5 "$work/up.log"; } >&2
    [ -z "$(engine service ls -q)" ] || engine service explain "$web" | tail -n 20 >&2 || true
}

# What virtual machines run on: kvm, or tcg, which is software. Known from the first one on.
accelerator() { engine info --format '{{.Accelerator}}'; }

# MARK: checks

request() { curl -s -m 10 -X "$1" "http://127.0.0.1:$port/${2:-}"; }

answers() { curl -s -m 1 -f -o /dev/null "http://127.0.0.1:$port/"; }

# One nginx at an isolation, on a port; adds a line to `side_by_side` with its times and its memory.
start_side_by_side() {
    local isolation=$1 own_port=$2 name=nginx-$1 began=$EPOCHREALTIME ran
    engine run -d --name "$name" --isolation "$isolation" --network demo -p "$own_port:80" \
        -v "$work/nginx.conf:/etc/nginx/conf.d/default.conf:ro" nginx:1.22 >/dev/null
    ran=$(milliseconds_since "$began")
    wait_until 60 "nginx at isolation $isolation" curl -s -m 2 -f -o /dev/null "http://127.0.0.1:$own_port/alive"
    side_by_side+=("$(printf '%-10s started in %4d ms, first answer after %4d ms, %3d MB' "$isolation" "$ran" \
        "$(milliseconds_since "$began")" "$(memory_of "$name")")")
}

# What a container, or the virtual machine it is in, takes of the host: its processes' share of memory, in MB.
memory_of() {
    local pid total=0 share
    pid=$(engine inspect --format '{{.State.Pid}}' "$1")
    for pid in "$pid" $(cat "/proc/$pid/task/$pid/children"); do
        share=$(awk '/^Pss:/ { print $2 }' "/proc/$pid/smaps_rollup")
        total=$((total + share))
    done
    echo $((total / 1024))
}

# Waits until a command succeeds, and fails after so many seconds.
wait_until() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || { echo "waited too long for $what" >&2; return 1; }
        sleep 0.1
    done
}

expect() {
    case "$1" in
        *"$2"*) checks=$((checks + 1)) ;;
        *) printf '\nexpected: %s\nanswered: %s\n' "$2" "$1" >&2; return 1 ;;
    esac
}

# MARK: networks

# Prints the first two numbers of /16 networks nothing on this host has a route to, as many as asked for.
free_networks() {
    local wanted=$1 network
    for network in 172.{31..17} 10.{250..200}; do
        [ -z "$(ip -4 route show root "$network.0.0/16")" ] || continue
        [ -z "$(ip -4 route show match "$network.0.0/16" | grep -v '^default')" ] || continue
        echo "$network"
        wanted=$((wanted - 1))
        [ "$wanted" -gt 0 ] || return 0
    done
    echo "no free network in 172.17.0.0 to 172.31.0.0 and 10.200.0.0 to 10.250.0.0" >&2
    return 1
}

# A network namespace with one cable to the host: what a client elsewhere is.
client_network() {
    client_gateway=$client_subnet.1
    client_address=$client_subnet.2
    ip netns add "$client"
    ip link add "skdc$$" type veth peer name eth0 netns "$client"
    ip address add "$client_gateway/30" dev "skdc$$"
    ip link set "skdc$$" up
    ip -n "$client" address add "$client_address/30" dev eth0
    ip -n "$client" link set eth0 up
    ip -n "$client" route add default via "$client_gateway"
}

# nginx asks the engine's name service again after a second: a container that is replaced may have a new address.
nginx_configuration() {
    cat <<CONFIGURATION
server {
    listen 80;
    resolver $app_subnet.1 valid=1s;
    location = /alive { return 200 "nginx is alive\n"; }
    location / {
        set \$application visits;
        proxy_pass http://\$application:8000;
        proxy_set_header X-Real-IP \$remote_addr;
    }
}
CONFIGURATION
}

# MARK: the daemon

start_daemon() {
    if [ -z "$daemon_subnet" ]; then
        local networks
        mapfile -t networks < <(free_networks 2)
        daemon_subnet=${networks[0]}.0.0/16
        app_subnet=${networks[1]}.0
        client_subnet=${networks[1]}.255
    fi
    mkdir -p "$work/run" "$work/data"
    "$bin/skala-daemon" --socket "$socket" --data-root "$work/data" --run-root "$work/run" --bridge "$bridge" \
        --subnet "$daemon_subnet" --warden "$bin/skala-warden" --cgroup-parent "/$group" \
        ${mirror:+--registry-mirror "$mirror"} >>"$work/daemon.log" 2>&1 &
    daemon=$!
    wait_until 15 "the daemon" curl -s -f -m 2 -o /dev/null --unix-socket "$socket" http://localhost/_ping
}

# How a daemon tells its tables and interfaces from another's: its run folder's FNV-1a hash, the low 16 bits.
tag() {
    local hash=2166136261 index
    for ((index = 0; index < ${#1}; index++)); do
        hash=$(((hash ^ $(printf %d "'${1:index:1}")) * 16777619 & 0xffffffff))
    done
    printf %04x $((hash & 0xffff))
}

# Ends a process and waits for it, at most 10 s before it is killed.
end_process() {
    kill -TERM "$1" 2>/dev/null || return 0
    for _ in $(seq 100); do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL "$1" 2>/dev/null || true
}

# Takes away everything the demo made; whatever state it is in, and whatever fails meanwhile.
cleanup() {
    local status=$? containers
    trap '' INT TERM
    trap - ERR
    set +e
    [ -z "$(declare -F stop_peers)" ] || stop_peers
    [ -z "$load_process" ] || end_process "$load_process"
    if [ -n "$daemon" ] && kill -0 "$daemon" 2>/dev/null; then
        # First, or it would go on to replace its tasks.
        [ -z "$(engine service ls -q)" ] || engine down -p blog --volumes >/dev/null 2>&1
        containers=$(engine ps -aq)
        [ -z "$containers" ] || engine rm -f $containers >/dev/null
        engine network rm demo >/dev/null 2>&1
        end_process "$daemon"
    fi
    # The warden outlives its daemon; its command line has this run's own folder.
    for warden in $(pgrep -f -- "--socket $work/run/warden.sock"); do end_process "$warden"; done
    # What neither has ended, if one of them could not: the balancer of requests, for instance.
    for process in $(pgrep -f -- "$work/run/"); do end_process "$process"; done
    [ ! -e "/run/netns/$client" ] || ip netns delete "$client"
    nft delete table ip "skala_$(tag "$work/run")" 2>/dev/null
    nft delete table ip6 "skala_$(tag "$work/run")" 2>/dev/null
    for family in ip ip6 bridge; do nft delete table $family "skala_$(tag "$work/run")_services" 2>/dev/null; done
    ip link delete "$bridge" 2>/dev/null
    for link in /sys/class/net/"sk$(tag "$work/run")"*; do
        [ ! -e "$link" ] || ip link delete "${link##*/}" 2>/dev/null
    done
    for folder in /sys/fs/cgroup/{,*/}"$group"{,-docker,-http}; do
        [ ! -d "$folder" ] || find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null
    done
    awk -v folder="$work/" 'index($5, folder) == 1 { print $5 }' /proc/self/mountinfo | sort -r | xargs -r -n1 umount
    rm -rf --one-file-system "$work"
    exit "$status"
}
