# The services of make demo: WordPress on MariaDB, deployed by examples/wordpress/compose.yaml, under load. Sourced.
#
#   1 → N → 1 replicas by themselves · one is killed · one hangs · release 2 · release 3, which is broken
#   and the same with each replica in a virtual machine of its own.
#
# The seconds are those between the engine's own records (`skala service explain`), which are to the nanosecond.

web=blog_web
load_process='' load_name=''
phases=()
most=0
declare -A times=() memory=() failures=() rates=()

compose() { engine up -f examples/wordpress/compose.yaml "$@" >"$work/up.log" 2>&1; }

prepare_services() {
    port=$((20000 + RANDOM % 10000 / 4 * 4))
    page=http://127.0.0.1:$port/
    od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$work/db-password"
    export BLOG_PORT=$port BLOG_PASSWORD_FILE=$work/db-password
}

# MARK: what the engine has written down

nanoseconds() { echo "${EPOCHREALTIME/[.,]/}000"; }

# The service's decisions after a time: nanoseconds, and text.
decisions() {
    engine service explain --format '{{json .Decisions}}' "$web" | sed 's/},{/}\n{/g' |
        sed -n 's/.*"Time":"\([^"]*\)","Text":"\(.*\)"}.*/\1 \2/p' >"$work/decisions"
    paste -d ' ' <(cut -d ' ' -f 1 "$work/decisions" | date -f - +%s%N) <(cut -d ' ' -f 2- "$work/decisions") |
        awk -v since="$1" '$1 > since'
}

# When, after a time, something was decided first; nothing when it was not.
decided() { decisions "$1" | awk -v pattern="^[0-9]+ $2" '!found && $0 ~ pattern { print $1; found = 1 }'; }

has_decided() { [ -n "$(decided "$1" "$2")" ]; }

wait_for_decision() { wait_until "$3" "the service to say '$2'" has_decided "$1" "$2"; }

seconds() { awk -v from="$1" -v to="$2" 'BEGIN { printf "%.1f", (to - from) / 1e9 }'; }

# How many replicas connections are balanced over.
serving() { decisions 0 | sed -n 's/^[0-9]* serving: \([0-9]*\).*/\1/p' | tail -n 1; }

serves_at_least() { [ "$(serving)" -ge "$1" ]; }

serves() { [ "$(serving)" = "$1" ]; }

# When, after a time, connections were balanced over so many replicas at least.
served_again() { decisions "$1" | awk -v count="$2" '!found && $2 == "serving:" && $3 >= count { print $1; found = 1 }'; }

has_served_again() { [ -n "$(served_again "$1" "$2")" ]; }

# The container of a replica that runs.
a_replica() {
    engine ps --no-trunc --format '{{.Names}}' --filter health=healthy --filter label=com.docker.swarm.service.name=$web |
        tail -n 1
}

release() { curl -s -m 30 -o /dev/null -D - "$page" | tr -d '\r' | sed -n 's/^X-Release: //p'; }

# Of the host's memory, a replica's mean, in MB.
memory_per_replica() {
    engine stats --no-stream --format '{{.Name}} {{.HostMemory}}' | sed -n "s/^$web[^ ]* \([0-9.]*\)MiB/\1/p" |
        awk '{ sum += $1 } END { printf "%.0f MB", sum / NR }'
}

# MARK: load

# So many users ask for the page, each again when it has its answer, until the load is ended.
start_load() {
    load_name=$1
    shift
    "$bin/skala" load --json --no-keepalive --timeout 30s --output "$work/load.json" "$@" "$page" >"$work/load.log" 2>&1 &
    load_process=$!
}

# Ends it; a line of the table is its result.
stop_load() {
    kill -INT "$load_process" 2>/dev/null || true
    wait "$load_process" || { cat "$work/load.log" >&2; return 1; }
    load_process=''
    add_phase
}

number() { sed -n "s/.*\"$1\":\([0-9.]*\).*/\1/p" "$work/load.json" | head -n 1; }
latency() { sed -n "s/.*\"latency\":{[^}]*\"$1\":\([0-9.]*\).*/\1/p" "$work/load.json"; }

add_phase() {
    failures[$load_name]=$(number failed)
    rates[$load_name]=$(number rate)
    phases+=("$(printf '%-38s %8d %8d %9.1f %9.0f %7.0f %7.0f' "$load_name" "$(number requests)" "$(number failed)" \
        "$(number rate)" "$(latency p50)" "$(latency p95)" "$(latency p99)")")
}

# MARK: what happens

# From one user to so many: replicas are added by themselves.
ramp() {
    local isolation=$1 users=$2 length=$3 began
    step "$isolation: from 1 to $users users in $length s"
    began=$(nanoseconds)
    start_load "$isolation: 1 to $users users" --ramp "1:$users" --duration "${length}s"
    wait_until 120 "a second replica" has_served_again "$began" 2
    times[decision $isolation]=$(seconds "$began" "$(decided "$began" 'autoscaler: 1 → ')")
    times[serving $isolation]=$(seconds "$began" "$(served_again "$began" 2)")
    wait "$load_process"
    memory[$isolation]=$(memory_per_replica)
    add_phase
    expect "$(serving)" "$most"
    done_step "1 → $(serving) replicas, the second served after ${times[serving $isolation]} s"
}

