#!/usr/bin/env python3
"""Tries to make an engine lose or leak something: `soak.py kill`, `soak.py faults`, `soak.py disk`,
`soak.py machines` and `soak.py services`.

kill    Kills the daemon and the warden with SIGKILL at random moments under a load of create, start, exec, stop, remove,
        network and volume operations.
faults  Makes the n-th of a kernel call fail in the daemon or the warden while a container is created, started, stopped
        and removed, for every n that is reached.
disk    Fills the disk during imports, pulls, creates and commits.
machines  Starts and removes microVMs, pods and containers in random order, and kills QEMU, the daemon and the warden meanwhile.
services  Faults of every kind under services that clients ask: tasks, daemon, warden, HAProxy and VMs killed, tasks frozen, the
          disk full, firewall rules changed, the clock moved.

After each: everything is removed, and no process, mount, cgroup, network namespace, interface, firewall element, file or
address may be left; the store must be whole, and no output or exit code lost. Ends with 1 and a list of what was found.
Needs root. Only the standard library.
"""

import argparse
import os
import random
import subprocess
import sys

sys.dont_write_bytecode = True  # nothing is left in the checkout

import disk
import faults
import kill
import machines
import services
from engine import Engine, problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["kill", "faults", "disk", "machines", "services"])
    parser.add_argument("--programs", required=True, help="folder of skala-daemon and skala-warden")
    parser.add_argument("--rounds", type=int, default=200, help="kill: of the daemon")
    parser.add_argument("--wardens", type=int, default=20, help="kill: of the warden, too")
    parser.add_argument("--seconds", type=int, default=600, help="machines: how long")
    parser.add_argument("--minutes", type=float, default=30, help="services: how long")
    parser.add_argument("--only", default="", help="services: only these faults, separated by commas")
    parser.add_argument("--patience", type=float, default=1, help="services: how much longer everything may take")
    parser.add_argument("--vms", type=int, help="machines: at most as many microVMs at a time; services: as many tasks")
    parser.add_argument("--pods", type=int, default=12, help="machines: at most as many containers in three pods")
    parser.add_argument("--containers", type=int, default=200, help="machines: at most as many containers at a time")
    parser.add_argument("--pause", type=float, default=1, help="machines, services: seconds between two faults, on average")
    parser.add_argument("--limit", type=int, default=400, help="faults: the highest n of each call")
    parser.add_argument("--calls", default="", help="faults: only these, separated by commas")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    if os.getuid() != 0:
        raise SystemExit("needs root")
    if options.calls:
        faults.CALLS[:] = [call for call in faults.CALLS if call[1] in options.calls.split(",")]
    folder = "/tmp/skala-soak-%d" % os.getpid()
    os.makedirs(folder)
    octet = os.getpid() % 250
    data = None
    vms = options.vms if options.vms is not None else 50 if options.what == "machines" else 2
    has_machines = options.what == "machines" or options.what == "services" and vms > 0
    if options.what in ("disk", "services"):
        data = folder + "/disk/data"
        os.makedirs(folder + "/disk")
        size = "24m" if options.what == "disk" else "1g" if has_machines else "64m"
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=" + size, "soak", folder + "/disk"], check=True)
    machine_options = ["--accelerator", "tcg"] if has_machines else []
    engine = Engine(options.programs, folder, "10.%d.0.0/16" % octet if has_machines else
                    "10.251.%d.0/24" % octet, data, machine_options)
    print("seed %d" % options.seed, flush=True)
    try:
        if options.what == "kill":
            kill.rounds(engine, options.rounds, options.wardens, options.seed)
        elif options.what == "faults":
            faults.run(engine, options.limit, options.seed)
        elif options.what == "machines":
            machines.run(engine, options.seconds, {
                "microvm": vms, "pod": options.pods, "container": options.containers}, options.pause,
                options.seed)
        elif options.what == "services":
            if options.only:
                for what in set(services.FAULTS) - set(options.only.split(",")):
                    del services.FAULTS[what]
            services.run(engine, options.minutes * 60, vms, options.pause, options.patience, options.seed)
        else:
            disk.fill(engine, 30 << 20)
    finally:
        engine.close()
    if problems:
        raise SystemExit("%d problems with seed %d" % (len(problems), options.seed))


if __name__ == "__main__":
    main()
