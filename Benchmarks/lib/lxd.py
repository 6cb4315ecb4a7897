"""Debian's LXD: containers and VMs in one tool."""

import io
import os
import subprocess
import tarfile

import engines
import host


class Lxd:
    """A daemon with folders of its own, a storage pool of plain folders, no network, and the image `busybox`."""

    def __init__(self, scope):
        self.scope = scope
        self.folder = scope.folder / "lxd"
        self.folder.mkdir()
        self.environment = dict(os.environ, LXD_DIR=str(self.folder))
        self.daemon = scope.start(
            [host.path_to("lxd"), "--group", "root"], "lxd", env={"LXD_DIR": str(self.folder)}
        )
        # LXC's own, where it waits between groups; it never removes them.
        scope.defer("remove LXC's groups", lambda: engines.remove_groups("/lxc.pivot"))
        scope.defer("end LXD's containers", lambda: subprocess.run(
            [host.path_to("lxd"), "shutdown", "--timeout", "20"], env=self.environment, check=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        self._run([host.path_to("lxd"), "waitready", "--timeout", "40"])
        self.command("storage", "create", "default", "dir")
        self.command("profile", "device", "add", "default", "root", "disk", "path=/", "pool=default")
        self._import()

    def _run(self, command):
        done = subprocess.run(
            [str(part) for part in command], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=120,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command[1:]))}: {done.stdout.strip()}")
        return done.stdout

    def command(self, *arguments):
        return self._run([host.path_to("lxc"), *arguments])

    def _import(self):
        """The same busybox, with an init that sleeps, which an LXD container needs."""
        tree = engines.busybox_folder(self.scope)
        root, metadata = self.scope.folder / "lxd-root.tar", self.scope.folder / "lxd-metadata.tar"
        with tarfile.open(root, "w") as archive:
            archive.add(tree, ".")
            add(archive, "sbin/init", "#!/bin/sh\nexec sleep 100000\n", 0o755)
        with tarfile.open(metadata, "w") as archive:
            add(archive, "metadata.yaml", "architecture: x86_64\ncreation_date: 1700000000\n", 0o644)
        self.command("image", "import", metadata, root, "--alias", "busybox")

    def obstacle(self):
        """Why LXD starts no VMs here, in its own words; empty when it does."""
        lines = (self.scope.folder / "lxd.log").read_text(errors="replace").splitlines()
        return next((line.split("err=")[1] for line in lines if "driver=qemu" in line and "err=" in line), "")


def add(archive, name, text, mode):
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(text), mode
    archive.addfile(entry, io.BytesIO(text.encode()))
