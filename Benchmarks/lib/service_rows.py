"""Services: what the balancers cost, and how fast they change. Nothing of it needs the daemon."""

import json
import os
import subprocess

import clusters
import host
from measure import Bar, Measure, Series

ROWS = {}
MEMBERS = 4
# Seconds of each load; a pair of them is a sample.
SECONDS = 2
CONNECTIONS = 64
SUBNET = "10.234.240.0/24"
PACKAGES = ("haproxy", "nginx-light", "iproute2", "util-linux")


def row(key, text):
    def add(function):
        ROWS[key] = (text, PACKAGES, function)
        return function

    return add


class World:
    """A host in a network namespace of its own, with nginx members on a bridge and a client beside it."""

    def __init__(self, bench):
        self.bench = bench
        self.scope = bench.local
        self.name = f"skbl{os.getpid() % 100000}"
        driver = bench.binaries / "skala-balancer-driver"
        if not driver.exists():
            raise host.Missing("no skala-balancer-driver beside the other programs")
        for name in (self.name, self.name + "c"):
            self.run("ip", "netns", "add", name)
            self.scope.defer("remove a namespace", lambda name=name: self.run("ip", "netns", "delete", name))
            self.run("ip", "-n", name, "link", "set", "lo", "up")
        self.run("ip", "link", "add", "out0", "netns", self.name, "type", "veth", "peer", "name", "eth0", "netns",
                 self.name + "c")
        for name, device, address in ((self.name, "out0", "192.0.2.1/24"), (self.name + "c", "eth0", "192.0.2.2/24")):
            self.run("ip", "-n", name, "address", "add", address, "dev", device)
            self.run("ip", "-n", name, "link", "set", device, "up")
        run = self.scope.folder / "driver"
        run.mkdir()
        self.driver = subprocess.Popen(
            [*self.inside, driver, run, "skbl0", SUBNET], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.scope.defer("end the driver", self._end)
        self.members = [f"m{number}" for number in range(MEMBERS)]
        self.addresses = []
        for member in self.members:
            place = self.do("member", id=member)
            self.addresses.append(place["ipv4"])
            self.nginx(member, place["namespace"])

    @property
    def inside(self):
        return ["nsenter", f"--net=/run/netns/{self.name}"]

    def run(self, *command):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def do(self, what, **fields):
        self.driver.stdin.write(json.dumps({"do": what, **fields}) + "\n")
        self.driver.stdin.flush()
        answer = json.loads(self.driver.stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def _end(self):
        self.driver.stdin.close()
        self.driver.wait(40)

    def nginx(self, name, namespace):
        """Answers with 1 KiB."""
        folder = self.scope.folder / name
        folder.mkdir()
        (folder / "index.html").write_text("x" * 1024)
        self.scope.folder.chmod(0o755)
        (folder / "nginx.conf").write_text(
            f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
            "events { worker_connections 1024; }\n"
            f"http {{ access_log off; keepalive_requests 1000000; server {{ listen 8000; root {folder}; }} }}\n"
        )
        self.scope.start(["nsenter", f"--net={namespace}", host.path_to("nginx"), "-c", folder / "nginx.conf"], name)

    def haproxy(self, name, port, mode):
        """HAProxy as one would write it: members of an HTTP service are to know their client."""
        file = self.scope.folder / f"{name}.cfg"
        forward = "  option forwardfor\n" if mode == "http" else ""
        servers = "\n".join(f"  server s{n} {address}:8000" for n, address in enumerate(self.addresses))
        file.write_text(
            f"global\n  maxconn 4000\ndefaults\n  mode {mode}\n  timeout connect 1s\n  timeout client 60s\n"
            f"  timeout server 60s\n{forward}frontend f\n  bind :{port}\n  default_backend b\n"
            f"backend b\n  balance roundrobin\n{servers}\n"
        )
        self.scope.start([*self.inside, host.path_to("haproxy"), "-db", "-f", file], name)

    def load(self, port):
        """Requests a second from the client."""
        result = clusters.load(
            self.bench, f"http://192.0.2.1:{port}/", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{SECONDS}s",
            inside=["nsenter", f"--net=/run/netns/{self.name}c"],
        )
        if result["failed"]:
            raise RuntimeError(f"requests failed: {result['failures']}")
        return result["rate"]

    def alternate(self, bench, what, ours, theirs):
        first, second = Series(), Series()
        for port in (ours, theirs):
            self.load(port)
        count = max(3, min(bench.count, 12))
        for number in range(count):
            # A B, B A: what the machine does beside is not always one side's.
            pair = [(first, ours), (second, theirs)]
            for series, port in pair if number % 2 == 0 else reversed(pair):
                series.add(self.load(port))
            bench.progress(what, number + 1, count)
        return first, second


def rate(key, name, peer, first, second, bar, note):
    return Measure(
        key, name, "req/s", first.median, peer, second.median, bar,
        {"samples": first.summary(), "peer_samples": second.summary()}, note,
    )


@row("tcp", "connections balanced in the kernel against HAProxy's TCP mode")
def tcp(bench):
    world = World(bench)
    world.do("service", port=80, target=8000, members=world.members)
    world.haproxy("tcp", 81, "tcp")
    first, second = world.alternate(bench, "tcp", 80, 81)
    note = f"{MEMBERS} nginx members, {CONNECTIONS} connections that stay, 1 KiB, load and members on the same cores"
    yield rate("tcp", "balanced in the kernel", "HAProxy TCP", first, second, Bar(1.2, at_most=False), note)


@row("http", "requests balanced by the driven HAProxy against one with a plain configuration")
def http(bench):
    world = World(bench)
    world.do("http", port=80, target=8000, members=world.members)
    world.haproxy("http", 81, "http")
    first, second = world.alternate(bench, "http", 80, 81)
    note = f"{MEMBERS} nginx members, {CONNECTIONS} connections that stay, 1 KiB, load and members on the same cores"
    yield rate("http", "HTTP mode", "plain HAProxy", first, second, Bar(0.95, at_most=False), note)


@row("members", "a change of members, until the kernel has it")
def members(bench):
    world = World(bench)
    world.do("service", port=80, target=8000, members=world.members)
    series = Series()
    for number in range(max(10, bench.count)):
        subprocess.run(["sleep", "0.05"], check=True)
        wanted = world.members[: MEMBERS - number % 2]
        series.add(world.do("members", members=wanted)["milliseconds"])
    yield Measure(
        "members", "change of members", "ms", series.median, "", None, Bar(10, of="value"),
        {"samples": series.summary()},
    )
