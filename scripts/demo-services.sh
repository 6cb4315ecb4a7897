# The services of make demo: WordPress on MariaDB, deployed by examples/wordpress/compose.yaml, under load. Sourced.
#
#   1 → N → 1 replicas by themselves · one is killed · one hangs · release 2 · release 3, which is broken
#   and the same with each replica in a virtual machine of its own.
#
# The seconds are those between the engine's own records (`skala service explain`), which are to the nanosecond.

web=blog_web
load_process='' load_name=''
phases=()
# What the Compose files say of a replica's share of requests, and of replicas.
share=8 most=5
files=(-f examples/wordpress/compose.yaml)
declare -A times=() memory=() failures=() rates=()

compose() { engine up "${files[@]}" "$@" >"$work/up.log" 2>&1; }

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

# One replica, and the autoscaler has seen that it is enough.
is_at_rest() { serves 1 && engine service explain --format '{{.Autoscaler}}' "$web" | grep -q '^1: .* wants [01]\b'; }

serves() { [ "$(serving)" = "$1" ]; }

# When, after a time, connections were balanced over so many replicas at least.
served_again() { decisions "$1" | awk -v count="$2" '!found && $2 == "serving:" && $3 >= count { print $1; found = 1 }'; }

has_served_again() { [ -n "$(served_again "$1" "$2")" ]; }

# The container of a replica that runs.
a_replica() {
    engine ps --no-trunc --format '{{.Names}}' --filter health=healthy --filter label=com.docker.swarm.service.name=$web |
        tail -n 1
}

has_ended() { [ -z "$(engine ps -q --filter "name=$1")" ]; }

release() { curl -s -m 60 -o /dev/null -D - "$page" | tr -d '\r' | sed -n 's/^x-release: //Ip'; }

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
    "$bin/skala" load --json --no-keepalive --timeout 30s --interval 100ms --output "$work/load.json" "$@" "$page" >"$work/load.log" 2>&1 &
    load_process=$!
}

# Ends it; a line of the table is its result.
stop_load() {
    kill -INT "$load_process" 2>/dev/null || true
    wait "$load_process" || { cat "$work/load.log" >&2; return 1; }
    load_process=''
    add_phase
}

# Where processors are emulated and the host is busy, a page may take longer than a replica has for what it was asked before
# it is stopped: that is told there, and no fault.
expect_no_failure() {
    if [ "$1" = microVMs ] && is_emulated; then return 0; fi
    expect "failed requests: ${failures[$load_name]}" 'failed requests: 0'
}

# The first such member is the whole load's, and not a second's.
number() {
    awk -v key="\"$1\":" '!found && match($0, key "[0-9.]+") {
        print substr($0, RSTART + length(key), RLENGTH - length(key)); found = 1 }' "$work/load.json"
}
# When the load was first more than one replica's share: the begin of that tenth of a second.
too_many() {
    local start
    start=$(sed -n 's/.*"started":"\([^"]*\)".*/\1/p' "$work/load.json" | date -f - +%s%N)
    grep -o '"time":[0-9.]*,"wanted":[0-9.]*,"answered":[0-9]*,"failed":[0-9]*,"underWay":[0-9]*' "$work/load.json" |
        awk -F '[:,]' -v start="$start" -v share="$share" '!found && $10 > share {
            printf "%.0f\n", start + $2 * 1e9; found = 1 }'
}

latency() { sed -n "s/.*\"latency\":{[^}]*\"$1\":\([0-9.]*\).*/\1/p" "$work/load.json"; }

add_phase() {
    failures[$load_name]=$(number failed)
    phases+=("$(printf '%-38s %8d %8d %9.1f %8.0f %8.0f %8.0f' "$load_name" "$(number requests)" "$(number failed)" \
        "$(number rate)" "$(latency p50)" "$(latency p95)" "$(latency p99)")")
}

# MARK: what happens

