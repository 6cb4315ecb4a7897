"""What is measured of the planners; as `rows`, of the suite `planning`. No engine runs: the cluster is in memory."""

import json
import os
import pathlib
import subprocess

import host
from measure import Bar, Measure, Series

ROWS = {}
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PEER = "Nomad, C2M as published"


def row(key, text):
    def add(function):
        ROWS[key] = (text, (), function)
        return function

    return add


def program():
    """The benchmark program of a release build, beside the other builds."""
    scratch = os.environ.get("SKALA_PLANNING_SCRATCH")
    if not scratch:
        made = subprocess.run(["make", "-s", "-C", ROOT, "print-scratch"], stdout=subprocess.PIPE, text=True, check=True)
        scratch = made.stdout.strip() + "/release"
    command = ["swift", "build", "-c", "release", "--product", "planning-benchmark", "--scratch-path", scratch]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise host.Missing("the build failed:\n" + done.stdout)
    return f"{scratch}/release/planning-benchmark"


def run(path, *arguments):
    done = subprocess.run([path, *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=True, timeout=600)
    return [json.loads(line) for line in done.stdout.splitlines()]


def measured(bench, key, name, scenario, nodes, tasks, bars=True):
    path = program()
    speed, memory, last = Series(), Series(), None
    # Each run is a million placements already.
    for seed in range(1, min(bench.count, 5) + 1):
        (last,) = run(path, scenario, nodes, tasks, seed)
        speed.add(last["placements_per_second"])
        memory.add(last["memory_peak_kb"] / 1024)
        bench.progress(name, seed, min(bench.count, 5))
    details = {"samples": speed.summary(), "last": last}
    yield Measure(
        key, f"{name}, placements a second", "/s", speed.median, PEER if bars else "", 1500 if bars else None,
        Bar(50_000, of="value", at_most=False) if bars else None, details,
    )
    yield Measure(
        key, f"{name}, memory at most", "MB", max(memory.samples), bar=Bar(4096, of="value") if bars else None,
        details={"samples": memory.summary()},
    )


@row("services", "1,000,000 tasks of services of 1 to 5,000 on 10,000 nodes, spread")
def services(bench):
    yield from measured(bench, "services", "10,000 nodes, services", "services", 10_000, 1_000_000)


@row("singles", "1,000,000 services of one task on 10,000 nodes, spread")
def singles(bench):
    yield from measured(bench, "singles", "10,000 nodes, single tasks", "singles", 10_000, 1_000_000)


@row("consolidate", "as services, consolidated")
def consolidate(bench):
    yield from measured(bench, "consolidate", "10,000 nodes, consolidated", "consolidate", 10_000, 1_000_000)


@row("profiles", "as services, each living on something, on nodes whose profile is known")
def profiles(bench):
    yield from measured(bench, "profiles", "10,000 nodes, by profile", "profiles", 10_000, 1_000_000)


@row("churn", "a task ends and another is placed, 100,000 times among 1,000,000")
def churn(bench):
    yield from measured(bench, "churn", "10,000 nodes, end and place", "churn", 10_000, 1_000_000, bars=False)


@row("growth", "services at 100, 1,000, 10,000 and 100,000 nodes")
def growth(bench):
    for nodes in (100, 1000, 10_000, 100_000):
        tasks = min(100 * nodes, 1_000_000)
        yield from measured(bench, "growth", f"{nodes:,} nodes, {tasks:,} tasks", "services", nodes, tasks, bars=False)


@row("cluster", "1,000 services of 1,000 tasks under the service planner: deployed, nodes lost, updated")
def cluster(bench):
    phases = run(program(), "cluster", 10_000, 1_000_000)
    for phase in phases:
        if not phase["all_serve"]:
            raise RuntimeError(f"not all tasks serve after {phase['scenario']}")
        yield Measure("cluster", f"{phase['scenario']}, {phase['placed']:,} placed", "s", phase["seconds"], details=phase)
    memory = max(phase["memory_peak_kb"] for phase in phases) / 1024
    yield Measure("cluster", "cluster, tasks included, memory at most", "MB", memory, bar=Bar(4096, of="value"))
