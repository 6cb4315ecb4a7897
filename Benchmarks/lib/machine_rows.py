"""What is measured of virtual machines; as `rows`, of the suite `machines`."""

import re
import subprocess
import threading
import time

import api
import host
import programs
import scope as scoping
from measure import Bar, Measure, Series
from rows import milliseconds, timed

ROWS = {}
PACKAGES = ("gcc", "libc6-dev", "busybox-static", "iproute2", "util-linux", "qemu-system-x86", "squashfs-tools",
            "e2fsprogs", "docker.io", "runc", "lxd", "lxd-client")
RUNNING = 50


def row(key, text):
    def add(function):
        ROWS[key] = (text, PACKAGES, function)
        return function

    return add


def ready(engine):
    """The daemon, with its kernel and template made, and under emulation the checkpoint that VMs continue from."""
    run(engine)
    run(engine)
    deadline = time.monotonic() + 20
    while note(engine).endswith("emulation") and not logged(engine, r"from a checkpoint, made in ([0-9]+) ms"):
        if time.monotonic() > deadline:
            break  # then VMs are clones, which the figures tell
        time.sleep(0.1)
    return engine


def run(engine):
    engine.api.run_once(["true"], Runtime="microvm")


def note(engine):
    accelerator = engine.api.call("GET", "/info").get("Accelerator", "?")
    return "under software emulation" if accelerator == "tcg" else f"on {accelerator}"


def logged(engine, pattern):
    """Every match of what the daemon logged, as numbers."""
    return [float(value) for value in re.findall(pattern, engine.log.read_text(errors="replace"))]


@row("microvm", "skala run --rm --isolation microvm against docker run --rm of a plain container, on the bridge")
def microvm(bench):
    engine, docker = ready(bench.skala()), bench.docker()
    spawner = programs.Spawner(bench.local)
    ours = [bench.binaries / "skala", "--host", f"unix://{engine.socket}", "run", "--rm", "--isolation", "microvm"]
    theirs = [host.path_to("docker"), "-H", f"unix://{docker.socket}", "run", "--rm"]

    def once():
        # A user's next start does not follow within milliseconds: the spare VM that replaces the one taken is ready.
        time.sleep(1)
        return spawner.run([*ours, "busybox", "true"])

    yield milliseconds(
        bench, "microvm", "skala run --rm --isolation microvm", "docker run --rm", once,
        lambda: spawner.run([*theirs, "busybox", "true"]), Bar(0.5), note(engine),
    )


@row("clone", "a new clone, QEMU's start to its warden's answer, against docker run --net none of a plain container")
def clone(bench):
    engine, docker = ready(bench.skala_without_spares()), bench.docker()
    spawner = programs.Spawner(bench.local)
    theirs = [host.path_to("docker"), "-H", f"unix://{docker.socket}", "run", "--rm", "--net", "none", "busybox", "true"]

    def ours():
        run(engine)
        return logged(engine, r"VM [0-9a-f]+: clone ([0-9.]+) ms")[-1] / 1000

    measure = milliseconds(
        bench, "clone", "clone, spawn to answer", "docker run --rm, no network", ours, lambda: spawner.run(theirs),
        Bar(0.3), note(engine),
    )
    boots = logged(engine, r"the template \S+ is ready after ([0-9.]+) s")
    measure.details["cold_boot_s"] = boots
    yield measure


@row("pod", "the second container in a running pod, skala run --rm, against docker run --rm of a plain container")
def pod(bench):
    engine, docker = bench.skala(), bench.docker()
    spawner = programs.Spawner(bench.local)
    annotations = {"skala.pod": "bench"}
    first = engine.api.create(["sleep", "100000"], Runtime="pod", Annotations=annotations)
    engine.api.start(first)
    ours = [bench.binaries / "skala", "--host", f"unix://{engine.socket}", "run", "--rm", "--pod", "bench"]
    theirs = [host.path_to("docker"), "-H", f"unix://{docker.socket}", "run", "--rm"]
    yield milliseconds(
        bench, "pod", "skala run --rm --pod, the pod runs", "docker run --rm",
        lambda: spawner.run([*ours, "busybox", "true"]), lambda: spawner.run([*theirs, "busybox", "true"]),
        Bar(0.5), note(engine),
    )
    engine.api.remove(first, force=True)


