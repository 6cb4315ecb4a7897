"""Faults under services: tasks, daemon, warden, HAProxy and VMs are killed, tasks frozen, the disk filled, firewall rules
changed and the clock moved, while clients ask at published ports. After each fault: all tasks run again within a bound, and
a second after it no connection is led to a task that has gone.
"""

import calendar
import collections
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.parse

from engine import names, problem, problems, read
from machines import virtual_machines

# So long after a fault a dead member may have connections, in seconds, and what a busy machine adds to a measurement.
DEAD_MEMBER = 1.0
# So long HAProxy may be away when it was killed.
HAPROXY = 2.0
SLACK = 0.5


class Client(threading.Thread):
    """Asks again and again, each time on a connection of its own, and remembers what it got."""

    def __init__(self, port, pause):
        super().__init__(daemon=True)
        self.port, self.pause = port, pause
        self.results = collections.deque(maxlen=200000)  # begin, end, what: "ok" or how it failed
        self.stopping = False

    def ask(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\nHost: web\r\n\r\n")
                answer = b""
                while True:
                    data = connection.recv(4096)
                    if not data:
                        break
                    answer += data
            return "ok" if b" 200 " in answer[:20] else "answer %r" % answer[:20]
        except socket.timeout:
            return "timeout"
        except ConnectionError as error:
            return type(error).__name__
        except OSError as error:
            return str(error)

    def run(self):
        while not self.stopping:
            begin = time.monotonic()
            what = self.ask()
            self.results.append((begin, time.monotonic(), what))
            time.sleep(max(0.0, self.pause - (time.monotonic() - begin)))

    def since(self, moment):
        return [result for result in list(self.results) if result[0] >= moment]


class Balancer(threading.Thread):
    """Looks at the kernel's maps, and remembers for how long an address was in them that nobody has any more."""

    def __init__(self, engine):
        super().__init__(daemon=True)
        self.engine = engine
        self.stopping = False
        self.looks = 0
        self.dead_since = {}
        # What was found, for whoever judges the fault that was under way.
        self.found = collections.deque(maxlen=1000)

    def members(self):
        table = subprocess.run(["nft", "-j", "list", "table", "ip", "skala_%s_services" % self.engine.tag],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        found = set()
        for item in json.loads(table or b'{"nftables": []}')["nftables"]:
            entry = item.get("map")
            if entry and entry["name"].startswith("slots_"):
                found |= {element[1] for element in entry.get("elem", []) if isinstance(element[1], str)}
        return found | self.servers()

    def servers(self):
        """Whom HAProxy leads requests to."""
        answer = b""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(5)
                connection.connect(self.engine.run + "/http/socket")
                connection.sendall(b"show servers state\n")
                while True:
                    data = connection.recv(65536)
                    if not data:
                        break
                    answer += data
        except OSError:
            return set()  # it is not there
        fields = [line.split() for line in answer.decode().splitlines()[1:]]
        columns = fields[0][1:] if fields else []
        return {server["srv_addr"] for server in (dict(zip(columns, line)) for line in fields[1:])
                if server and not int(server["srv_admin_state"]) & 3}

    def look(self):
        members = self.members()
        alive = set()
        for container in self.engine.call("GET", "/containers/json", timeout=5)[1]:
            for network in container["NetworkSettings"]["Networks"].values():
                alive.add(network["IPAddress"])
        self.looks += 1
        now = time.monotonic()
        for address in members - alive:
            self.dead_since.setdefault(address, now)
        for address in list(self.dead_since):
            if address not in members or address in alive:
                del self.dead_since[address]
            elif now - self.dead_since[address] > DEAD_MEMBER + SLACK:
                self.found.append((now, address, now - self.dead_since[address]))

    def run(self):
        while not self.stopping:
            try:
                self.look()
            except (OSError, http.client.HTTPException, ValueError, TypeError):
                self.dead_since.clear()  # no daemon that could take anybody out
            time.sleep(0.1)


def specification(name, port, replicas, isolation, labels):
    """A web server that answers with its own name; checked every second. In a VM it writes, too: a full disk stops it."""
    script = "busybox mkdir -p /www; busybox hostname >/www/index.html; "
    if isolation != "container":
        script += "while :; do busybox head -c 65536 /dev/zero >/written; busybox sync; busybox sleep 1; done & "
    script += "exec busybox httpd -f -p 80 -h /www"
    second = 10 ** 9
    return {
        "Name": name, "Labels": labels, "Mode": {"Replicated": {"Replicas": replicas}},
        "TaskTemplate": {"ContainerSpec": {
            "Image": "busybox", "Command": ["sh", "-c", script], "Isolation": isolation,
            # It is process 1 and takes no signal but SIGKILL: stops take as long as they may.
            "StopGracePeriod": 10 * second,
            "Healthcheck": {"Test": ["CMD", "busybox", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1/"],
                            "Interval": second, "Timeout": (2 if isolation == "container" else 8) * second,
                            "Retries": 1 if isolation == "container" else 2,
                            "StartPeriod": 0 if isolation == "container" else 20 * second},
        }},
        "EndpointSpec": {"Ports": [{"PublishedPort": port, "TargetPort": 80, "Protocol": "tcp"}]},
    }


class World:
    """An engine with its services, those who ask them, and what can be done to them."""

    def __init__(self, engine, rng, vms, patience):
        self.engine, self.rng, self.vms, self.patience = engine, rng, vms, patience
        self.clients = {}
        self.services = {}
        self.balancer = Balancer(engine)
        self.offset = 0
        self.clock_file = engine.folder + "/clock"

    # What is there.

    def create(self, name, port, replicas, isolation, labels={}):
        status, answer = self.engine.call(
            "POST", "/services/create", specification(name, port, replicas, isolation, labels))
        if status != 201:
            raise SystemExit("the service %s cannot be made: %s" % (name, answer))
        self.services[name] = (port, replicas, isolation)

    def tasks(self, name):
        query = json.dumps({"service": [name], "desired-state": ["running"]})
        status, tasks = self.engine.call("GET", "/tasks?filters=" + urllib.parse.quote(query))
        return [task for task in tasks or [] if task["Status"]["State"] == "running"] if status == 200 else []

    def whole(self, name):
        """Whether all of a service's tasks run, have a process and are members."""
        status, services = self.engine.call("GET", "/services?status=1")
        if status != 200:
            return False
        for service in services:
            if service["Spec"]["Name"] == name:
                wanted = service["ServiceStatus"]
                return wanted["RunningTasks"] == wanted["DesiredTasks"] == self.services[name][1]
        return False

    def explanation(self, name):
        lines = subprocess.run(
            [self.engine.programs + "/skala", "service", "explain", name], stdout=subprocess.PIPE,
            env=dict(os.environ, DOCKER_HOST="unix://" + self.engine.run + "/skala.sock"), text=True).stdout
        return "\n".join(lines.splitlines()[-12:])

    def wait(self, name, seconds, why):
        """Until a service is whole and answers five times in a row.

        - Returns: seconds it took; None after the bound, which is a problem.
        """
        begin = time.monotonic()
        bound = seconds * self.patience
        if not self.comes_back(name, bound):
            # Who died young again and again is tried again later, as is said: the bound counts from then on.
            later = self.next_try(name)
            if later == 0 or not self.comes_back(name, later + bound):
                problem("after %s, %s is not as wanted within %d s:\n%s" % (
                    why, name, time.monotonic() - begin, self.explanation(name)))
                return None
        return time.monotonic() - begin

    def comes_back(self, name, seconds):
        client = self.clients.get(name)
        begin = time.monotonic()
        while time.monotonic() - begin < seconds:
            try:
                if self.whole(name):
                    if client is None:
                        return True
                    seen = time.monotonic()
                    while time.monotonic() - seen < 5:
                        last = [result[2] for result in client.since(seen)]
                        if last[-5:] == ["ok"] * 5:
                            return True
                        time.sleep(0.05)
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.05)
        return False

    def next_try(self, name):
        """Seconds, by the daemon's clock, until a task in a crash loop is started again; 0 when none is."""
        times = re.findall(r"crash loop: .*next try at (\S+?)(?:\.\d+)?Z", self.explanation(name))
        now = time.time() + self.offset
        return max([0.0] + [calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%S")) + 1 - now for text in times])

    def victim(self, name):
        tasks = self.tasks(name)
        return self.rng.choice(tasks) if tasks else None

    def any_web(self):
        """One of the services of containers."""
        return self.rng.choice([name for name in self.services if name != "vm"])

    def process(self, task):
        status, container = self.engine.call(
            "GET", "/containers/%s/json" % task["Status"]["ContainerStatus"]["ContainerID"])
        return container["State"]["Pid"] if status == 200 else 0

    def set_clock(self, offset):
        """In place: the daemon has it mapped."""
        descriptor = os.open(self.clock_file, os.O_RDWR | os.O_CREAT)
        os.pwrite(descriptor, struct.pack("q", offset), 0)
        os.close(descriptor)

    # Faults. Each returns what it disturbs, the bound in seconds, and from when on connections must be led aright
    # again; None when it cannot be done now.

    def kill_task(self):
        name = self.any_web()
        task = self.victim(name)
        pid = self.process(task) if task else 0
        if not pid:
            return None
        os.kill(pid, signal.SIGKILL)
        return [name], 20, time.monotonic() + DEAD_MEMBER

    def kill_vm(self):
        machines = virtual_machines(self.engine) if self.vms else []
        if not machines:
            return None
        os.kill(self.rng.choice(machines), signal.SIGKILL)
        return ["vm"], 60, time.monotonic() + DEAD_MEMBER

    def kill_daemon(self):
        begin = time.monotonic()
        self.engine.kill()
        time.sleep(self.rng.choice([0, self.rng.random()]))
        self.engine.start()
        # Connections go on without one.
        return list(self.services), 20, begin

    def kill_daemon_and_task(self):
        task = self.victim(self.any_web())
        pid = self.process(task) if task else 0
        if not pid:
            return None
        self.engine.kill()
        os.kill(pid, signal.SIGKILL)
        time.sleep(self.rng.random())
        self.engine.start()
        return list(self.services), 20, time.monotonic() + DEAD_MEMBER

    def kill_warden(self):
        warden = self.engine.warden()
        if not warden:
            return None
        os.kill(warden, signal.SIGKILL)
        # Everything ends with it; there is nobody to lead to.
        return list(self.services), 90, None

    def haproxies(self):
        return [int(name) for name in names("/proc") if name.isdigit() and
                read("/proc/%s/comm" % name).startswith("haproxy") and
                (self.engine.run + "/") in read("/proc/%s/cmdline" % name)]

    def kill_haproxy(self):
        processes = self.haproxies()
        if not processes:
            return None
        for process in processes:
            os.kill(process, signal.SIGKILL)
        # Whose requests it has not stay as they are; its own fail until it is back.
        return list(self.services), 20, time.monotonic() + HAPROXY * self.patience

    def stop_task(self):
        """SIGSTOP: it is there, and does nothing. Only its health check tells."""
        name = self.any_web()
        task = self.victim(name)
        pid = self.process(task) if task else 0
        if not pid:
            return None
        os.kill(pid, signal.SIGSTOP)
        # Interval, timeout, and the second that it has to end.
        return [name], 20, time.monotonic() + 5

    def freeze_task(self):
        """The same by its control group, in which health checks stand still, too."""
        name = self.any_web()
        task = self.victim(name)
        if not task:
            return None
        container = task["Status"]["ContainerStatus"]["ContainerID"]
        for folder in self.engine.cgroup_folders():
            if folder.endswith("/" + container) and os.path.exists(folder + "/cgroup.freeze"):
                with open(folder + "/cgroup.freeze", "w") as file:
                    file.write("1")
                return [name], 25, time.monotonic() + 8
        return None

    def fill_disk(self):
        """No room for records: tasks are looked after all the same, as far as that can be, and in any case afterwards."""
        filler = self.engine.data + "/filler"
        descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT)
        try:
            while True:
                os.write(descriptor, b"x" * 65536)
        except OSError:
            os.close(descriptor)
        try:
            task = self.victim(self.any_web())
            pid = self.process(task) if task else 0
            if pid:
                os.kill(pid, signal.SIGKILL)
            time.sleep(2 + self.rng.random())
        finally:
            os.unlink(filler)
        return list(self.services), 40, time.monotonic() + DEAD_MEMBER

    def change_rules(self):
        table = "skala_%s_services" % self.engine.tag
        own = "skala_%s" % self.engine.tag
        slots = [line.split()[1] for line in subprocess.run(
            ["nft", "list", "table", "ip", table], stdout=subprocess.PIPE, text=True).stdout.splitlines()
            if line.split()[:1] == ["map"] and "slots_" in line]
        if not slots:
            return None
        command = self.rng.choice([
            "delete table ip " + table, "delete table ip " + own, "flush chain ip %s to_port" % table,
            "flush chain ip %s ports_in" % table, "flush map ip %s ports" % table,
            "flush map ip %s %s" % (table, self.rng.choice(slots)),
            "delete element ip %s %s { 0 }" % (table, self.rng.choice(slots)),
            "add rule ip %s ports_here drop" % table, "insert rule ip %s ports_here return" % table,
        ])
        subprocess.run(["nft", command], check=True)
        self.detail = command
        return list(self.services), 20, time.monotonic() + DEAD_MEMBER

    def move_clock(self):
        """The daemon's wall clock jumps, by a library before its own; the host's stays. The monotonic clock is never moved:
        the kernel does not."""
        if not self.engine.environment:
            return None
        self.offset = self.rng.choice([-7200, -60, 60, 7200, 86400 * 40]) if self.offset == 0 else 0
        self.set_clock(self.offset)
        self.detail = "%+d s" % self.offset
        begin = time.monotonic()
        time.sleep(1.5)
        task = self.victim(self.any_web())
        pid = self.process(task) if task else 0
        if pid:
            os.kill(pid, signal.SIGKILL)
            begin = time.monotonic() + DEAD_MEMBER
        return list(self.services), 25, begin

    def fault(self, what):
        """Does it, and judges what came of it. Returns seconds to the wanted state; None when it was not possible."""
        self.detail = ""
        self.begin = begin = time.monotonic()
        try:
            done = getattr(self, what)()
        except ProcessLookupError:
            return None
        if done is None:
            return None
        disturbed, bound, aright = done
        why = what + (" (%s)" % self.detail if self.detail else "")
        took = [self.wait(name, bound, why) for name in disturbed]
        if aright is not None:
            time.sleep(0.3)
            # With the only task there is nobody to lead to until the next one serves.
            for name in [name for name in disturbed if self.services[name][1] > 1]:
                failed = [result for result in self.clients[name].since(aright + SLACK) if result[2] != "ok"]
                if failed:
                    problem("%s: %d requests to %s failed, the first %.1f s after the fault: %s" % (
                        why, len(failed), name, failed[0][0] - begin, failed[0][2]))
        for moment, address, seconds in list(self.balancer.found):
            if moment >= begin and aright is not None and moment > aright + SLACK:
                problem("%s: connections are led to %s, which is nobody's, for %.1f s" % (why, address, seconds))
                break
        self.balancer.found.clear()
        return max([value for value in took if value is not None], default=0)


def free_ports(count):
    holders = [socket.socket() for _ in range(count)]
    for holder in holders:
        holder.bind(("127.0.0.1", 0))
    ports = [holder.getsockname()[1] for holder in holders]
    for holder in holders:
        holder.close()
    return ports


# Relative frequencies.
FAULTS = {"kill_task": 6, "kill_daemon": 3, "kill_daemon_and_task": 3, "stop_task": 3, "freeze_task": 2,
          "change_rules": 5, "fill_disk": 2, "kill_vm": 4, "kill_haproxy": 2, "move_clock": 3, "kill_warden": 1}


def run(engine, seconds, vms, pause, patience, seed):
    rng = random.Random(seed)
    world = World(engine, rng, vms, patience)
    world.set_clock(0)
    engine.start()
    engine.import_busybox()
    status, answer = engine.call("POST", "/swarm/init", {"ListenAddr": "127.0.0.1"})
    if status != 200:
        raise SystemExit("no swarm: %s" % answer)
    if "move_clock" in FAULTS:
        library = engine.folder + "/clock.so"
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clock.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source], check=True)
        # The warden that runs has its own clock, and so have all containers.
        engine.kill(signal.SIGTERM)
        engine.environment = {"LD_PRELOAD": library, "CLOCK_FILE": world.clock_file}
        engine.start()
    ports = free_ports(3)
    world.create("web", ports[0], 3, "container")
    if shutil.which("haproxy"):
        world.create("http", ports[2], 3, "container", {"skala.http.port": "80"})
    else:
        print("SKIP: requests and kill_haproxy: no haproxy")
        FAULTS.pop("kill_haproxy", None)
    if vms:
        world.create("vm", ports[1], vms, "microvm")
    for name in world.services:
        world.wait(name, 120, "its start")
    if problems:
        raise SystemExit("the services do not start")
    world.balancer.start()
    for name, (port, _, _) in world.services.items():
        world.clients[name] = Client(port, 0.05)
        world.clients[name].start()
    counts = collections.Counter()
    times = collections.defaultdict(list)
    begin = last = time.monotonic()
    # Each kind once, in any order; then as they come.
    first = list(FAULTS)
    rng.shuffle(first)
    while time.monotonic() - begin < seconds:
        time.sleep(pause * rng.random() * 2)
        what = first.pop() if first else rng.choices(list(FAULTS), list(FAULTS.values()))[0]
        took = world.fault(what)
        if took is None:
            continue
        if os.environ.get("SOAK_VERBOSE"):
            print("%s %s: %.2f s; failed since: %s" % (what, world.detail, took, [
                (name, round(r[0] - world.begin, 2), round(r[1] - r[0], 2), r[2])
                for name, client in world.clients.items() for r in client.since(world.begin) if r[2] != "ok"][:8]),
                flush=True)
        counts[what] += 1
        times[what].append(took)
        if time.monotonic() - last > 60:
            last = time.monotonic()
            print("%d s left: %s, %d problems" % (seconds - (last - begin), dict(counts), len(problems)), flush=True)
    for client in world.clients.values():
        client.stopping = True
    world.balancer.stopping = True
    for thread in [*world.clients.values(), world.balancer]:
        thread.join(20)
    report(world, counts, times)
    end(engine, world)


def report(world, counts, times):
    for what in sorted(counts):
        ordered = sorted(times[what])
        print("%-22s %3d times; whole again after %.2f s (median), %.2f s (worst)" % (
            what, counts[what], ordered[len(ordered) // 2], ordered[-1]))
    for name, client in world.clients.items():
        results = list(client.results)
        failed = collections.Counter(result[2] for result in results if result[2] != "ok")
        print("%s: %d requests, %d failed: %s" % (name, len(results), sum(failed.values()), dict(failed)), flush=True)
    print("%d faults; the balancer's members were looked at %d times" % (sum(counts.values()), world.balancer.looks),
          flush=True)


def end(engine, world):
    """Everything goes, and nothing is left."""
    for name in world.services:
        status, answer = engine.call("DELETE", "/services/" + name)
        if status != 200:
            problem("the service %s cannot be removed: %s" % (name, answer))
    # They take no other signal, and would all have their grace period.
    for container in engine.call("GET", "/containers/json")[1]:
        engine.call("POST", "/containers/%s/kill" % container["Id"])
    deadline = time.monotonic() + 60 * world.patience
    while engine.call("GET", "/containers/json?all=1")[1]:
        if time.monotonic() > deadline:
            problem("tasks of removed services are left: %s" % [
                container["Names"] for container in engine.call("GET", "/containers/json?all=1")[1]])
            break
        time.sleep(0.2)
    status, answer = engine.call("POST", "/swarm/leave?force=1")
    if status != 200:
        problem("the swarm cannot be left: %s" % answer)
    engine.remove_all()
    engine.kill(signal.SIGTERM)
    engine.expect_no_leaks("after faults of services")
    for family in ("ip", "ip6", "bridge"):
        table = "skala_%s_services" % engine.tag
        if subprocess.run(["nft", "list", "table", family, table], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0:
            problem("left over: table %s %s" % (family, table))
    for folder in ("services", "tasks", "vm"):
        for name in names(engine.run + "/" + folder):
            if name != "root":
                problem("left over: %s/%s" % (folder, name))
    if world.haproxies():
        problem("left over: HAProxy")
