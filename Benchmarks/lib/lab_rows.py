"""What is measured of the lab itself: that it finds no differences where there are none, and the same twice; and what a
neighbour in Skala's defaults costs. As `rows`, of the suite `lab`."""

import json
import os
import pathlib
import subprocess

import host
from measure import Bar, Measure

ROWS = {}
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PACKAGES = ("mmdebstrap", "dpkg-dev", "qemu-system-x86", "squashfs-tools")


def row(key, text):
    def add(function):
        ROWS[key] = (text, PACKAGES, function)
        return function

    return add


def run(bench, *arguments):
    """A run of the lab on an engine of its own: what `skala lab export --format json` tells of it."""
    engine = bench.skala()
    environment = dict(os.environ, SKALA_HOST=f"unix://{engine.socket}", SKALA_LAB=str(bench.scope.folder / "lab"))
    skala = bench.binaries / "skala"
    command = [skala, "lab", "run", "--experiments", ROOT / "experiments", "--no-profile", *arguments]
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=1800, check=False)
    if done.returncode != 0:
        raise host.Missing(f"the lab failed: {done.stderr[-1000:]}")
    exported = subprocess.run(
        [skala, "lab", "export", "--format", "json"], env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(exported.stdout)


def measures(results):
    """Each measure of each condition: its name and its figures."""
    for experiment in results["experiments"]:
        for case in experiment["cases"]:
            for condition in case["conditions"]:
                for name, figures in condition["measures"].items():
                    label = f"{case['name']} {' '.join(condition['condition'].values())} {name}"
                    yield label, figures, condition


CASES = ("--case", "cpu", "--case", "memory", "--case", "disk-random", "--case", "redis", "--case", "web")


@row("itself", "each condition against itself: no difference")
def itself(bench):
    results = run(
        bench, "baseline", "--quick", "--against-itself", "--rounds", "8", "--isolation", "container", "--isolation", "process",
        *CASES)
    compared = [(label, one["comparison"]) for label, one, _ in measures(results) if one.get("comparison")]
    called = [label for label, comparison in compared if comparison["different"]]
    yield Measure(
        "itself.differences", f"differences called in {len(compared)} comparisons of a condition with itself", "",
        len(called), bar=Bar(0, of="value"), details={"called": called})


@row("again", "the same experiment twice: medians within each other's intervals")
def again(bench):
    wanted = ("baseline", "--quick", "--rounds", "8", "--isolation", "container", "--isolation", "process", *CASES)
    first = {label: one for label, one, _ in measures(run(bench, *wanted))}
    second = {label: one for label, one, _ in measures(run(bench, *wanted))}
    apart = []
    for label, one in first.items():
        other = second[label]
        if not within(one["median"], other["interval"]) or not within(other["median"], one["interval"]):
            apart.append(label)
    yield Measure(
        "again.within", f"share of {len(first)} medians within each other's intervals", "", 1 - len(apart) / len(first),
        bar=Bar(0.9, of="value", at_most=False), details={"apart": apart})


def within(value, interval):
    return interval is not None and interval[0] <= value <= interval[1]


@row("bombs", "what an adversary in a container of Skala's defaults costs a victim with cores of its own")
def bombs(bench):
    wanted = ("interference", "--rounds", "8", "--isolation", "container", "--allocation", "dedicated")
    # What has a bar is measured for as long as the experiment says: a second of compiling scatters by 30 %.
    computing = run(bench, *wanted, "--case", "compile", "--case", "primes")
    others = run(bench, *wanted, "--quick", "--case", "memory", "--case", "disk", "--case", "network")
    for label, figures, condition in [*measures(computing), *measures(others)]:
        if condition["condition"]["neighbour"] != "adversarial":
            continue
        case, name = label.split(" ")[0], label.split(" ")[-1]
        ratio = figures["comparison"]["ratio"]
        bar = Bar(10, of="value") if case in ("compile", "primes") else None
        # A loss of throughput, or what is added to a latency.
        loss = (ratio - 1 if name in ("latency", "p50", "p99") else 1 - ratio) * 100
        yield Measure(f"bombs.{case}.{name}", f"{case}, {name}: lost", "%", loss, bar=bar, details=figures)
    # The compiler starts two programs for each file: a fork that fails ends the trial, and is a failure.
    compiled = [
        condition for experiment in computing["experiments"] for case in experiment["cases"] if case["name"] == "compile"
        for condition in case["conditions"]
    ]
    assert len(compiled) == 4 and all(one["trials"] >= 2 for one in compiled), "compilations beside neighbours are missing"
    yield Measure(
        "bombs.forks", "compilations in which a fork failed", "", sum(one["failed"] for one in compiled),
        bar=Bar(0, of="value"), details={"failures": [text for one in compiled for text in one["failures"]]})
