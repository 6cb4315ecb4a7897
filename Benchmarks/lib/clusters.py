"""Services on the engines that are compared: Skala, and Docker Swarm in dnsrr mode."""

import ctypes
import io
import json
import os
import pathlib
import socket
import subprocess
import tarfile
import time

import programs
import scope as scoping

IMAGE = "web"
PORT = 80


def web_archive():
    """A root file system of the server of web.c alone."""
    program = programs.compiled("web", static=True)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(program, "web")
        for name in ("dev", "proc", "sys", "etc", "tmp"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
    return archive.getvalue()


def ask(address, port, connect=None, timeout=0.5, path="/"):
    """The name of the host that answers; None when none does."""
    one = connect() if connect else socket.socket()
    try:
        one.settimeout(timeout)
        one.connect((address, port))
        one.sendall(f"GET {path} HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while data := one.recv(4096):
            answer += data
        head, _, body = answer.partition(b"\r\n\r\n")
        return body.decode().strip() if head.startswith(b"HTTP/1.1 200") else None
    except OSError:
        return None
    finally:
        one.close()


class Services:
    """What both have in common: Docker's API of services."""

    def __init__(self, api):
        self.api = api
        self.network = "bench"
        self.api.call("POST", "/swarm/init", {"ListenAddr": "127.0.0.1:2377", "AdvertiseAddr": "127.0.0.1"})
        self.api.import_image(web_archive(), IMAGE)
        self.api.call(
            "POST", "/networks/create",
            {"Name": self.network, "Driver": "overlay", "Attachable": True, "CheckDuplicate": True},
        )

    def spec(self, name, replicas, command=(), mode="vip", port=None, labels=None, **container):
        spec = {
            "Name": name,
            "Labels": labels or {},
            "TaskTemplate": {
                "ContainerSpec": {"Image": IMAGE, "Command": ["/web", str(PORT), *command], **container},
                "Networks": [{"Target": self.network}],
            },
            "Mode": {"Replicated": {"Replicas": replicas}},
            "EndpointSpec": {"Mode": mode},
        }
        if port:
            spec["EndpointSpec"]["Ports"] = [
                {"Protocol": "tcp", "TargetPort": PORT, "PublishedPort": port, "PublishMode": "ingress"}
            ]
        return spec

    def create(self, spec):
        return self.api.call("POST", "/services/create", spec)["ID"]

    def inspect(self, name):
        return self.api.call("GET", f"/services/{name}")

    def update(self, name, change):
        """Changes the specification, as a client does."""
        service = self.inspect(name)
        change(service["Spec"])
        version = service["Version"]["Index"]
        self.api.call("POST", f"/services/{name}/update?version={version}", service["Spec"])

    def scale(self, name, replicas):
        def change(spec):
            spec["Mode"]["Replicated"]["Replicas"] = replicas

        self.update(name, change)

    def tasks(self, name):
        """Those that run and shall."""
        filters = json.dumps({"service": [name], "desired-state": ["running"]})
        found = self.api.call("GET", f"/tasks?filters={filters}".replace(" ", "").replace('"', "%22"))
        return [task for task in found if task["Status"]["State"] == "running"]

    def remove(self, name):
        """Returns when its tasks have gone."""
        self.api.call("DELETE", f"/services/{name}")
        scoping.wait_until(lambda: not self.containers(name), 60, f"the end of service {name}", 0.05)

    def containers(self, name):
        filters = json.dumps({"label": [f"com.docker.swarm.service.name={name}"]}).replace(" ", "").replace('"', "%22")
        return self.api.call("GET", f"/containers/json?all=true&filters={filters}")

    def kill(self, name):
        """SIGKILL for the process of one task; answers when that was, and the host name that has gone."""
        victim = sorted(self.tasks(name), key=lambda task: task["ID"])[0]
        about = self.api.call("GET", f"/containers/{victim['Status']['ContainerStatus']['ContainerID']}/json")
        pid = about["State"]["Pid"]
        # Read last before the kill, and understood afterwards: what comes in between is under way, too.
        connections = pathlib.Path(f"/proc/{pid}/net/tcp").read_bytes()
        start = time.monotonic()
        os.kill(pid, 9)
        return start, about["Config"]["Hostname"], established(connections.decode())


def established(table):
    """Connections to the server in a /proc/net/tcp; 01: established, 03: their handshake is under way."""
    fields = [line.split() for line in table.splitlines()[1:]]
    return sum(one[1].endswith(f":{PORT:04X}") and one[3] in ("01", "03") for one in fields)


class SkalaServices(Services):
    """Skala's tasks answer through the balancer, at a published port."""

    def __init__(self, engine):
        super().__init__(engine.api)
        self.address = engine.gateway

    def answering(self, port, count, without=(), seconds=60, what="tasks"):
        """When `count` different tasks have answered through the balancer; those in `without` do not count."""
        seen = set()
        deadline = time.monotonic() + seconds
        while len(seen) < count:
            name = ask(self.address, port)
            if name and name not in without:
                seen.add(name)
            elif time.monotonic() > deadline:
                raise RuntimeError(f"{len(seen)} of {count} {what} answer after {seconds} s")
            if not name:
                time.sleep(0.002)
        return time.monotonic(), seen


class SwarmServices(Services):
    """Docker's tasks are found as a client in the network finds them: each has a name's address (dnsrr)."""

    def __init__(self, engine, scope):
        super().__init__(engine.api)
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.own = os.open("/proc/self/ns/net", os.O_RDONLY)
        container = self.api.call(
            "POST", "/containers/create",
            {"Image": "busybox", "Cmd": ["sleep", "100000"], "HostConfig": {"NetworkMode": self.network}},
        )["Id"]
        self.api.start(container)
        pid = self.api.call("GET", f"/containers/{container}/json")["State"]["Pid"]
        self.inside = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        scope.defer("forget two namespaces", lambda: [os.close(one) for one in (self.own, self.inside)])

    def connect(self):
        """A socket in the network."""
        self.libc.setns(self.inside, 0)
        try:
            return socket.socket()
        finally:
            self.libc.setns(self.own, 0)

    def answering(self, name, count, without=(), seconds=180):
        seen, addresses = set(), {}
        deadline = time.monotonic() + seconds
        while len(seen) < count:
            for task in self.tasks(name):
                address = task["NetworksAttachments"][0]["Addresses"][0].split("/")[0]
                if task["ID"] in addresses:
                    continue
                answer = ask(address, PORT, self.connect)
                if answer:
                    addresses[task["ID"]] = address
                    if answer not in without:
                        seen.add(answer)
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(seen)} of {count} tasks of Docker's answer after {seconds} s")
            time.sleep(0.01)
        return time.monotonic(), seen


class Load:
    """`skala load`, in the background."""

    def __init__(self, bench, url, *options):
        self.process = subprocess.Popen(
            [str(bench.binaries / "skala"), "load", "--json", *options, url], stdout=subprocess.PIPE, text=True,
            start_new_session=True,
        )
        bench.local.defer("end the load", lambda: scoping.end(self.process))

    def stop(self):
        self.process.terminate()
        return self.result()

    def result(self):
        """Its JSON (docs/load.md)."""
        output, _ = self.process.communicate(timeout=120)
        if not output:
            raise RuntimeError(f"skala load ended with {self.process.returncode}")
        return json.loads(output)


def load(bench, url, *options, inside=()):
    """The result of a load that ends by itself."""
    done = subprocess.run(
        [*inside, str(bench.binaries / "skala"), "load", "--json", *options, url], stdout=subprocess.PIPE, text=True,
        timeout=120,
    )
    return json.loads(done.stdout)
