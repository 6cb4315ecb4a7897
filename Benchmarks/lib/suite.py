"""The command line, and the run."""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import engines
import host
import lab_rows
import lxd
import machine_rows
import planning_rows
import rows
import scope as scoping
import service_rows
import task_rows
from measure import Series, table

SUITES = {
    "engine": rows.ROWS, "lab": lab_rows.ROWS, "machines": machine_rows.ROWS, "planning": planning_rows.ROWS,
    "services": {**service_rows.ROWS, **task_rows.ROWS},
}
ROOT = pathlib.Path(__file__).resolve().parent.parent


class Bench:
    """What the rows share: the binaries, the engines (started when first wanted), the alternation."""

    WARM_UP = 3
    # Between samples: the kernel frees namespaces, groups and mounts in the background, and what one side left must not
    # be charged to the other.
    PAUSE = 0.05

    def __init__(self, options):
        self.count = options.count
        self.subnet = options.subnet
        self.interrupted = False
        self.scope = scoping.Scope(options.workspace)
        # What the row at work made; undone when it ends.
        self.local = None
        self._engines = {}
        self._shared = {}

    def prepare(self, options):
        self.file_system = None
        if options.suite == "planning":
            # No engine, no files.
            return
        self.file_system = self.scope.mount_disk()
        self.binaries = self._binaries(options.bin)

    def _binaries(self, wanted):
        """A folder with copies, so that a build meanwhile changes nothing."""
        source = wanted or os.environ.get("SKALA_BIN") or built()
        source = pathlib.Path(source)
        folder = self.scope.folder / "bin"
        folder.mkdir()
        for name in ("skala", "skala-daemon", "skala-warden"):
            if not (source / name).exists():
                raise host.Missing(f"no {name} in {source}")
            shutil.copy2(source / name, folder / name)
        for name in ("skala-init", "skala-checkpoint", "skala-balancer-driver"):
            if (source / name).exists():
                shutil.copy2(source / name, folder / name)
        (folder / "skala-runtime").symlink_to("skala-warden")
        return folder

    def skala(self):
        return self._engine("skala", lambda: engines.Skala(self.scope, self.binaries, self.subnet))

    def skala_without_spares(self):
        """A second daemon, which keeps no VMs ready: each start makes a clone."""
        first, second = self.subnet.split(".")[:2]
        subnet = f"{first}.{int(second) + 1}.0.0/16"
        return self._engine(
            "skala-cold",
            lambda: engines.Skala(
                self.scope, self.binaries, subnet, "skbench1", "skala-cold", ["--debug", "--spare-vms", "0"]
            ),
        )

    def docker(self):
        return self._engine("docker", lambda: engines.Docker(self.scope))

    def lxd(self):
        return self._engine("lxd", lambda: lxd.Lxd(self.scope))

    def _engine(self, name, make):
        if name not in self._engines:
            self._engines[name] = make()
        return self._engines[name]

    def once(self, name, make):
        """What several rows share."""
        if name not in self._shared:
            self._shared[name] = make()
        return self._shared[name]

    def progress(self, what, done, total):
        if sys.stdout.isatty():
            print(f"\r\033[K  {what}: {done}/{total}", end="", flush=True)

    def alternate(self, what, ours, theirs, scale=1):
        """A B A B …, after a warm-up; what was measured before an interruption counts when it is enough."""
        first, second = Series(), Series()
        for _ in range(self.WARM_UP):
            ours()
            theirs()
        try:
            while len(second) < self.count:
                time.sleep(self.PAUSE)
                value = ours()
                time.sleep(self.PAUSE)
                other = theirs()
                first.add(value * scale)
                second.add(other * scale)
                self.progress(what, len(second), self.count)
        except KeyboardInterrupt:
            self.interrupted = True
            if len(second) < 5:
                raise
        return first, second