@row("exec", "skala exec in a microVM against docker exec in a plain container")
def execute(bench):
    engine, docker = ready(bench.skala()), bench.docker()
    spawner = programs.Spawner(bench.local)
    mine = engine.api.create(["sleep", "100000"], Runtime="microvm")
    other = docker.api.create(["sleep", "100000"])
    engine.api.start(mine)
    docker.api.start(other)
    yield milliseconds(
        bench, "exec", "skala exec in a microVM", "docker exec",
        lambda: spawner.run([bench.binaries / "skala", "--host", f"unix://{engine.socket}", "exec", mine, "true"]),
        lambda: spawner.run([host.path_to("docker"), "-H", f"unix://{docker.socket}", "exec", other, "true"]),
        Bar(0.5), note(engine),
    )
    engine.api.remove(mine, force=True)
    docker.api.remove(other, force=True)


@row("lxd", "a microVM started and removed against the same by LXD, which starts containers here")
def lxd(bench):
    engine, peer = ready(bench.skala()), bench.lxd()
    spawner = programs.Spawner(bench.local)
    theirs = programs.Spawner(bench.local, env=peer.environment)
    skala = [bench.binaries / "skala", "--host", f"unix://{engine.socket}"]
    starts, removals = (Series(), Series()), (Series(), Series())

    def ours():
        # As above: the spare VM that replaces the one taken is ready.
        time.sleep(1)
        starts[0].add(1000 * spawner.run(
            [*skala, "run", "-d", "--name", "one", "--network", "none", "--isolation", "microvm", "busybox", "sleep",
             "100000"]))
        removals[0].add(1000 * spawner.run([*skala, "rm", "-f", "one"]))
        return starts[0].samples[-1]

    def other():
        starts[1].add(1000 * theirs.run([host.path_to("lxc"), "launch", "busybox", "one"]))
        removals[1].add(1000 * theirs.run([host.path_to("lxc"), "delete", "-f", "one"]))
        return starts[1].samples[-1]

    first, second = bench.alternate("lxd", ours, other)
    obstacle = peer.obstacle()
    about = note(engine) + (f"; LXD starts no VMs here: {obstacle}" if obstacle else "")
    yield Measure(
        "lxd-start", "skala run -d --isolation microvm", "ms", first.median, "lxc launch, a container", second.median,
        None, {"samples": first.summary(), "peer_samples": second.summary()}, about,
    )
    yield Measure(
        "lxd-remove", "skala rm -f of the microVM", "ms", removals[0].median, "lxc delete -f", removals[1].median, None,
        {"samples": removals[0].summary(), "peer_samples": removals[1].summary()}, about,
    )


COPIES = 10


@row("snapshot", f"a running microVM of 256 MB: how long a snapshot stops it, and {COPIES} clones of it, all answering")
def snapshot(bench):
    engine = ready(bench.skala_without_spares())
    skala = [bench.binaries / "skala", "--host", f"unix://{engine.socket}"]
    spawner = programs.Spawner(bench.local)
    source = engine.api.create(["sleep", "100000"], Runtime="microvm")
    engine.api.start(source)
    for number in range(max(3, min(bench.count, 10))):
        spawner.run([*skala, "snapshot", source, f"s{number}"])
        spawner.run([*skala, "snapshot", "rm", source, f"s{number}"])
    pauses = Series()
    for value in logged(engine, r"its container for ([0-9]+) us"):
        pauses.add(value / 1000)
    yield Measure(
        "snapshot-pause", "a snapshot with memory: the container stands still", "ms", pauses.median, "", None,
        Bar(300, of="value"), {"samples": pauses.summary()}, note(engine),
    )
    elapsed = Series()
    for number in range(3):
        names = [f"copy{number}-{copy + 1}" for copy in range(COPIES)]

        def clones():
            spawner.run([*skala, "clone", source, f"copy{number}", "--count", str(COPIES)])
            for name in names:
                spawner.run([*skala, "exec", name, "true"])

        elapsed.add(timed(clones))
        for name in names:
            engine.api.remove(name, force=True)
    yield Measure(
        "snapshot-clones", f"{COPIES} clones of a running microVM, all answering", "s", elapsed.median, "", None,
        Bar(3, of="value"), {"samples": elapsed.summary()}, note(engine),
    )
    engine.api.remove(source, force=True)


