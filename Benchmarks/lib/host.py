"""The machine that is measured on, and what has to be installed on it."""

import os
import pathlib
import shutil
import subprocess
import time

# The program, or file, that shows a package is there.
PROGRAMS = {
    "crun": "crun",
    "runc": "runc",
    "docker.io": "dockerd",
    "haproxy": "haproxy",
    "wrk": "wrk",
    "docker-registry": "docker-registry",
    "nginx-light": "nginx",
    "mmdebstrap": "mmdebstrap",
    "busybox-static": "busybox",
    "iproute2": "ip",
    "nftables": "nft",
    "util-linux": "nsenter",
    "gcc": "cc", "dpkg-dev": "dpkg-source",
    "libc6-dev": "/usr/include/stdio.h",
    "jmeter": "jmeter", "jmeter-http": "/usr/share/jmeter/lib/ext/ApacheJMeter_http.jar",
    "lxd": "lxd", "lxd-client": "lxc",
    "qemu-system-x86": "qemu-system-x86_64", "squashfs-tools": "mksquashfs", "e2fsprogs": "mkfs.ext4",
}


class Missing(Exception):
    """Something a measure needs is not here; the text says what."""


def path_to(program):
    """The program's path; system folders count even when PATH lacks them."""
    folders = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
    return shutil.which(program, path=folders)


def _is_there(package):
    program = PROGRAMS[package]
    return os.path.exists(program) if program.startswith("/") else path_to(program)


def install(packages):
    """Installs the packages whose program is missing.

    Services that a package would start (Docker's) are kept from starting: they are not ours to run.
    """
    missing = sorted(package for package in packages if not _is_there(package))
    if not missing:
        return
    if os.geteuid() != 0 or not path_to("apt-get"):
        raise Missing(f"install {' '.join(missing)} first")
    print(f"installing {' '.join(missing)}", flush=True)
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    policy = pathlib.Path("/usr/sbin/policy-rc.d")
    is_ours = not policy.exists()
    if is_ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        for command in (
            ["apt-get", "update", "-qq"],
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing],
        ):
            done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            if done.returncode != 0:
                raise Missing(f"{' '.join(command)} failed: {done.stderr.strip().splitlines()[-1:]}")
    finally:
        if is_ours:
            policy.unlink()


def cgroup_mounts():
    """(version 1 mount points by controller, version 2 mount point or None)."""
    version1, version2 = {}, None
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        before, after = line.split(" - ", 1)
        point, kind, options = before.split()[4], after.split()[0], after.split()[2]
        if kind == "cgroup2":
            version2 = point
        elif kind == "cgroup":
            for option in options.split(","):
                if option in ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids"):
                    version1[option] = point
    return version1, version2


def _first_line(command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=10)
        return done.stdout.strip().splitlines()[0]
    except (OSError, IndexError, subprocess.TimeoutExpired):
        return None


def facts(root):
    """What must be known to read the figures."""
    model, cores = "unknown", 0
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            cores += 1
    memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) // 1024
    version1, version2 = cgroup_mounts()
    versions = {
        name: _first_line(command)
        for name, command in {
            "crun": ["crun", "--version"],
            "runc": ["runc", "--version"],
            "docker": ["docker", "--version"],
            "dockerd": [path_to("dockerd") or "dockerd", "--version"],
            "haproxy": [path_to("haproxy") or "haproxy", "-v"],
            "nginx": [path_to("nginx") or "nginx", "-v"],
            "wrk": ["wrk", "-v"],
        }.items()
    }
    versions["skala commit"] = _first_line(["git", "-C", str(root), "describe", "--always", "--dirty"])
    return {
        "cpu": model,
        "cores": cores or os.cpu_count(),
        "memory_mb": memory,
        "kernel": os.uname().release,
        "cgroups": "hybrid" if version1 and version2 else "v1" if version1 else "v2",
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": versions,
    }


def _busy():
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return sum(fields) - idle, sum(fields), fields[7]


def noise():
    """How quiet the machine is: processors' use by others during a second, the host's share, and the spread of a fixed
    piece of work."""
    busy, total, steal = _busy()
    time.sleep(1)
    busy_now, total_now, steal_now = _busy()
    times = []
    for _ in range(200):
        start = time.perf_counter_ns()
        sum(range(20000))
        times.append(time.perf_counter_ns() - start)
    times.sort()
    elapsed = max(1, total_now - total)
    return {
        "busy": round((busy_now - busy) / elapsed, 3),
        "steal": round((steal_now - steal) / elapsed, 3),
        "load": os.getloadavg()[0],
        "spread_p95": round(times[190] / times[0] - 1, 3),
    }
