"""Kills the daemon and the warden at random moments under load."""

import http.client
import os
import random
import signal
import threading
import time

from engine import problem, problems


class Load:
    """Random operations from several threads, which remember what must have become of them."""

    def __init__(self, engine, seed):
        self.engine, self.seed = engine, seed
        self.stopping = False
        self.lock = threading.Lock()
        self.expected = {}  # name of an acknowledged container → exit code it must end with
        self.operations = 0
        self.warden_kills = []

    def run(self, index):
        rng = random.Random("%s/%d" % (self.seed, index))
        count = 0
        while not self.stopping:
            count += 1
            try:
                self.step(rng, "w%dn%d" % (index, count))
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)  # the daemon has just been killed

    def create(self, name, script, **host):
        return self.engine.call("POST", "/containers/create?name=" + name, {
            "Image": "busybox", "Cmd": ["sh", "-c", script], "HostConfig": host})[0]

    def step(self, rng, name):
        call = self.engine.call
        kind = rng.choice(["short", "short", "short", "long", "auto", "network", "volume", "exec"])
        with self.lock:
            self.operations += 1
        if kind == "short":
            code = rng.randrange(1, 100)
            if self.create(name, "echo %s; sleep %.2f; seq 200; exit %d" % (name, rng.random() / 3, code)) != 201:
                return
            if call("POST", "/containers/%s/start" % name)[0] != 204:
                return
            with self.lock:
                self.expected[name] = (code, time.monotonic())
            if rng.random() < 0.3:
                call("POST", "/containers/%s/wait" % name)
        elif kind == "long":
            self.create(name, "sleep 1000", PortBindings={"80/tcp": [{"HostPort": ""}]})
            call("POST", "/containers/%s/start" % name)
            if rng.random() < 0.5:
                call("POST", "/containers/%s/pause" % name)
            call("POST", "/containers/%s/%s" % (name, rng.choice(["stop?t=0", "kill", "restart?t=0"])))
            call("DELETE", "/containers/%s?force=1" % name)
        elif kind == "auto":
            self.create(name, "sleep 0.1", AutoRemove=True, Binds=["/anonymous"] if rng.random() < 0.5 else [])
            call("POST", "/containers/%s/start" % name)
        elif kind == "network":
            if call("POST", "/networks/create", {"Name": name})[0] != 201:
                return
            self.create(name, "sleep 1000", NetworkMode=name)
            call("POST", "/containers/%s/start" % name)
            call("POST", "/networks/small/connect", {"Container": name})
            call("DELETE", "/containers/%s?force=1" % name)
            call("DELETE", "/networks/" + name)
        elif kind == "volume":
            call("POST", "/volumes/create", {"Name": name})
            self.create(name, "echo x >/v/f", Binds=[name + ":/v"])
            call("POST", "/containers/%s/start" % name)
            call("POST", "/containers/%s/wait" % name)
            call("DELETE", "/containers/%s?force=1" % name)
            call("DELETE", "/volumes/" + name)
        elif kind == "exec":
            status, answer = call("POST", "/containers/counter/exec", {
                "Cmd": ["sh", "-c", "exit 3"], "AttachStdout": True})
            if status == 201:
                call("POST", "/exec/%s/start" % answer["Id"], {"Detach": True})


def check_expected(engine, load):
    """Every container whose start was acknowledged has its exit code and output, or says that its warden was killed."""
    for name, (code, started) in sorted(load.expected.items()):
        deadline = time.monotonic() + 20
        while True:
            status, document = engine.call("GET", "/containers/%s/json" % name)
            if status != 200:
                problem("container %s, whose start was acknowledged, is lost: %s" % (name, document))
                break
            state = document["State"]
            if state["Running"] and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            output = engine.logs(name).split()
            if state["Running"]:
                problem("container %s does not end" % name)
            elif state["ExitCode"] == code:
                wanted = [name] + [str(number) for number in range(1, 201)]
                if output != wanted:
                    problem("output of %s is lost: %d of %d lines" % (name, len(output), len(wanted)))
            elif state["ExitCode"] == 137 and any(kill >= started - 1 for kill in load.warden_kills):
                if "warden" not in state["Error"]:
                    problem("container %s ended with the warden and does not say so: %r" % (name, state["Error"]))
            else:
                problem("container %s ended with %s, not %d: %r" % (name, state["ExitCode"], code, state["Error"]))
            break
    load.expected.clear()


def counter_numbers(engine):
    return [int(line) for line in engine.logs("counter").split()]


def rounds(engine, kills, wardens, seed):
    rng = random.Random(seed)
    engine.start()
    engine.import_busybox()
    engine.call("POST", "/networks/create", {
        "Name": "small", "IPAM": {"Config": [{"Subnet": "10.250.%d.0/28" % (os.getpid() % 250)}]}})
    engine.call("POST", "/containers/create?name=counter", {
        "Image": "busybox", "Cmd": ["sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; done"],
        "HostConfig": {"RestartPolicy": {"Name": "always"}}})
    engine.call("POST", "/containers/counter/start")
    load = Load(engine, seed)
    threads = [threading.Thread(target=load.run, args=(index,), daemon=True) for index in range(4)]
    for thread in threads:
        thread.start()
    at = set(rng.sample(range(kills), min(wardens, kills)))
    for number in range(kills):
        time.sleep(rng.choice([rng.random() * 0.1, rng.random() * 1.2]))
        before = engine.call("GET", "/containers/counter/json")[1]["State"]
        if number in at:
            warden = engine.warden()
            if warden:
                load.warden_kills.append(time.monotonic())
                os.kill(warden, signal.SIGKILL)
            if rng.random() < 0.5:
                time.sleep(rng.random() * 0.3)
        engine.kill()
        if rng.random() < 0.3:
            time.sleep(rng.random() * 0.5)  # some end while no daemon is there
        engine.start()
        after = engine.call("GET", "/containers/counter/json")[1]["State"]
        recent = load.warden_kills and load.warden_kills[-1] > time.monotonic() - 5
        if before["Running"] and not recent and after["Pid"] != before["Pid"]:
            problem("round %d: the counter did not run on: %s, then %s" % (number, before, after))
        if number % 20 == 19:
            with load.lock:
                print("round %d: %d operations, %d problems" % (number + 1, load.operations, len(problems)), flush=True)
    load.stopping = True
    for thread in threads:
        thread.join(60)
        if thread.is_alive():
            problem("an operation hangs")
    numbers = counter_numbers(engine)
    breaks = sum(1 for left, right in zip(numbers, numbers[1:]) if right != left + 1)
    # A start that a kill of the daemon undoes after a kill of the warden makes a second one.
    if breaks > 2 * len(load.warden_kills):
        problem("the counter's output has %d gaps after %d kills of the warden" % (breaks, len(load.warden_kills)))
    check_expected(engine, load)
    # All addresses of the small network are free: 16 without network, broadcast and gateway.
    for container in engine.call("GET", "/containers/json?all=1")[1]:
        engine.call("DELETE", "/containers/%s?force=1&v=1" % container["Id"])
    for index in range(13):
        load.create("address%d" % index, "sleep 1000", NetworkMode="small")
        status, answer = engine.call("POST", "/containers/address%d/start" % index)
        if status != 204:
            problem("address %d of 13 is leaked: %s" % (index + 1, answer))
    engine.remove_all()
    engine.expect_no_leaks("after %d kills" % kills)
    print("%d kills of the daemon, %d of the warden, %d operations" % (
        kills, len(load.warden_kills), load.operations), flush=True)
