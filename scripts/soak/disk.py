"""Fills the disk during imports, pulls, creates and commits."""

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile

from engine import busybox_archive, names, problem
from registry import Registry


class Disk:
    """The small disk that an engine's data is on."""

    def __init__(self, engine):
        self.engine = engine
        self.filler = engine.data + "/filler"

    def fill(self):
        """Leaves no room."""
        descriptor = os.open(self.filler, os.O_WRONLY | os.O_CREAT)
        try:
            while True:
                os.write(descriptor, b"x" * 4096)
        except OSError:
            os.close(descriptor)

    def free(self):
        os.unlink(self.filler)

    def room(self):
        status = os.statvfs(self.engine.data)
        return status.f_bavail * status.f_frsize

    def files(self):
        """All but the store's own, which grow and shrink as they like."""
        return sorted(os.path.join(root, name) for root, _, found in os.walk(self.engine.data) for name in found
                      if "skala.db" not in name and name != "filler")

    def refused(self, what, status, answer):
        """Whether an answer says clearly that there is no room."""
        text = answer.decode(errors="replace") if isinstance(answer, bytes) else json.dumps(answer)
        if not (status >= 400 or "error" in text.lower()):
            problem("%s on a full disk succeeds: %s %s" % (what, status, text[-300:]))
        elif "space" not in text.lower() and "full" not in text.lower():
            problem("%s on a full disk has no clear error: %s" % (what, text[-300:]))

    def nothing_left(self, what, before, room):
        """Neither files nor space that a process holds."""
        after = self.files()
        if after != before:
            problem("%s on a full disk leaves files: %s" % (what, set(after) ^ set(before)))
        if self.room() < room - (1 << 20):
            problem("%s on a full disk keeps its space: %d bytes are free" % (what, self.room()))
            for fd in names("/proc/%d/fd" % self.engine.daemon.pid):
                target = os.readlink("/proc/%d/fd/%s" % (self.engine.daemon.pid, fd))
                if "deleted" in target:
                    problem("open: " + target)


def archive_of(data):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("file")
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
    return archive.getvalue()


def imports(engine, disk, size):
    before, room = disk.files(), disk.room()
    archive = archive_of(os.urandom(size))
    status, answer = engine.call("POST", "/images/create?fromSrc=-&repo=big&tag=latest", archive)
    disk.refused("import", status, answer)
    disk.nothing_left("an import", before, room)


def pulls(engine, disk, size):
    if not shutil.which("docker-registry"):
        return print("SKIP: pull on a full disk: the package docker-registry is not installed", flush=True)
    registry = Registry(engine.folder + "/registry")

    def pull(name):
        return engine.call("POST", "/images/create?fromImage=%s&tag=latest" % name)

    def packed(archive):
        return gzip.compress(archive, 1), archive

    try:
        base = packed(busybox_archive())
        small = os.urandom(2 << 20)
        cases = {
            "a layer without room for what is sent": [packed(archive_of(os.urandom(size)))],
            "a layer without room for what is in it": [packed(archive_of(b"0123456789abcdef" * (size // 16)))],
            "one such layer of three": [packed(archive_of(data)) for data in (small, os.urandom(size), b"small")],
        }
        for number, (what, layers) in enumerate(cases.items()):
            name = registry.put_image("case%d" % number, layers)
            before, room = disk.files(), disk.room()
            disk.refused("a pull of " + what, *pull(name))
            disk.nothing_left("a pull of " + what, before, room)
        name = registry.put_image("small", [base, packed(archive_of(small))])
        before, room = disk.files(), disk.room()
        disk.fill()
        disk.refused("a pull", *pull(name))
        if disk.files() != before:
            problem("a pull on a full disk leaves files: %s" % (set(disk.files()) ^ set(before)))
        disk.free()
        disk.nothing_left("a pull", before, room)
        status, answer = pull(name)
        if status != 200 or b"Downloaded newer image" not in answer:
            problem("with room again, a pull fails: %s %s" % (status, answer))
        engine.call("POST", "/containers/create?name=pulled", {"Image": name, "Cmd": ["busybox", "sha256sum", "/file"]})
        engine.call("POST", "/containers/pulled/start")
        engine.call("POST", "/containers/pulled/wait")
        if engine.logs("pulled").split()[:1] != [hashlib.sha256(small).hexdigest()]:
            problem("with room again, what is pulled is not what was sent: %r" % engine.logs("pulled"))
        engine.call("DELETE", "/containers/pulled?force=1")
        status, answer = engine.call("DELETE", "/images/" + name)
        if status != 200 or disk.files() != before:
            problem("a pulled image cannot be removed: %s %s" % (status, answer))
    finally:
        registry.close()


def commits(engine, disk, size):
    # A container that has written, and is committed when there is no room for its layer.
    engine.call("POST", "/containers/create?name=writer", {
        "Image": "busybox", "Cmd": ["dd", "if=/dev/urandom", "of=/file", "bs=1024", "count=%d" % (size // 8192)]})
    engine.call("POST", "/containers/writer/start")
    engine.call("POST", "/containers/writer/wait")
    before = disk.files()
    disk.fill()
    status, answer = engine.call("POST", "/commit?container=writer&repo=layer", {})
    disk.refused("commit", status, answer)
    status, answer = engine.call("POST", "/containers/create?name=full", {"Image": "busybox", "Cmd": ["true"]})
    if status == 201:  # some kilobytes may do
        engine.call("DELETE", "/containers/full")
    else:
        disk.refused("create", status, answer)
    if engine.call("GET", "/containers/json?all=1")[0] != 200:
        problem("the daemon does not answer with a full disk")
    engine.kill()
    disk.free()
    engine.start()
    if disk.files() != before:
        problem("a commit on a full disk leaves files: %s" % (set(disk.files()) ^ set(before)))


def fill(engine, size):
    """- size: bytes, more than the disk has."""
    disk = Disk(engine)
    engine.start()
    engine.import_busybox()
    imports(engine, disk, size)
    pulls(engine, disk, size)
    commits(engine, disk, size)
    engine.remove_all()
    engine.expect_no_leaks("after a full disk")
    status, answer = engine.call("POST", "/containers/create?name=after", {"Image": "busybox", "Cmd": ["true"]})
    if status != 201 or engine.call("POST", "/containers/after/start")[0] != 204:
        problem("with room again, a container cannot be made: %s" % answer)
    engine.remove_all()