# A replica's processes are killed, from outside: nobody tells the engine.
crash() {
    local isolation=$1 users=$2 count victim began
    step "$isolation: a replica is killed"
    start_load "$isolation: one is killed" --concurrency "$users" --duration 5m
    sleep 1
    count=$(serving)
    victim=$(engine inspect --format '{{.State.Pid}}' "$(a_replica)")
    began=$(nanoseconds)
    kill -KILL "$victim"
    wait_until 120 "$count replicas after a crash" has_served_again "$began" "$count"
    times[crash $isolation]=$(seconds "$began" "$(served_again "$began" "$count")")
    sleep 1
    stop_load
    done_step "$count of $count serve again after ${times[crash $isolation]} s"
}

# All its processes stop, as those of a program that waits for itself for ever.
hang() {
    local isolation=$1 users=$2 count began
    step "$isolation: a replica hangs"
    start_load "$isolation: one hangs" --concurrency "$users" --duration 5m
    sleep 1
    count=$(serving)
    began=$(nanoseconds)
    engine exec "$(a_replica)" sh -c 'kill -STOP -1'
    wait_until 120 "$count replicas after one hung" has_served_again "$began" "$count"
    times[hang $isolation]=$(seconds "$began" "$(served_again "$began" "$count")")
    sleep 1
    stop_load
    done_step "$count of $count serve again after ${times[hang $isolation]} s"
}

update() {
    local isolation=$1 users=$2 began
    step "$isolation: rolling update to release 2"
    start_load "$isolation: update to release 2" --concurrency "$users" --duration 5m
    began=$(nanoseconds)
    BLOG_RELEASE=2 compose
    times[update $isolation]=$(seconds "$began" "$(nanoseconds)")
    stop_load
    expect "$(release)" 2
    expect "failed requests: ${failures[$load_name]}" 'failed requests: 0'
    done_step "no request failed"
}

# Its health checks fail, so that the update ends with the first replica, and is taken back.
bad_update() {
    local isolation=$1 users=$2 began
    step "$isolation: release 3 is broken, and rolled back"
    start_load "$isolation: release 3, rolled back" --concurrency "$users" --duration 5m
    began=$(nanoseconds)
    ! BLOG_RELEASE=3 compose || { echo "the broken release was rolled out" >&2; return 1; }
    times[rollback $isolation]=$(seconds "$began" "$(nanoseconds)")
    stop_load
    expect "$(cat "$work/up.log")" 'roll'
    expect "$(release)" 2
    expect "failed requests: ${failures[$load_name]}" 'failed requests: 0'
    done_step "no request failed"
}

calm() {
    local began
    step "$1: the load is over"
    began=$(nanoseconds)
    wait_until 60 "one replica" serves 1
    times[calm $1]=$(seconds "$began" "$(nanoseconds)")
    done_step "$most → 1 replica"
}

# MARK: the acts

deploy() {
    step "skala up: MariaDB with a volume and a secret, WordPress"
    export BLOG_ISOLATION=container BLOG_RELEASE=1 BLOG_MAX=5
    most=$BLOG_MAX
    compose
    expect "$(curl -s -m 10 "$page")" '<title>Skala</title>'
    expect "$(release)" 1
    wait_until 30 "one replica" serves 1
    done_step "$page"
}

# From containers to virtual machines is a rolling update like any other.
move_to_machines() {
    step "the front end moves into virtual machines, under load"
    export BLOG_ISOLATION=microvm BLOG_RELEASE=1
    # The first one says what VMs run on here.
    engine run --rm --isolation microvm busybox true
    if is_emulated; then
        # What a processor in software can do: fewer replicas that may use more, and patience.
        export BLOG_MAX=2 BLOG_CPUS=1 BLOG_HEALTH_INTERVAL=2s BLOG_HEALTH_TIMEOUT=4s BLOG_START_PERIOD=20s
    fi
    most=${BLOG_MAX:-5}
    start_load "from containers to microVMs" --concurrency 2 --duration 5m
    compose
    stop_load
    expect "$(engine ps --format '{{.Isolation}}' --filter label=com.docker.swarm.service.name=$web | sort -u)" microvm
    expect "failed requests: ${failures[$load_name]}" 'failed requests: 0'
    done_step "$(accelerator), no request failed"
}

is_emulated() { [ "$(accelerator)" = tcg ]; }

services() {
    prepare_services
    deploy
    ramp containers 80 20
    crash containers 40
    hang containers 40
    update containers 40
    bad_update containers 40
    calm containers
    move_to_machines
    local users=80 some=40
    ! is_emulated || users=6 some=3
    ramp microVMs "$users" 20
    crash microVMs "$some"
    hang microVMs "$some"
    update microVMs "$some"
    bad_update microVMs "$some"
    calm microVMs
    step "skala down"
    engine down -p blog --volumes >"$work/up.log" 2>&1
    expect "services: $(engine service ls -q | wc -l)" 'services: 0'
    done_step
}

print_services() {
    printf '\n%-38s %8s %8s %9s %9s %7s %7s\n' "WordPress under load" requests failed "a second" "p50 ms" "p95 ms" "p99 ms"
    printf '%s\n' "${phases[@]}"
    printf '\n%-38s %12s %12s   %s\n' "seconds" containers microVMs "the studies: containers, VMs"
    timing "load → decision to add a replica" decision "" s
    timing "load → a new replica serves" serving "8 s, 3 min (Joy 2015)"
    timing "SIGKILL → all serve again" crash "< 1 s, tens of seconds (Sharma 2016)"
    timing "hang → all serve again" hang
    timing "rolling update of all replicas" update
    timing "broken release → the one before" rollback
    timing "load over → one replica" calm
    printf '%-38s %12s %12s\n' "memory of the host per replica" "${memory[containers]}" "${memory[microVMs]}"
}

timing() { printf '%-38s %12s %12s   %s\n' "$1" "${times[$2 containers]}" "${times[$2 microVMs]}" "${3:-}"; }
