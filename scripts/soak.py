#!/usr/bin/env python3
"""Tries to make an engine lose or leak something: `soak.py kill`, `soak.py faults` and `soak.py disk`.

kill    Kills the daemon and the warden with SIGKILL at random moments under a load of create, start, exec, stop, remove,
        network and volume operations.
faults  Makes the n-th of a kernel call fail in the daemon or the warden while a container is created, started, stopped
        and removed, for every n that is reached.
disk    Fills the disk during image loads, creates and commits.

After each: everything is removed, and no process, mount, cgroup, network namespace, interface, firewall element, file or
address may be left; the store must be whole, and no output or exit code lost. Ends with 1 and a list of what was found.
Needs root. Only the standard library.
"""

import argparse
import http.client
import io
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tarfile
import threading
import time

problems = []


def problem(text):
    problems.append(text)
    print("PROBLEM:", text, flush=True)


class Connection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("skala", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Engine:
    """A daemon and its warden in folders of their own."""

    def __init__(self, programs, folder, subnet, data=None):
        self.programs, self.folder, self.subnet = programs, folder, subnet
        self.data = data or folder + "/data"
        self.run = folder + "/run"
        self.bridge = "sk%ds" % (os.getpid() % 10**9)
        self.cgroup = "skala-" + self.run.strip("/").replace("/", "-")
        self.daemon = None
        tag = 2166136261
        for byte in self.run.encode():
            tag = (tag ^ byte) * 16777619 % 2**32
        self.tag = "%04x" % (tag & 0xFFFF)
        os.makedirs(self.run, exist_ok=True)
        self.log = open(folder + "/daemon.log", "ab")

    def start(self):
        self.daemon = subprocess.Popen(
            [self.programs + "/skala-daemon", "--data-root", self.data, "--run-root", self.run, "--bridge", self.bridge,
             "--subnet", self.subnet, "--warden", self.programs + "/skala-warden"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True)
        deadline = time.monotonic() + 30
        while True:
            try:
                return self.call("GET", "/_ping")
            except (OSError, http.client.HTTPException):
                if self.daemon.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("the daemon does not start; see %s/daemon.log" % self.folder)
                time.sleep(0.01)

    def kill(self, number=signal.SIGKILL):
        if self.daemon:
            self.daemon.send_signal(number)
            self.daemon.wait(30)

    def call(self, method, path, body=None, timeout=60):
        """Status and parsed answer. OSError or HTTPException when the daemon is gone."""
        connection = Connection(self.run + "/skala.sock", timeout)
        try:
            headers = {}
            if isinstance(body, dict):
                body, headers = json.dumps(body), {"Content-Type": "application/json"}
            try:
                connection.request(method, "/v1.50" + path, body=body, headers=headers)
            except BrokenPipeError:
                pass  # refused before all of the body was sent: the answer is there
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(data) if data else None
        except ValueError:
            return answer.status, data

    def warden(self):
        for name in os.listdir("/proc"):
            if name.isdigit():
                line = read("/proc/%s/cmdline" % name).split("\0")
                if line[0].endswith("/skala-warden") and self.run + "/warden.sock" in line:
                    return int(name)
        return None

    def import_busybox(self):
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.add("/usr/bin/busybox", "bin/busybox")
            for name in ("sh", "cat", "sleep", "echo", "true", "dd", "head", "seq", "ls", "touch"):
                link = tarfile.TarInfo("bin/" + name)
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        return self.call("POST", "/images/create?fromSrc=-&repo=busybox&tag=latest", archive.getvalue())

    def logs(self, name):
        """Standard output of a container."""
        status, data = self.call("GET", "/containers/%s/logs?stdout=1" % name)
        data = data if isinstance(data, bytes) else b"" if data is None else json.dumps(data).encode()
        text = b""
        while len(data) >= 8:
            size = int.from_bytes(data[4:8], "big")
            text, data = text + data[8:8 + size], data[8 + size:]
        return text.decode()

    # What is there.

    def cgroup_folders(self):
        found = []
        for line in read("/proc/mounts").splitlines():
            fields = line.split()
            if fields[2] in ("cgroup", "cgroup2"):
                root = fields[1] + "/" + self.cgroup
                if os.path.isdir(root):
                    found += [root + "/" + name for name in os.listdir(root) if os.path.isdir(root + "/" + name)]
        return found

    def leaks(self):
        """Whatever of containers is there, though there should be none."""
        found = []
        found += ["cgroup " + name for name in self.cgroup_folders()]
        for line in read("/proc/self/mountinfo").splitlines():
            point = line.split()[4]
            if point.startswith(self.folder + "/") and point not in (self.folder + "/disk",):
                found.append("mount " + point)
        for name in names(self.run + "/netns"):
            found.append("network namespace " + name)
        links = subprocess.run(["ip", "-j", "link"], stdout=subprocess.PIPE, check=True).stdout
        for link in json.loads(links):
            if link["ifname"].startswith("sk" + self.tag):
                found.append("interface " + link["ifname"])
        rules = subprocess.run(["nft", "list", "table", "ip", "skala_" + self.tag], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True).stdout
        found += ["firewall " + line.strip() for line in rules.splitlines() if "elements" in line]
        found += ["container folder " + name for name in names(self.data + "/containers")]
        found += ["volume folder " + name for name in names(self.data + "/volumes")]
        warden = self.warden()
        if warden:
            children = read("/proc/%d/task/%d/children" % (warden, warden)).split()
            found += ["process %s: %s" % (pid, read("/proc/%s/cmdline" % pid).replace("\0", " ")) for pid in children]
        return found

    def expect_no_leaks(self, when):
        """Some things go in the background: they have 10 seconds."""
        deadline = time.monotonic() + 10
        while True:
            found = self.leaks()
            if not found or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        for leak in found:
            problem("%s: left over: %s" % (when, leak))
        return not found

    def remove_all(self):
        for container in self.call("GET", "/containers/json?all=1")[1]:
            status, answer = self.call("GET", "/containers/%s/json" % container["Id"])
            if status != 200:
                problem("a listed container cannot be inspected: %s" % answer)
            status, answer = self.call("DELETE", "/containers/%s?force=1&v=1" % container["Id"])
            if status not in (204, 404):
                problem("a container cannot be removed: %s" % answer)
        for network in self.call("GET", "/networks")[1]:
            if network["Name"] not in ("bridge", "host", "none"):
                status, answer = self.call("DELETE", "/networks/" + network["Id"])
                if status != 204:
                    problem("a network cannot be removed: %s" % answer)
        for volume in self.call("GET", "/volumes")[1]["Volumes"] or []:
            status, answer = self.call("DELETE", "/volumes/" + volume["Name"])
            if status != 204:
                problem("a volume cannot be removed: %s" % answer)

    def expect_whole_store(self):
        # A copy: reading wants room beside the file, and the disk may be full.
        copy = self.folder + "/store"
        os.makedirs(copy, exist_ok=True)
        for name in names(self.data):
            if name.startswith("skala.db"):
                shutil.copy(self.data + "/" + name, copy)
        store = sqlite3.connect(copy + "/skala.db")
        result = store.execute("pragma integrity_check").fetchall()
        store.close()
        if result != [("ok",)]:
            problem("the store is damaged: %s" % result)

    def close(self):
        """Ends everything, and checks that the host is as before."""
        self.kill(signal.SIGTERM)
        self.expect_whole_store()
        warden = self.warden()
        if warden:
            os.kill(warden, signal.SIGTERM)
            for _ in range(100):
                if not os.path.exists("/proc/%d" % warden):
                    break
                time.sleep(0.05)
            else:
                problem("the warden does not end")
        support = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Tests/IntegrationTests/Scripts")
        with open(self.folder + "/tag", "w") as file:
            file.write(self.tag)
        if self.data.startswith(self.folder + "/disk"):
            subprocess.run(["umount", self.folder + "/disk"], check=False)
        if problems:
            shutil.copy(self.folder + "/daemon.log", "/tmp/skala-soak-last.log")
        subprocess.run(["sh", support + "/cleanup.sh", self.folder, self.bridge], check=False)


def read(path):
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def names(folder):
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


# kill


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


def kill_rounds(engine, rounds, wardens, seed):
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
    at = set(rng.sample(range(rounds), min(wardens, rounds)))
    for number in range(rounds):
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
    engine.expect_no_leaks("after %d kills" % rounds)
    print("%d kills of the daemon, %d of the warden, %d operations" % (
        rounds, len(load.warden_kills), load.operations), flush=True)


# faults

# The calls that making, starting, ending and removing a container rests on, and how each may fail.
CALLS = [
    ("warden", "clone3", "EAGAIN"), ("warden", "mount", "ENOMEM"), ("warden", "mkdir", "ENOSPC"),
    ("warden", "openat", "EMFILE"), ("warden", "write", "ENOSPC"), ("warden", "pipe2", "EMFILE"),
    ("warden", "openat2", "ENOMEM"), ("warden", "rmdir", "EBUSY"), ("warden", "pidfd_open", "EMFILE"),
    ("warden", "epoll_ctl", "ENOMEM"), ("warden", "setns", "ENOMEM"),
    ("daemon", "mkdir", "ENOSPC"), ("daemon", "openat", "EMFILE"), ("daemon", "unlink", "EIO"),
    ("daemon", "sendto", "ENOBUFS"), ("daemon", "mount", "ENOMEM"), ("daemon", "unshare", "ENOMEM"),
    ("daemon", "pwrite64", "ENOSPC"), ("daemon", "fdatasync", "EIO"), ("daemon", "rmdir", "EBUSY"),
    ("daemon", "openat2", "ENOMEM"), ("daemon", "rename", "EIO"), ("daemon", "sendmsg", "ENOBUFS"),
]


def life(engine, name):
    """One container from create to remove; the statuses."""
    statuses = []

    def step(method, path, body=None):
        try:
            status, answer = engine.call(method, path, body, timeout=30)
        except (http.client.HTTPException, OSError) as error:
            status, answer = 0, {"message": "no answer: %r" % error}
        statuses.append(status)
        if status >= 400 or status == 0:
            message = (answer or {}).get("message", "") if isinstance(answer, dict) else ""
            if not message:
                problem("%s %s: status %s without a reason" % (method, path, status))
        return status

    step("POST", "/containers/create?name=" + name, {
        "Image": "busybox", "Cmd": ["sleep", "1000"],
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": ""}]}, "Binds": [name + ":/v"]}})
    step("POST", "/containers/%s/start" % name)
    step("POST", "/containers/%s/stop?t=0" % name)
    step("DELETE", "/containers/%s?force=1" % name)
    step("DELETE", "/volumes/" + name)
    return statuses


def faults(engine, limit, seed):
    engine.start()
    engine.import_busybox()
    life(engine, "warmup")
    calls = CALLS[:]
    random.Random(seed).shuffle(calls)
    total = 0
    for process, call, error in calls:
        for number in range(1, limit + 1):
            pid = engine.daemon.pid if process == "daemon" else engine.warden()
            trace = engine.folder + "/trace"
            tracer = subprocess.Popen(
                ["strace", "-f", "-qq", "-o", trace, "-e", "trace=" + call, "-e",
                 "inject=%s:error=%s:when=%d" % (call, error, number), "-p", str(pid)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            deadline = time.monotonic() + 10
            while "TracerPid:\t%d" % tracer.pid not in read("/proc/%d/status" % pid):
                if time.monotonic() > deadline or tracer.poll() is not None:
                    break
                time.sleep(0.01)
            when = "%s: %s number %d fails with %s" % (process, call, number, error)
            life(engine, "f%d" % total)
            total += 1
            tracer.send_signal(signal.SIGINT)
            try:
                tracer.wait(10)
            except subprocess.TimeoutExpired:
                tracer.kill()
                tracer.wait()
            hit = "(INJECTED)" in read(trace)
            if engine.daemon.poll() is not None:
                problem(when + ": the daemon ended")
                engine.start()
            engine.remove_all()
            if not engine.expect_no_leaks(when):
                # What is left must not be counted again.
                engine.kill(signal.SIGTERM)
                engine.start()
                engine.expect_no_leaks(when + ", and a restart of the daemon")
            if not hit:
                break
    print("%d lives with a failing call" % total, flush=True)


# disk


def disk(engine, size):
    engine.start()
    engine.import_busybox()

    def filler():
        """Fills the disk but for a little."""
        descriptor = os.open(engine.data + "/filler", os.O_WRONLY | os.O_CREAT)
        try:
            while True:
                os.write(descriptor, b"x" * 4096)
        except OSError:
            os.close(descriptor)

    def free():
        os.unlink(engine.data + "/filler")

    def refused(what, status, answer, wanted=("space", "full")):
        text = answer.decode(errors="replace") if isinstance(answer, bytes) else json.dumps(answer)
        failed = status >= 400 or "error" in text.lower()
        if not failed:
            problem("%s on a full disk succeeds: %s %s" % (what, status, text[:200]))
        elif not any(word in text.lower() for word in wanted):
            problem("%s on a full disk has no clear error: %s" % (what, text[:300]))

    def files():
        return sorted(os.path.join(root, name) for root, _, found in os.walk(engine.data) for name in found
                      if "skala.db" not in name)

    before = files()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("big")
        entry.size = size
        tar.addfile(entry, io.BytesIO(os.urandom(size)))
    status, answer = engine.call("POST", "/images/create?fromSrc=-&repo=big&tag=latest", archive.getvalue())
    refused("import", status, answer)
    if files() != before:
        problem("an import on a full disk leaves files: %s" % (set(files()) - set(before)))
    room = os.statvfs(engine.data)
    if room.f_bavail * room.f_frsize < size // 3:
        problem("an import on a full disk keeps its space: %d bytes are free" % (room.f_bavail * room.f_frsize))
        for fd in names("/proc/%d/fd" % engine.daemon.pid):
            target = os.readlink("/proc/%d/fd/%s" % (engine.daemon.pid, fd))
            if "deleted" in target:
                problem("open: " + target)
    # A container that has written, and is committed when there is no room for its layer.
    engine.call("POST", "/containers/create?name=writer", {
        "Image": "busybox", "Cmd": ["dd", "if=/dev/urandom", "of=/file", "bs=1024", "count=%d" % (size // 8192)]})
    engine.call("POST", "/containers/writer/start")
    engine.call("POST", "/containers/writer/wait")
    before = files()
    filler()
    status, answer = engine.call("POST", "/commit?container=writer&repo=layer", {})
    refused("commit", status, answer)
    status, answer = engine.call("POST", "/containers/create?name=full", {"Image": "busybox", "Cmd": ["true"]})
    if status == 201:  # some kilobytes may do
        engine.call("DELETE", "/containers/full")
    else:
        refused("create", status, answer)
    if engine.call("GET", "/containers/json?all=1")[0] != 200:
        problem("the daemon does not answer with a full disk")
    engine.kill()
    free()
    engine.start()
    if files() != before:
        problem("a commit on a full disk leaves files: %s" % (set(files()) ^ set(before)))
    engine.remove_all()
    engine.expect_no_leaks("after a full disk")
    status, answer = engine.call("POST", "/containers/create?name=after", {"Image": "busybox", "Cmd": ["true"]})
    if status != 201 or engine.call("POST", "/containers/after/start")[0] != 204:
        problem("with room again, a container cannot be made: %s" % answer)
    engine.remove_all()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["kill", "faults", "disk"])
    parser.add_argument("--programs", required=True, help="folder of skala-daemon and skala-warden")
    parser.add_argument("--rounds", type=int, default=200, help="kill: of the daemon")
    parser.add_argument("--wardens", type=int, default=20, help="kill: of the warden, too")
    parser.add_argument("--limit", type=int, default=400, help="faults: the highest n of each call")
    parser.add_argument("--calls", default="", help="faults: only these, separated by commas")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    if os.getuid() != 0:
        raise SystemExit("needs root")
    if options.calls:
        CALLS[:] = [call for call in CALLS if call[1] in options.calls.split(",")]
    folder = "/tmp/skala-soak-%d" % os.getpid()
    os.makedirs(folder)
    octet = os.getpid() % 250
    data = None
    if options.what == "disk":
        data = folder + "/disk/data"
        os.makedirs(folder + "/disk")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "soak", folder + "/disk"], check=True)
    engine = Engine(options.programs, folder, "10.251.%d.0/24" % octet, data)
    print("seed %d" % options.seed, flush=True)
    try:
        if options.what == "kill":
            kill_rounds(engine, options.rounds, options.wardens, options.seed)
        elif options.what == "faults":
            faults(engine, options.limit, options.seed)
        else:
            disk(engine, 30 << 20)
    finally:
        engine.close()
    if problems:
        raise SystemExit("%d problems with seed %d" % (len(problems), options.seed))


if __name__ == "__main__":
    main()