# From one user to so many: replicas are added by themselves.
ramp() {
    local isolation=$1 users=$2 length=$3 began
    wait_until 60 "a service at rest" is_at_rest
    step "$isolation: from 1 to $users users in $length s"
    began=$(nanoseconds)
    start_load "$isolation: 1 to $users users" --ramp "1:$users" --duration "${length}s"
    wait_until 120 "a second replica" has_served_again "$began" 2
    wait "$load_process"
    # Both since more requests were under way than a replica's share.
    times[decision $isolation]=$(seconds "$(too_many)" "$(decided "$began" 'autoscaler: 1 → ')")
    times[serving $isolation]=$(seconds "$(too_many)" "$(served_again "$began" 2)")
    memory[$isolation]=$(memory_per_replica)
    add_phase
    rates[$isolation]=$(printf '%.1f' "$(number rate)")
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
    local isolation=$1 users=$2 count victim began
    step "$isolation: a replica hangs"
    start_load "$isolation: one hangs" --concurrency "$users" --duration 5m
    sleep 1
    count=$(serving)
    victim=$(a_replica)
    began=$(nanoseconds)
    engine exec "$victim" sh -c 'kill -STOP -1'
    wait_until 120 "$count replicas after one hung" has_served_again "$began" "$count"
    times[hang $isolation]=$(seconds "$began" "$(served_again "$began" "$count")")
    # Requests it has had wait until it is killed: they are counted, too.
    wait_until 60 "the end of the replica that hung" has_ended "$victim"
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
    expect_no_failure "$isolation"
    done_step "${failures[$load_name]} requests failed"
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
    expect_no_failure "$isolation"
    done_step "${failures[$load_name]} requests failed"
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
    compose
    expect "$(curl -s -m 10 "$page")" '<title>Skala</title>'
    expect "$(release)" 1
    done_step "$page"
}

# From containers to virtual machines is a rolling update like any other.
move_to_machines() {
    step "the front end moves into virtual machines, under load"
    files+=(-f examples/wordpress/microvm.yaml)
    # The first one says what VMs run on here.
    engine run --rm --isolation microvm --memory 256m busybox true >"$work/up.log" 2>&1
    if is_emulated; then
        files+=(-f examples/wordpress/emulated.yaml)
        share=1 most=2
    fi
    start_load "from containers to microVMs" --concurrency 2 --duration 5m
    compose
    stop_load
    expect "$(engine ps --format '{{.Isolation}}' --filter label=com.docker.swarm.service.name=$web | sort -u)" microvm
    expect_no_failure microVMs
    done_step "$(accelerator), ${failures[$load_name]} requests failed"
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
    ! is_emulated || users=4 some=2
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
    printf '\n%-38s %8s %8s %9s %8s %8s %8s\n' "WordPress under load" requests failed "a second" "p50 ms" "p95 ms" "p99 ms"
    printf '%s\n' "${phases[@]}"
    printf '\n%-38s %11s %11s   %s\n' seconds containers microVMs "the studies: containers, VMs"
    compared "one replica too few → decision" "${times[decision containers]}" "${times[decision microVMs]}"
    compared "one replica too few → another serves" "${times[serving containers]}" "${times[serving microVMs]}" "8, 180 (Joy 2015)"
    compared "SIGKILL → all serve again" "${times[crash containers]}" "${times[crash microVMs]}" \
        "below 1, tens (Sharma et al. 2016)"
    compared "hang → all serve again" "${times[hang containers]}" "${times[hang microVMs]}"
    compared "rolling update" "${times[update containers]}" "${times[update microVMs]}"
    compared "broken release → rolled back" "${times[rollback containers]}" "${times[rollback microVMs]}"
    compared "no load → one replica" "${times[calm containers]}" "${times[calm microVMs]}"
    compared "memory of a replica, on the host" "${memory[containers]}" "${memory[microVMs]}"
    compared "answers a second, of the ramp" "${rates[containers]}" "${rates[microVMs]}" "more than 3 : 1 (Joy 2015)"
    ! is_emulated || printf '\n%s\n%s\n' \
        "This host has no hardware virtualization: the microVMs' processors are emulated, and PHP in them is more than ten" \
        "times as slow. They have $most replicas at most, and fewer users."
}

compared() { printf '%-38s %11s %11s   %s\n' "$1" "$2" "$3" "${4:-}"; }
