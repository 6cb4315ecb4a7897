#!/usr/bin/env bash
# Runs the tests that were built: first those of the parts, then those that drive a whole engine. Ends with what failed and
# what was skipped, and why.
#
# Tests of a whole engine share the machine's processors, disk and kernel with everything else on it. Up to three of them
# that fail are run once more, alone; those that pass then are told at the end: each is a defect to be found, of the test
# or of the engine.
#
#   scripts/test.sh SCRATCH
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$1
log=$(mktemp)
trap 'rm -f "$log" "$log.engine"' EXIT

run() { swift test --scratch-path "$scratch" --skip-build "$@" 2>&1 | tee -a "$log"; }

# failed FILE: the names of the tests that failed, as a regular expression for --filter.
failed() {
    sed -nE 's/^✘ Test ([A-Za-z0-9_]+)\(.*\) (with [0-9]+ test cases )?failed after .*/\/\1\\(/p' "$1" | sort -u
}

status=0
run --skip 'IntegrationTests|SimulationTests|PlanningTests|LoadTests' || { status=$?; scripts/fuzz-seeds.sh; }
# They take all processors; tests with deadlines are not run beside them.
run --filter 'SimulationTests|PlanningTests|LoadTests' || status=$?

again=
if ! run --filter IntegrationTests | tee "$log.engine"; then
    again=$(failed "$log.engine")
    count=$(grep -c . <<<"$again" || true)
    if [ "$count" -ge 1 ] && [ "$count" -le 3 ]; then
        printf '\nonce more, alone:\n%s\n' "$again"
        run --filter "IntegrationTests.*($(paste -sd '|' <<<"$again"))" || status=$?
    else
        status=1
    fi
fi

if grep -q '^✘' "$log"; then
    printf '\nwhat failed:\n'
    # Each issue with what the test says of it, up to the next test's line.
    awk '/^[✔✘◇↳]/ { shown = 0 } / recorded an issue / { shown = 30 } shown-- > 0' "$log" | cut -c1-1000
fi
echo
echo "skipped: $(grep -c '^SKIP:' "$log" || true)"
grep '^SKIP:' "$log" | sort | uniq -c || true
if [ "$status" = 0 ] && [ -n "$again" ]; then
    printf 'failed at first, passed alone:\n%s\n' "$again"
fi
exit "$status"
