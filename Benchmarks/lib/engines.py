"""The engines that are compared, each with folders of its own: Skala's daemon and warden, and Debian's dockerd."""

import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import time

import api
import host
import scope as scoping


def busybox_folder(scope):
    """A root file system of busybox alone."""
    folder = scope.folder / "busybox"
    if folder.exists():
        return folder
    for name in ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr/share/www"):
        (folder / name).mkdir(parents=True)
    shutil.copy2(host.path_to("busybox"), folder / "bin/busybox")
    for applet in ("sh", "true", "sleep", "cat", "ls"):
        (folder / "bin" / applet).symlink_to("busybox")
    (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (folder / "etc/group").write_text("root:x:0:\n")
    return folder


def busybox_archive(scope):
    archive = scope.folder / "busybox.tar"
    if not archive.exists():
        subprocess.run(["tar", "-C", busybox_folder(scope), "-cf", archive, "."], check=True)
    return archive.read_bytes()


class Skala:
    """A daemon, its warden, and the image `busybox`."""

    def __init__(self, scope, binaries, subnet, bridge="skbench0", name="skala", options=()):
        self.scope = scope
        self.run = scope.folder / f"{name}-run"
        self.socket = self.run / "skala.sock"
        self.cgroup = f"/{name}-bench-{os.getpid()}"
        self.log = scope.folder / f"{name}-daemon.log"
        self.bridge = bridge
        gateway = subnet.split("/")[0].rsplit(".", 1)[0] + ".1"
        self.gateway = gateway
        scope.defer("remove Skala's groups", lambda: remove_groups(self.cgroup))
        scope.defer("remove Skala's network", self._remove_network)
        scope.defer("end the warden", self._end_warden)
        self.daemon = scope.start(
            [
                binaries / "skala-daemon", "--data-root", scope.folder / name, "--run-root", self.run,
                "--bridge", bridge, "--subnet", subnet, "--warden", binaries / "skala-warden",
                "--cgroup-parent", self.cgroup, *options,
            ],
            f"{name}-daemon",
        )
        wait_for_api(self.socket, self.daemon, scope, f"{name}-daemon")
        self.api = api.Client(self.socket)
        self.api.import_image(busybox_archive(scope), "busybox")

    @property
    def warden(self):
        """The warden's process id."""
        return scoping.processes_with("skala-warden", str(self.run))[0]

    def memory(self):
        """Daemon and warden together, in bytes."""
        return scoping.proportional_memory(self.daemon.pid) + scoping.proportional_memory(self.warden)

    def _end_warden(self):
        for pid in scoping.processes_with("skala-warden", str(self.run)):
            scoping.end_pid(pid)

    def _remove_network(self):
        subprocess.run(["ip", "link", "delete", self.bridge], stderr=subprocess.DEVNULL, check=False)
        # The daemon names its table after its run folder (FNV-1a, the low 16 bits).
        value = 2166136261
        for byte in str(self.run).encode():
            value = (value ^ byte) * 16777619 & 0xFFFFFFFF
        table = f"skala_{value & 0xFFFF:04x}"
        for family, name in (
            ("ip", table), ("ip6", table),
            # Of services that a run left because it was interrupted.
            *((family, table + "_services") for family in ("ip", "ip6", "bridge")),
        ):
            subprocess.run(["nft", "delete", "table", family, name], stderr=subprocess.DEVNULL, check=False)
        # The same tag begins the names of its other networks' bridges: those of a swarm outlive their services.
        for link in os.listdir("/sys/class/net"):
            if link.startswith(f"sk{value & 0xFFFF:04x}"):
                subprocess.run(["ip", "link", "delete", link], stderr=subprocess.DEVNULL, check=False)


class Docker:
    """Debian's dockerd in a network namespace of its own, and the image `busybox`."""

    def __init__(self, scope):
        self.scope = scope
        folder = scope.folder
        self.namespace = folder / "docker.netns"
        self.socket = folder / "docker.sock"
        self.run = folder / "docker-run"
        self.cgroup = f"/skala-bench-docker-{os.getpid()}"
        make_network_namespace(scope, self.namespace)
        scope.defer("remove Docker's groups", lambda: remove_groups(self.cgroup))
        scope.defer("end containerd", self._end_rest)
        # Not `ip netns exec`, which hides the control groups.
        self.daemon = scope.start(
            [
                "nsenter", f"--net={self.namespace}", host.path_to("dockerd"), "--data-root", folder / "docker",
                "--exec-root", self.run, "--pidfile", folder / "docker.pid", "-H", f"unix://{self.socket}",
                "--cgroup-parent", self.cgroup,
            ],
            "dockerd",
        )
        wait_for_api(self.socket, self.daemon, scope, "dockerd")
        self.api = api.Client(self.socket)
        self.api.import_image(busybox_archive(scope), "busybox")

    def shims(self):
        return scoping.processes_with("containerd-shim-runc-v2", str(self.run))

    def memory(self):
        """(dockerd and containerd, all shims), in bytes."""
        daemons = [self.daemon.pid] + scoping.processes_with("containerd", str(self.run))
        return (
            sum(scoping.proportional_memory(pid) for pid in daemons),
            sum(scoping.proportional_memory(pid) for pid in self.shims()),
        )

    def _end_rest(self):
        # Services' tasks outlive the daemon.
        for pid in processes_in(self.cgroup):
            scoping.end_pid(pid, 0.2)
        for program in ("containerd-shim-runc-v2", "containerd"):
            for pid in scoping.processes_with(program, str(self.run)):
                scoping.end_pid(pid)


def wait_for_api(path, process, scope, name):
    def answers():
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended at once: {scope.log_tail(name)}")
        client = api.Client(path, timeout=5)
        try:
            return client.request("GET", "/_ping")[0] == 200
        except (OSError, api.APIError):
            return False
        finally:
            client.close()

    scoping.wait_until(answers, 30, f"{name}'s socket")


def make_network_namespace(scope, path):
    """A network namespace with lo up, kept by a mount on `path`."""
    path.touch()
    subprocess.run(["unshare", f"--net={path}", "true"], check=True)
    scope.defer("remove a network namespace", lambda: subprocess.run(["umount", path], check=True))
    subprocess.run(["nsenter", f"--net={path}", "ip", "link", "set", "lo", "up"], check=True)


def processes_in(path):
    """Processes of a control group that is ours, and of those below it."""
    version1, version2 = host.cgroup_mounts()
    found = set()
    for mount in set(version1.values()) | ({version2} if version2 else set()):
        for file in pathlib.Path(mount + path).glob("**/cgroup.procs"):
            found.update(int(line) for line in file.read_text().split())
    return sorted(found)


def remove_groups(path):
    """Removes a control group that is ours, and the empty ones below it, in every hierarchy."""
    version1, version2 = host.cgroup_mounts()
    for mount in sorted(set(version1.values()) | ({version2} if version2 else set())) + ["/sys/fs/cgroup/systemd"]:
        for folder, _, _ in os.walk(mount + path, topdown=False):
            for attempt in range(100):
                try:
                    os.rmdir(folder)
                    break
                except OSError:
                    time.sleep(0.01)


class Warden:
    """A resident warden without a daemon, spoken to in its own protocol (docs/warden-protocol.md)."""

    REQUEST, ANSWER, FAILURE, EVENT = 1, 2, 3, 4

    def __init__(self, scope, binaries):
        self.socket_path = scope.folder / "warden.sock"
        self.cgroup = f"/skala-bench-warden-{os.getpid()}"
        scope.defer("remove the warden's groups", lambda: remove_groups(self.cgroup))
        process = scope.start(
            [binaries / "skala-warden", "--socket", self.socket_path, "--cgroup", self.cgroup], "warden"
        )
        self.process = process
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

        def connects():
            if process.poll() is not None:
                raise RuntimeError(f"skala-warden ended: {scope.log_tail('warden')}")
            try:
                self.socket.connect(str(self.socket_path))
                return True
            except OSError:
                return False

        scoping.wait_until(connects, 5, "the warden's socket")
        self.socket.settimeout(30)
        self.buffer = b""
        self.number = 0

    def encode(self, operation, **fields):
        """A request's frame, ready to be sent."""
        self.number += 1
        payload = json.dumps(dict(fields, op=operation)).encode()
        return struct.pack("<IBBHI", len(payload), self.REQUEST, 0, 0, self.number) + payload

    def frame(self):
        """(kind, number, payload) of the next frame."""
        while True:
            if len(self.buffer) >= 12:
                length, kind, _, _, number = struct.unpack_from("<IBBHI", self.buffer)
                if len(self.buffer) >= 12 + length:
                    payload = self.buffer[12 : 12 + length]
                    self.buffer = self.buffer[12 + length :]
                    return kind, number, payload
            data = self.socket.recv(65536)
            if not data:
                raise RuntimeError("the warden has gone")
            self.buffer += data

    def answer(self):
        """Reads up to the last request's answer."""
        while True:
            kind, number, payload = self.frame()
            if kind == self.FAILURE:
                raise RuntimeError(f"the warden refused: {payload.decode()}")
            if kind == self.ANSWER and number == self.number:
                return payload

    def request(self, operation, **fields):
        self.socket.sendall(self.encode(operation, **fields))
        return json.loads(self.answer())


def warden_spec(arguments):
    """A container with all namespaces and the protections every one has, as the engine asks for it, without a
    network."""
    capabilities = [
        "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
        "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SYS_CHROOT", "CAP_MKNOD", "CAP_AUDIT_WRITE",
        "CAP_SETFCAP",
    ]

    def mount(kind, path, options):
        return {"destination": path, "type": kind, "source": kind, "options": options}

    return {
        "ociVersion": "1.2.0",
        "process": {
            "args": arguments,
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {name: capabilities for name in ("bounding", "effective", "permitted")},
        },
        "hostname": "bench",
        "mounts": [
            mount("proc", "/proc", ["nosuid", "noexec", "nodev"]),
            mount("tmpfs", "/dev", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount(
                "devpts", "/dev/pts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
            ),
            mount("sysfs", "/sys", ["nosuid", "noexec", "nodev", "ro"]),
        ],
        "linux": {
            "namespaces": [{"type": name} for name in ("pid", "network", "mount", "ipc", "uts", "cgroup")],
            "resources": {
                "memory": {"limit": 67108864},
                "pids": {"limit": 64},
                "devices": [{"allow": False, "access": "rwm"}],
            },
            "seccomp": {"profile": "default"},
            "maskedPaths": ["/proc/acpi", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }


def runtime_bundle(scope):
    """An OCI bundle of busybox true that every runtime here accepts."""
    bundle = scope.folder / "bundle"
    if bundle.exists():
        return bundle
    bundle.mkdir()
    shutil.copytree(busybox_folder(scope), bundle / "rootfs", symlinks=True)
    subprocess.run([host.path_to("runc"), "spec", "--bundle", bundle], check=True)
    spec = json.loads((bundle / "config.json").read_text())
    spec["process"]["terminal"] = False
    spec["process"]["args"] = ["true"]
    # Raising limits fails where root has no CAP_SYS_RESOURCE.
    spec["process"].pop("rlimits", None)
    (bundle / "config.json").write_text(json.dumps(spec))
    return bundle
