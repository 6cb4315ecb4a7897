"""The small C programs beside this folder, compiled when they are needed."""

import pathlib
import struct
import subprocess

import host

ROOT = pathlib.Path(__file__).resolve().parent.parent


def compiled(name, static=False, target=None):
    """The program's path; compiled when its source is newer."""
    source, target = ROOT / f"{name}.c", target or ROOT / "bin" / name
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        target.parent.mkdir(exist_ok=True)
        subprocess.run(["cc", *(["-static"] if static else []), "-O2", "-Wall", "-Wextra", "-o", target, source], check=True)
    return target


class Bare:
    """Runs containers with the bare calls (bare.c)."""

    def __init__(self, scope, lower, group):
        folder = scope.folder / "bare"
        folder.mkdir()
        version1, version2 = host.cgroup_mounts()
        # The groups the warden makes for a container.
        groups = [version2 + group if version2 else "-"]
        groups += [version1[name] + group for name in ("memory", "pids", "cpuacct", "devices") if name in version1]
        self.process = subprocess.Popen(
            [compiled("bare"), folder, lower, *groups], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        scope.defer("end bare", self.close)

    def run(self):
        """Returns when the container has ended."""
        self.process.stdin.write(b"r")
        if self.process.stdout.read(1) != b"x":
            raise RuntimeError("bare ended; its reason is above")

    def cleaned(self):
        """Returns when its groups are gone too."""
        if self.process.stdout.read(1) != b"c":
            raise RuntimeError("bare ended; its reason is above")

    def close(self):
        self.process.stdin.close()
        self.process.wait(5)


class Spawner:
    """Runs commands and takes their time (spawn.c)."""

    def __init__(self, scope, version1_only=False, env=None):
        arguments = []
        version1, version2 = host.cgroup_mounts()
        if version1_only and version1 and version2:
            folder = scope.folder / "version1"
            folder.mkdir(exist_ok=True)
            arguments = [folder, *sorted(set(version1.values()))]
        self.errors = scope.folder / "commands.log"
        with open(self.errors, "ab") as log:
            self.process = subprocess.Popen(
                [compiled("spawn"), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                env=env,
                start_new_session=True,
            )
        scope.defer("end spawn", self.close)

    def run(self, command):
        """The command's time in seconds; a failing command is an exception."""
        payload = b"".join(str(part).encode() + b"\0" for part in command)
        self.process.stdin.write(struct.pack("=I", len(payload)) + payload)
        line = b""
        while not line.endswith(b"\n"):
            part = self.process.stdout.read(64)
            if not part:
                raise RuntimeError(f"spawn ended: {self._tail()}")
            line += part
        nanoseconds, status = line.split()
        if status != b"0":
            raise RuntimeError(f"{' '.join(map(str, command))}: status {status.decode()}: {self._tail()}")
        return int(nanoseconds) / 1e9

    def _tail(self):
        return " / ".join(self.errors.read_text(errors="replace").strip().splitlines()[-3:])

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
