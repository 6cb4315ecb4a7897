"""Everything that is made is removed again, in reverse order."""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time


class Scope:
    """A folder of one's own, and what has to be undone."""

    def __init__(self, parent):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="skala-bench-", dir=parent))
        self._undo = []
        self.defer("remove the folder", self._remove_folder)

    def defer(self, what, action):
        self._undo.append((what, action))

    def mount_disk(self, gigabytes=16):
        """Puts a file system of its own over the folder: ext4 with its defaults in a sparse file.

        The host's might be unusual, and what was deleted there before would change the figures: ext4 without a journal
        looks at every inode freed in the last minutes before it takes one.

        Returns what the folder is on.
        """
        image = self.folder.with_suffix(".img")
        try:
            with open(image, "wb") as file:
                file.truncate(gigabytes << 30)
            for command in (
                ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image],
                ["mount", "-o", "loop", image, self.folder],
            ):
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        except (OSError, subprocess.CalledProcessError):
            image.unlink(missing_ok=True)
            return "the host's"
        self.defer("unmount the disk", lambda: subprocess.run(["umount", "-l", self.folder], check=True))
        image.unlink()
        return "ext4 in a file"

    def discard(self):
        """Forgets what has to be undone: it goes with something larger."""
        self._undo.clear()

    def close(self):
        """Undoes all; a failure is told and does not stop the rest."""
        while self._undo:
            what, action = self._undo.pop()
            try:
                action()
            except Exception as error:  # noqa: BLE001 the rest must be undone too
                print(f"  could not {what}: {error}", flush=True)

    def start(self, command, name, env=None):
        """Starts a program of its own session, with its output in a file; it is ended with the scope."""
        log = open(self.folder / f"{name}.log", "ab")
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=dict(os.environ, **(env or {})),
        )
        log.close()
        self.defer(f"end {name}", lambda: end(process))
        return process

    def log_tail(self, name):
        text = (self.folder / f"{name}.log").read_text(errors="replace").strip()
        return "\n".join(text.splitlines()[-5:])

    def _remove_folder(self):
        unmount_below(self.folder)
        shutil.rmtree(self.folder)


def end(process, seconds=15):
    """SIGTERM, then SIGKILL."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(seconds)


def end_pid(pid, seconds=10):
    """Ends a process that is not our child."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not os.path.exists(f"/proc/{pid}") or state(pid) == "Z":
                return
            time.sleep(0.02)


def state(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"


def processes_with(program, argument):
    """Ids of processes of a program whose command line names `argument`."""
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            arguments = pathlib.Path(entry.path, "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if os.path.basename(arguments[0].decode(errors="replace")) != program:
            continue
        if any(argument.encode() in part for part in arguments[1:]):
            found.append(int(entry.name))
    return sorted(found)


def unmount_below(folder):
    """Unmounts everything below a folder, the latest first."""
    points = []
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].encode().decode("unicode_escape")
        if point.startswith(str(folder) + "/"):
            points.append(point)
    for point in reversed(points):
        subprocess.run(["umount", "-l", point], stderr=subprocess.DEVNULL, check=False)


def wait_until(condition, seconds, what, interval=0.01):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not within {seconds} s")
        time.sleep(interval)


def proportional_memory(pid):
    """The process' share of the memory it has mapped, in bytes."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no Pss of process {pid}")
