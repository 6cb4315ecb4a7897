"""A daemon and its warden in folders of their own, what is left over of them, and the list of problems."""

import http.client
import io
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tarfile
import time

# What the integration tests use, too.
SUPPORT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../Tests/IntegrationTests/Scripts")

problems = []


def problem(text):
    problems.append(text)
    print("PROBLEM:", text, flush=True)


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


def busybox_archive():
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add("/usr/bin/busybox", "bin/busybox")
        for name in ("sh", "cat", "sleep", "echo", "true", "dd", "head", "seq", "ls", "touch"):
            link = tarfile.TarInfo("bin/" + name)
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return archive.getvalue()


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

    def __init__(self, programs, folder, subnet, data=None, options=()):
        self.options = list(options)
        self.programs, self.folder, self.subnet = programs, folder, subnet
        self.data = data or folder + "/data"
        self.run = folder + "/run"
        self.bridge = "sk%ds" % (os.getpid() % 10**9)
        self.cgroup = "skala-" + self.run.strip("/").replace("/", "-")
        self.daemon = None
        # Of the daemon, beside our own.
        self.environment = {}
        tag = 2166136261
        for byte in self.run.encode():
            tag = (tag ^ byte) * 16777619 % 2**32
        self.tag = "%04x" % (tag & 0xFFFF)
        os.makedirs(self.run, exist_ok=True)
        self.log = open(folder + "/daemon.log", "ab")

    def start(self):
        self.daemon = subprocess.Popen(
            [self.programs + "/skala-daemon", "--data-root", self.data, "--run-root", self.run, "--bridge", self.bridge,
             "--subnet", self.subnet, "--warden", self.programs + "/skala-warden", *self.options],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True,
            env=dict(os.environ, **self.environment))
        deadline = time.monotonic() + 30
        while True:
            try:
                return self.call("GET", "/_ping")
            except (OSError, http.client.HTTPException):
                if self.daemon.poll() is not None or time.monotonic() > deadline:
                    end = "".join(read(self.folder + "/daemon.log").splitlines(True)[-20:])
                    raise SystemExit("the daemon does not start (%s):\n%s" % (self.daemon.poll(), end))
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
        return self.call("POST", "/images/create?fromSrc=-&repo=busybox&tag=latest", busybox_archive())

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
        with open(self.folder + "/tag", "w") as file:
            file.write(self.tag)
        if self.data.startswith(self.folder + "/disk"):
            subprocess.run(["umount", self.folder + "/disk"], check=False)
        if problems:
            shutil.copy(self.folder + "/daemon.log", "/tmp/skala-soak-last.log")
        subprocess.run(["sh", SUPPORT + "/cleanup.sh", self.folder, self.bridge], check=False)
