"""Starts and removes VMs, containers in pods, and containers in random order, while QEMU, the daemon and the warden are killed."""

import http.client
import os
import random
import signal
import threading
import time

from engine import names, problem, problems, read


class Population:
    """What the threads keep alive: names of containers, by isolation, and what must be true of them."""

    def __init__(self, engine, seed, wanted):
        self.engine, self.seed, self.wanted = engine, seed, wanted
        self.lock = threading.Lock()
        self.alive = {kind: set() for kind in wanted}
        self.busy = set()
        self.counts = {"start": 0, "start refused": 0, "remove": 0, "again": 0, "exec": 0}
        self.reasons = set()
        self.stopping = False

    def run(self, index):
        rng = random.Random("%s/%d" % (self.seed, index))
        count = 0
        while not self.stopping:
            count += 1
            try:
                self.step(rng, "m%dn%d" % (index, count))
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)  # the daemon has just been killed

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def step(self, rng, name):
        kind = rng.choice(list(self.wanted))
        if len(self.alive[kind]) < self.wanted[kind] and rng.random() < 0.7:
            self.start(rng, kind, name)
            return
        with self.lock:
            idle = sorted(self.alive[kind] - self.busy)
            if not idle:
                return
            name = rng.choice(idle)
            self.busy.add(name)
        try:
            what = rng.choice(["remove", "again", "exec"])
            if what == "remove":
                # A removal that was not acknowledged is tried again by the next who picks it.
                if self.engine.call("DELETE", "/containers/%s?force=1&v=1" % name)[0] in (204, 404):
                    with self.lock:
                        self.alive[kind].discard(name)
                    self.count("remove")
            elif what == "again":
                self.again(name)
            elif what == "exec":
                status, answer = self.engine.call("POST", "/containers/%s/exec" % name, {"Cmd": ["true"]})
                if status == 201:
                    self.engine.call("POST", "/exec/%s/start" % answer["Id"], {"Detach": True})
                    self.count("exec")
        finally:
            with self.lock:
                self.busy.discard(name)

    def start(self, rng, kind, name):
        host = {"Runtime": kind}
        if kind == "pod":
            host["Annotations"] = {"skala.pod": "pod%d" % rng.randrange(3)}
        if rng.random() < 0.3:
            host["PortBindings"] = {"80/tcp": [{"HostPort": ""}]}
        if rng.random() < 0.2:
            host["Binds"] = [name + ":/v"]
        if self.engine.call("POST", "/containers/create?name=" + name, {
                "Image": "busybox", "HostConfig": host,
                # What it wrote is on the disk when it says so.
                "Cmd": ["sh", "-c", "cat /f; echo %s >/f; sync; echo written; sleep 100000" % name]})[0] != 201:
            return
        with self.lock:
            self.alive[kind].add(name)
            self.busy.add(name)
        try:
            status, answer = self.engine.call("POST", "/containers/%s/start" % name)
            self.count("start" if status == 204 else "start refused")
            if status != 204:
                reason = (answer or {}).get("message", "")
                with self.lock:
                    self.reasons.add(reason.split(" (console")[0])
                if not reason:
                    problem("start of %s: status %s without a reason" % (name, status))
        finally:
            with self.lock:
                self.busy.discard(name)

    def again(self, name):
        """A stop, or an end by a kill, and a start: what was written is there."""
        written = "written" in self.engine.logs(name)
        if self.engine.call("POST", "/containers/%s/restart?t=0" % name)[0] != 204:
            return
        self.count("again")
        if not written:
            return
        deadline = time.monotonic() + 20
        while name not in self.engine.logs(name).split():
            if time.monotonic() > deadline or self.stopping:
                state = self.engine.call("GET", "/containers/%s/json" % name)[1]["State"]
                if state["Running"] and not self.stopping:
                    problem("%s does not find what it wrote before its restart" % name)
                return
            time.sleep(0.1)


def virtual_machines(engine):
    """The processes of VMs under this engine's warden."""
    warden = engine.warden()
    if not warden:
        return []
    children = read("/proc/%d/task/%d/children" % (warden, warden)).split()
    return [int(pid) for pid in children if "qemu" in read("/proc/%s/cmdline" % pid) + read("/proc/%s/comm" % pid)]


def disturb(engine, rng, kills, tick):
    """One kill; daemons more rarely than VMs, wardens most rarely."""
    if tick % 40 == 39:
        warden = engine.warden()
        if warden:
            os.kill(warden, signal.SIGKILL)
            kills["warden"] += 1
    if tick % 10 == 9:
        engine.kill()
        kills["daemon"] += 1
        time.sleep(rng.choice([0, rng.random()]))
        engine.start()
    else:
        machines = virtual_machines(engine)
        if machines:
            try:
                os.kill(rng.choice(machines), signal.SIGKILL)
                kills["VM"] += 1
            except ProcessLookupError:
                pass


def run(engine, seconds, wanted, pause, seed):
    rng = random.Random(seed)
    engine.start()
    engine.import_busybox()
    # Makes the template: without it every start waits for that.
    engine.call("POST", "/containers/create?name=first", {
        "Image": "busybox", "Cmd": ["true"], "HostConfig": {"Runtime": "microvm"}})
    status, answer = engine.call("POST", "/containers/first/start", timeout=300)
    if status != 204:
        raise SystemExit("no VM can be started: %s" % answer)
    population = Population(engine, seed, wanted)
    threads = [threading.Thread(target=population.run, args=(index,), daemon=True) for index in range(6)]
    for thread in threads:
        thread.start()
    kills = {"VM": 0, "daemon": 0, "warden": 0}
    taps, tick, most = set(), 0, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(rng.random() * 2 * pause)
        taps |= {"skv" + name for name in names(engine.run + "/vm") if name != "root"}
        disturb(engine, rng, kills, tick)
        most = max(most, len(virtual_machines(engine)))
        tick += 1
        if tick % 30 == 0:
            print("%d s left: %s, %s, %d problems" % (
                end - time.monotonic(), population.counts, kills, len(problems)), flush=True)
    population.stopping = True
    for thread in threads:
        thread.join(120)
        if thread.is_alive():
            problem("an operation hangs")
    engine.remove_all()
    # Spare VMs end with the daemon.
    engine.kill(signal.SIGTERM)
    taps |= {"skv" + name for name in names(engine.run + "/vm") if name != "root"}
    engine.expect_no_leaks("after %d kills" % sum(kills.values()))
    for name in names(engine.run + "/vm") + names(engine.data + "/machines/running"):
        if name != "root":
            problem("left over of a VM: " + name)
    for name in names(engine.data + "/pods"):
        problem("left over: pod " + name)
    for name in names("/sys/class/net"):
        if name in taps:
            problem("left over: interface " + name)
    for reason in sorted(population.reasons):
        print("start refused:", reason)
    print("at most %d VMs at a time; %s; killed: %s" % (most, population.counts, kills), flush=True)
