# The first act of make demo: an application of four containers, proved with requests, and nginx at three isolations.
# Sourced.

application() {
    step "network and volume"
    engine network create --subnet "$app_subnet.0/24" --gateway "$app_subnet.1" demo >/dev/null
    engine volume create demo-data >/dev/null
    done_step "$app_subnet.0/24"

    step "PostgreSQL, Redis, visits, nginx"
    run_postgres
    engine run -d --name cache --network demo --memory 128m redis:7 >/dev/null
    engine run -d --name visits --network demo --restart on-failure --read-only --cap-drop ALL \
        -e DATABASE_URL=postgresql://postgres:demo@db/postgres -e REDIS_URL=redis://cache visits >/dev/null
    nginx_configuration >"$work/nginx.conf"
    # Below the ports that engines give by themselves: another engine on this host gives the same ones.
    port=$((20000 + RANDOM % 10000 / 4 * 4))
    engine run -d --name web --network demo -p "$port:80" -v "$work/nginx.conf:/etc/nginx/conf.d/default.conf:ro" \
        nginx:1.22 >/dev/null
    wait_until 60 "the application" answers
    done_step "http://127.0.0.1:$port"

    step "requests: PostgreSQL counts, Redis answers"
    for _ in 1 2 3 4 5; do request POST >/dev/null; done
    expect "$(request POST)" '"visits": 6, "from": "postgres"'
    expect "$(request GET)" '"visits": 6, "from": "redis"'
    done_step

    step "the first virtual machine of its kind: a template is made"
    # Of each kind one: what follows are clones.
    for isolation in microvm pod; do engine run --rm --isolation "$isolation" busybox true; done
    done_step "$(accelerator)"

    step "the same nginx as a container, in a pod, in a virtual machine"
    for isolation in container pod microvm; do
        number=$((${#side_by_side[@]} + 1))
        start_side_by_side "$isolation" $((port + number))
        expect "$(curl -s -m 10 "http://127.0.0.1:$((port + number))/")" '"visits": 6'
        expect "$(engine exec "nginx-$isolation" cat /proc/version)" 'Linux version'
    done
    done_step
    printf '    %s\n' "${side_by_side[@]}"

    step "the application restarts: nothing is lost"
    engine restart -t 2 visits >/dev/null
    wait_until 30 "the restarted application" answers
    expect "$(request GET)" '"visits": 6'
    done_step

    step "PostgreSQL is replaced: its volume has the data"
    engine stop -t 10 db >/dev/null
    engine rm db >/dev/null
    engine rm -f cache >/dev/null
    run_postgres
    engine run -d --name cache --network demo redis:7 >/dev/null
    wait_until 60 "the new PostgreSQL" answers
    expect "$(request POST)" '"visits": 7, "from": "postgres"'
    done_step

    step "the daemon is killed: containers go on, a new daemon finds them"
    # The shell says "Killed" on its own standard error: not here, where it is meant.
    { kill -KILL "$daemon" && wait "$daemon"; } 2>/dev/null || true
    expect "$(request GET alive)" 'nginx is alive'
    start_daemon
    expect "$(engine ps --format '{{.Names}} {{.State}}' | sort | tr '\n' ' ')" \
        'cache running db running nginx-container running nginx-microvm running nginx-pod running visits running web running'
    expect "$(request POST)" '"visits": 8'
    done_step

    step "a client in a network of its own: nginx sees its address"
    client_network
    expect "$(ip netns exec "$client" curl -s -m 5 "http://$client_gateway:$port/")" "\"client\": \"$client_address\""
    expect "$(engine logs web 2>/dev/null)" "$client_address - - "
    done_step "$client_address"
}

run_postgres() {
    engine run -d --name db --network demo -v demo-data:/var/lib/postgresql/data -e POSTGRES_PASSWORD=demo \
        --memory 512m postgres:15 >/dev/null
}

# Makes room for the next act.
end_application() {
    engine rm -f $(engine ps -aq) >/dev/null
    engine network rm demo >/dev/null
    engine volume rm demo-data >/dev/null
}
