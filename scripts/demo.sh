#!/usr/bin/env bash
# make demo: a Skala of its own, proved with requests, timed, and cleaned up, in acts:
#
#   application      client ─▶ published port ─▶ nginx ─▶ visits (Python) ─▶ PostgreSQL (volume)
#                                                                         └─▶ Redis
#                    and the same nginx as a container, in a pod and in a virtual machine of its own, beside each other
#   services         load ─▶ published port ─▶ WordPress, 1 to 5 replicas, ─▶ MariaDB (volume, secret)
#                    scaled, healed and updated by themselves: as containers, and as virtual machines
#
# Needs root and a Swift toolchain; installs the Debian packages that are missing. Settings, all optional:
#   SKALA_BIN        folder with built programs (default: builds a release)
#   SKALA_CACHE      where builds and images are kept (default ~/.cache/skala)
#   SKALA_REGISTRY   a mirror of Docker Hub to pull from, http://host:port (default: Docker Hub if reachable)
#   DEMO_RUNS        repetitions of each timing (default 5); 0 leaves the peers out
#   DEMO_ACTS        the acts to be seen (default both)
# -E: a command that fails in a function is told too.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
. scripts/demo-lib.sh
. scripts/demo-application.sh
. scripts/demo-services.sh
acts=${DEMO_ACTS:-application services}

[ "$(id -u)" = 0 ] || { echo "make demo needs root: containers do" >&2; exit 1; }
trap failed ERR
trap cleanup EXIT
trap 'exit 130' INT TERM

step "packages"
scripts/install-dependencies.sh build demo
done_step

step "release build"
bin=${SKALA_BIN:-$(scripts/build-release.sh)}
done_step

step "images"
mirror=${SKALA_REGISTRY:-}
if [ -z "$mirror" ] && curl -s -o /dev/null -m 3 https://registry-1.docker.io/v2/; then mirror=https://registry-1.docker.io; fi
built=(busybox nginx postgres redis visits)
[ -z "$mirror" ] || built=(visits)
[[ $acts != *services* ]] || built+=(mariadb blog)
scripts/images/build.sh "${built[@]}"
done_step

step "daemon"
start_daemon
done_step "socket $socket"

step "loading images"
pulled=()
if [ -n "$mirror" ]; then
    for image in busybox:latest nginx:1.22 postgres:15 redis:7; do engine pull -q "$image" >/dev/null; done
    pulled=(", four pulled from $mirror")
fi
for name in "${built[@]}"; do engine load -q -i "$images/$name.tar" >/dev/null; done
done_step "$(engine images -q | sort -u | wc -l) images${pulled[*]}"

if [[ $acts == *application* ]]; then
    application
    if [ "${DEMO_RUNS:-5}" -gt 0 ]; then
        step "timings, ${DEMO_RUNS:-5} runs each"
        . scripts/demo-peers.sh
        measure_all "${DEMO_RUNS:-5}"
        done_step
        print_timings
        printf '\n'
    fi
    end_application
fi
if [[ $acts == *services* ]]; then
    services
    print_services
fi
summary