FILE_BYTES = 500 << 20


@row("disk", "reads of the root disk: a file of 500 MB of the image, in a microVM and in a container")
def disk(bench):
    engine = ready(bench.skala())
    engine.api.import_image(disk_archive(bench), "files")
    pairs = {"sequential": (Series(), Series()), "random": (Series(), Series())}
    for _ in range(max(3, min(bench.count, 7))):
        for index, runtime in enumerate(("microvm", "container")):
            sequential, size, random, reads = read_once(engine, runtime)
            pairs["sequential"][index].add(size / sequential * 1000)
            pairs["random"][index].add(reads / random * 1e9)
    # In both the host has the file in its page cache by then; a fresh VM's own is empty.
    for kind, unit, name in (
        ("sequential", "MB/s", "sequential read of 500 MB"), ("random", "1/s", "random reads of 4 KiB"),
    ):
        first, second = pairs[kind]
        yield Measure(
            f"disk-{kind}", f"{name} in a microVM", unit, first.median, "in a container", second.median, None,
            {"samples": first.summary(), "peer_samples": second.summary()}, note(engine),
        )
    engine.api.call("DELETE", "/images/files?force=1")


def read_once(engine, runtime):
    """(ns, bytes, ns, reads) of diskread.c in a new container."""
    container = engine.api.create(["/diskread", "/file"], image="files", Runtime=runtime)
    engine.api.start(container)
    status = engine.api.wait(container)
    output = engine.api.request("GET", f"/containers/{container}/logs?stdout=1")[1][8:]
    engine.api.remove(container)
    if status != 0:
        raise RuntimeError(f"diskread ended with {status}")
    return [int(number) for number in output.split()]


def disk_archive(bench):
    """The image: diskread, static, and a file that does not compress."""
    folder = bench.local.folder / "files"
    folder.mkdir()
    programs.compiled("diskread", static=True, target=folder / "diskread")
    with open("/dev/urandom", "rb") as source, open(folder / "file", "wb") as target:
        for _ in range(FILE_BYTES >> 20):
            target.write(source.read(1 << 20))
    archive = bench.local.folder / "files.tar"
    subprocess.run(["tar", "-C", folder, "-cf", archive, "."], check=True)
    return archive.read_bytes()


@row("running", f"{RUNNING} microVMs: started, all answering, and the memory of each")
def running(bench):
    engine = ready(bench.skala_without_spares())
    total = RUNNING if bench.count >= 30 else max(4, bench.count)
    containers = [engine.api.create(["sleep", "100000"], Runtime="microvm") for _ in range(total)]
    left, lock, errors = list(containers), threading.Lock(), []

    def work():
        client = api.Client(engine.socket)
        try:
            while True:
                with lock:
                    if not left:
                        return
                    container = left.pop()
                # Answered when the VM's warden has started the program.
                client.start(container)
                bench.progress("microVMs", total - len(left), total)
        except Exception as error:  # noqa: BLE001 told below
            errors.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    elapsed = timed(lambda: [thread.start() for thread in threads] + [thread.join() for thread in threads])
    if errors:
        raise errors[0]
    time.sleep(2)
    pids = [engine.api.call("GET", f"/containers/{container}/json")["State"]["Pid"] for container in containers]
    each = Series()
    for pid in pids:
        each.add(scoping.proportional_memory(pid) / 1e6)
    about = "" if total == RUNNING else f"with {total} instead of {RUNNING}; "
    yield Measure(
        "running-start", f"{RUNNING} microVMs started, all answering", "s", elapsed, "", None, Bar(12, of="value"),
        {"machines": total}, about + note(engine),
    )
    yield Measure(
        "running-memory", "memory of an idle microVM, proportional", "MB", each.median, "", None, Bar(28, of="value"),
        {"samples": each.summary()}, about + note(engine),
    )
    for container in containers:
        engine.api.remove(container, force=True)