def built():
    """The folder of a release build of this checkout."""
    print("building a release", flush=True)
    scripts = ROOT.parent / "scripts"
    subprocess.run([scripts / "install-dependencies.sh"], check=True)
    done = subprocess.run([scripts / "build-release.sh", "--benchmarks"], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise host.Missing("the build failed")
    return done.stdout.strip().splitlines()[-1]


def arguments(given):
    parser = argparse.ArgumentParser(
        prog="Benchmarks/run",
        description="Measures Skala beside its peers, in alternation, on this machine.",
        epilog="Examples:\n  Benchmarks/run engine --bin /usr/libexec/skala\n  Benchmarks/run engine --only runtime,run"
        "\n\nNeeds root. Exit code 1 when a bar is missed or a row could not be measured.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("suite", choices=sorted(SUITES), help="what to measure")
    parser.add_argument("--bin", metavar="FOLDER", help="where the Skala binaries are (default: SKALA_BIN, or a build)")
    parser.add_argument("--only", metavar="NAMES", help="only these rows, separated by commas")
    parser.add_argument("--count", type=int, default=30, help="samples of each side (default 30)")
    parser.add_argument("--list", action="store_true", help="list the rows and exit")
    parser.add_argument("--subnet", default="172.26.0.0/16", help="addresses of the benchmark's bridge")
    parser.add_argument("--workspace", metavar="FOLDER", default="/var/tmp", help="where files are made, on a disk")
    parser.add_argument("--output", metavar="FILE", help="the result (default Benchmarks/results/SUITE.json)")
    return parser.parse_args(given)


def main(given):
    options = arguments(given)
    known = SUITES[options.suite]
    if options.list:
        for key, (text, _, _) in known.items():
            print(f"  {key:10} {text}")
        return 0
    wanted = options.only.split(",") if options.only else list(known)
    unknown = [key for key in wanted if key not in known]
    if unknown or options.count < 1:
        print(f"unknown row {', '.join(unknown)}; see --list" if unknown else "--count must be positive")
        return 2
    if os.geteuid() != 0:
        print("containers need root")
        return 2
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    bench = Bench(options)
    try:
        host.install({package for key in wanted for package in known[key][1]})
        bench.prepare(options)
    except host.Missing as error:
        print(error)
        bench.scope.close()
        return 2
    except BaseException:
        bench.scope.close()
        raise
    return measure(bench, wanted, options)


def measure(bench, wanted, options):
    measures, failures = [], {}
    started = time.monotonic()
    facts = dict(host.facts(ROOT.parent), file_system=bench.file_system)
    before = host.noise()
    if before["busy"] > 0.1:
        print(f"the machine is busy ({before['busy']:.0%} of the processors): figures will be off", flush=True)
    try:
        for key in wanted:
            text, _, function = SUITES[options.suite][key]
            print(f"{key}: {text}", flush=True)
            bench.local = scoping.Scope(bench.scope.folder)
            try:
                for one in function(bench):
                    measures.append(one)
                    print(("\r\033[K" if sys.stdout.isatty() else "") + table([one]).splitlines()[-1], flush=True)
                    if bench.interrupted:
                        raise KeyboardInterrupt
            except KeyboardInterrupt:
                raise
            except Exception as error:  # noqa: BLE001 the other rows can still be measured
                failures[key] = f"{type(error).__name__}: {error}"
                print(f"  not measured: {failures[key]}", flush=True)
            bench.local.close()
    except KeyboardInterrupt:
        bench.interrupted = True
        print("\ninterrupted: keeping what was measured", flush=True)
    finally:
        # A second Ctrl-C must not leave mounts and processes behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        after = host.noise() if not bench.interrupted else None
        clean_up(bench)
    document = {
        "facts": dict(facts, noise={"before": before, "after": after}, seconds=round(time.monotonic() - started)),
        "interrupted": bench.interrupted,
        "not_measured": failures,
        "measures": [one.json() for one in measures],
    }
    if measures:
        output = pathlib.Path(options.output or ROOT / "results" / f"{options.suite}.json")
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        print(f"\n{table(measures)}\n\n{facts['cpu']}, {facts['cores']} cores, Linux {facts['kernel']}, {output}")
    missed = [one for one in measures if one.ok is False]
    return 130 if bench.interrupted else 1 if missed or failures else 0


def clean_up(bench):
    if bench.local:
        bench.local.close()
    for engine in bench._engines.values():
        if not hasattr(engine, "api"):
            continue
        try:
            engine.api.close()
            engine.api.remove_all()
        except Exception as error:  # noqa: BLE001 ending the engine comes next in any case
            print(f"  could not remove all containers: {error}", flush=True)
    bench.scope.close()
