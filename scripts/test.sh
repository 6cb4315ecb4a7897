#!/usr/bin/env bash
# Runs the tests that were built: first those of the parts, then those that drive a whole engine. Ends with what was
# skipped, and why.
#
#   scripts/test.sh SCRATCH
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$1
log=$(mktemp)
trap 'rm -f "$log"' EXIT

run() { swift test --scratch-path "$scratch" --skip-build "$@" 2>&1 | tee -a "$log"; }

status=0
run --skip 'IntegrationTests|SimulationTests|PlanningTests' || { status=$?; scripts/fuzz-seeds.sh; }
# They take all processors; tests with deadlines are not run beside them.
run --filter 'SimulationTests|PlanningTests' || status=$?
run --filter IntegrationTests || status=$?

echo
echo "skipped: $(grep -c '^SKIP:' "$log" || true)"
grep '^SKIP:' "$log" | sort | uniq -c || true
exit "$status"
