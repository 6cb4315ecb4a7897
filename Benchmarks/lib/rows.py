"""What is measured. Each function is one row or a few that share their preparation."""

import json
import os
import pathlib
import re
import subprocess
import threading
import time

import api
import engines
import host
import programs
import registry
import scope as scoping
from measure import Bar, Measure, Series

ROWS = {}


def row(key, text, packages=()):
    def add(function):
        ROWS[key] = (text, ("gcc", "libc6-dev", "busybox-static", "iproute2", "util-linux", *packages), function)
        return function

    return add


def timed(action):
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def milliseconds(bench, key, name, peer, ours, theirs, bar, note=""):
    """A measure of two alternating series of seconds, told in milliseconds."""
    first, second = bench.alternate(name, ours, theirs, scale=1000)
    return Measure(
        key, name, "ms", first.median, peer, second.median, bar,
        {"samples": first.summary(), "peer_samples": second.summary()}, note,
    )


@row("warden", "one container through the resident warden against the bare kernel calls", ["runc"])
def warden(bench):
    lower = engines.busybox_folder(bench.scope)
    bare = programs.Bare(bench.local, lower, f"/skala-bench-bare-{os.getpid()}")
    warden = engines.Warden(bench.local, bench.binaries)
    spec = engines.warden_spec(["busybox", "true"])
    removal, bare_removal = Series(), Series()
    count = 0

    def ours():
        nonlocal count
        count += 1
        folder = bench.local.folder / f"layer{count}"
        for name in ("upper", "work"):
            (folder / name).mkdir(parents=True)
        container = f"{count:064x}"
        # Encoded before the clock starts: what is measured is the warden.
        request = warden.encode(
            "create", id=container, spec=spec, start=True, io={"log": {"path": str(folder / "log")}},
            rootfs={"lower": [str(lower)], "upper": str(folder / "upper"), "work": str(folder / "work")},
        )
        start = time.perf_counter()
        warden.socket.sendall(request)
        while True:
            kind, _, payload = warden.frame()
            if kind == warden.FAILURE:
                raise RuntimeError(payload.decode())
            if kind == warden.EVENT and b'"exit"' in payload:
                break
        elapsed = time.perf_counter() - start
        if json.loads(payload)["exitCode"] != 0:
            raise RuntimeError(f"the container failed: {payload.decode()}")
        removal.add(timed(lambda: warden.request("delete", id=container)) * 1000)
        return elapsed

    def theirs():
        elapsed = timed(bare.run)
        bare_removal.add(timed(bare.cleaned) * 1000)
        return elapsed

    hello = Series()
    for _ in range(50):
        hello.add(timed(lambda: warden.request("hello", version="1")) * 1e6)
    measure = milliseconds(
        bench, "warden", "container through the warden, create to exit", "bare calls", ours, theirs, Bar(2.0)
    )
    measure.details["removal_ms"] = {"value": removal.summary(), "peer": bare_removal.summary()}
    measure.details["protocol_round_trip_us"] = hello.summary()
    yield measure


@row("runtime", "skala-runtime run against crun run and runc run", ["crun", "runc"])
def runtime(bench):
    bundle = engines.runtime_bundle(bench.scope)
    # crun refuses a host with both versions of control groups: it and Skala then see version 1 only.
    views = {"crun": programs.Spawner(bench.local, version1_only=True), "runc": programs.Spawner(bench.local)}
    program = bench.binaries / "skala-runtime"
    count = 0

    def run(binary, name, view):
        def once():
            nonlocal count
            count += 1
            folder = bench.local.folder / f"{name}-state"
            folder.mkdir(exist_ok=True)
            return views[view].run([binary, "--root", folder, "run", "--bundle", bundle, f"bench{count}"])

        return once

    for peer, limit in (("crun", 0.7), ("runc", 0.2)):
        yield milliseconds(
            bench, f"runtime-{peer}", f"skala-runtime run of busybox true ({peer})", f"{peer} run",
            run(program, "skala", peer), run(host.path_to(peer), peer, peer), Bar(limit),
        )


@row("run", "skala run --rm against docker run --rm, without network and on the bridge", ["docker.io", "runc"])
def run(bench):
    skala, docker = bench.skala(), bench.docker()
    client = host.path_to("docker")
    spawner = programs.Spawner(bench.local, env=dict(os.environ, DOCKER_HOST="", SKALA_HOST=f"unix://{skala.socket}"))
    note, suffix = "", ""
    ours = [bench.binaries / "skala", "--host", f"unix://{skala.socket}"]
    says = subprocess.run([*ours, "run", "--rm", "busybox", "busybox", "echo", "works"], stdout=subprocess.PIPE, text=True).stdout
    if says.strip() != "works":
        ours, suffix = [client, "-H", f"unix://{skala.socket}"], " (docker CLI as a stand-in)"
        note = "the skala command has no `run` yet: the docker CLI spoke to Skala's socket"
    theirs = [client, "-H", f"unix://{docker.socket}"]
    for key, name, network, limit in (
        ("run-none", "skala run --rm, no network", ["--network", "none"], 0.05),
        ("run-bridge", "skala run --rm, bridge network", [], 0.08),
    ):
        yield milliseconds(
            bench, key, name + suffix, "docker run --rm",
            lambda: spawner.run([*ours, "run", "--rm", *network, "busybox", "true"]),
            lambda: spawner.run([*theirs, "run", "--rm", *network, "busybox", "true"]),
            Bar(limit), note,
        )


@row("rate", "containers a second through the API, two at a time, on the bridge", ["docker.io", "runc"])
def rate(bench):
    skala, docker = bench.skala(), bench.docker()

    def round_of(engine, count):
        """Containers a second, with two clients that share the work."""
        errors = []

        def work():
            client = api.Client(engine.socket)
            try:
                for _ in range(count):
                    client.run_once(["true"])
            except Exception as error:  # noqa: BLE001 told below
                errors.append(error)
            finally:
                client.close()

        threads = [threading.Thread(target=work) for _ in range(2)]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed = time.perf_counter() - start
        if errors:
            raise errors[0]
        return 2 * count / elapsed

    processor = time.process_time()
    started = time.perf_counter()
    client_share = []

    def ours():
        nonlocal processor, started
        processor, started = time.process_time(), time.perf_counter()
        value = round_of(skala, 25)
        client_share.append((time.process_time() - processor) / (time.perf_counter() - started))
        return value

    first, second = bench.alternate("containers a second", ours, lambda: round_of(docker, 2))
    yield Measure(
        "rate", "containers a second, 2 at a time, bridge", "/s", first.median, "docker", second.median,
        Bar(15, at_most=False),
        {
            "samples": first.summary(), "peer_samples": second.summary(),
            "client_processor_share": round(sorted(client_share)[len(client_share) // 2], 3),
        },
        "each sample is 50 containers of Skala's and 4 of Docker's",
    )


IDLE = 1000


@row("idle", "memory of idle containers, 1,000 of them started and listed", ["docker.io", "runc"])
def idle(bench):
    skala, docker = bench.skala(), bench.docker()
    yield from idle_skala(bench, skala, idle_docker(bench, docker))


def idle_docker(bench, docker):
    """(bytes an idle container of Docker's costs, the shim's part)"""
    count = 10
    before, _ = docker.memory()
    containers = []
    for index in range(count):
        containers.append(docker.api.create(["sleep", "100000"]))
        docker.api.start(containers[-1])
        bench.progress("idle containers of Docker's", index + 1, count)
    time.sleep(1)
    daemons, shims = docker.memory()
    for container in containers:
        docker.api.remove(container, force=True)
    return (daemons - before + shims) / count, shims / count


def idle_skala(bench, skala, peer):
    # The first containers make code and pools resident; they are no container's cost.
    for _ in range(20):
        skala.api.run_once(["true"])
    time.sleep(1)
    base = skala.memory()
    total = IDLE if bench.count >= 30 else max(60, bench.count * IDLE // 30)
    memory_at, done, lock, errors = {}, [0], threading.Lock(), []
    checkpoints = sorted({total // 10, total // 2, total})
    elapsed = 0.0

    def work(until):
        client = api.Client(skala.socket)
        try:
            while not bench.interrupted:
                with lock:
                    if done[0] >= until:
                        return
                    done[0] += 1
                client.start(client.create(["sleep", "100000"]))
                bench.progress("idle containers", done[0], total)
        except Exception as error:  # noqa: BLE001 told below
            errors.append(error)
        finally:
            client.close()

    for until in checkpoints:
        threads = [threading.Thread(target=work, args=(until,)) for _ in range(2)]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed += time.perf_counter() - start
        if errors:
            raise errors[0]
        time.sleep(1)
        memory_at[until] = skala.memory()
    each = (memory_at[total] - base) / total
    listing = Series()
    client = api.Client(skala.socket)
    for _ in range(bench.count + 3):
        start = time.perf_counter()
        _, body = client.request("GET", "/containers/json")
        listing.add((time.perf_counter() - start) * 1000)
    listing.samples = listing.samples[3:]
    listed = len(json.loads(body))
    if listed != total:
        raise RuntimeError(f"{listed} containers listed of {total}")
    note = "" if total == IDLE else f"with {total} containers instead of {IDLE}"
    yield Measure(
        "memory", "memory beside the payload, idle container", "kB", each / 1000, "docker", peer[0] / 1000,
        Bar(100, of="value"), {"containers": total, "docker_shim_kb": round(peer[1] / 1000)}, note,
    )
    yield Measure(
        "memory-500", "daemon and warden with 500 idle containers", "MB", memory_at[total // 2] / 1e6, "", None,
        Bar(80, of="value"),
        {"empty_mb": round(base / 1e6, 1), "at": {str(key): round(value / 1e6, 1) for key, value in memory_at.items()}},
        note,
    )
    yield Measure(
        "start-1000", "1,000 idle containers started, bridge", "s", elapsed, "", None, Bar(40, of="value"), {},
        note or "one run",
    )
    yield Measure(
        "list-1000", "1,000 containers listed", "ms", listing.median, "", None, Bar(100, of="value"),
        {"samples": listing.summary(), "bytes": len(body)}, note,
    )
    remaining = [one["Id"] for one in skala.api.call("GET", "/containers/json?all=true")]
    for index, container in enumerate(remaining):
        skala.api.remove(container, force=True)
        bench.progress("removing idle containers", index + 1, len(remaining))


@row("pull", "pull and unpack of a Debian layer from loopback", ["docker.io", "runc", "docker-registry"])
def pull(bench):
    packed, diff_id = registry.debian_layer()
    skala, docker = bench.skala(), bench.docker()
    storage = bench.local.folder / "registry"
    ours_at = registry.Registry(bench.local, "registry", 5809, storage)
    registry.push(ours_at.address, packed, diff_id)
    # Docker's loopback is another one: a second registry on the same files.
    theirs_at = registry.Registry(bench.local, "registry-docker", 5809, storage, docker.namespace)

    def once(engine, address):
        name = f"{address}/{registry.REPOSITORY}"

        def run():
            # What earlier writes left for the disk is not this pull's.
            os.sync()
            elapsed = timed(lambda: engine.api.pull(name, registry.TAG))
            engine.api.call("DELETE", f"/images/{name}:{registry.TAG}")
            return elapsed

        return run

    yield milliseconds(
        bench, "pull", f"pull of a Debian layer ({packed.stat().st_size / 1e6:.0f} MB packed)", "docker pull",
        once(skala, ours_at.address), once(docker, theirs_at.address), Bar(0.6),
    )


@row("ports", "a published port against HAProxy in TCP mode", ["haproxy", "wrk", "nginx-light"])
def ports(bench):
    skala = bench.skala()
    container = skala.api.create(["sleep", "100000"], PortBindings={"80/tcp": [{"HostPort": "18080"}]})
    bench.local.defer("remove the web container", lambda: skala.api.remove(container, force=True))
    skala.api.start(container)
    about = skala.api.call("GET", f"/containers/{container}/json")
    address = about["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    folder = bench.local.folder / "www"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    for parent in (bench.scope.folder, bench.local.folder):
        parent.chmod(0o755)
    (folder / "file").write_bytes(b"x" * 1024)
    configuration = bench.local.folder / "nginx.conf"
    configuration.write_text(
        f"daemon off; worker_processes 2; pid {bench.local.folder}/nginx.pid; error_log stderr;\n"
        "events { worker_connections 1024; }\n"
        f"http {{ access_log off; keepalive_requests 1000000; server {{ listen 80; root {folder}; }} }}\n"
    )
    # The distribution's nginx, in the container's network.
    bench.local.start(
        ["nsenter", f"--net=/proc/{about['State']['Pid']}/ns/net", host.path_to("nginx"), "-c", configuration], "nginx"
    )
    proxy = bench.local.folder / "haproxy.cfg"
    proxy.write_text(
        "global\n  maxconn 4096\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n"
        f"  timeout server 60s\nlisten web\n  bind {skala.gateway}:18081\n  server web {address}:80\n"
    )
    bench.local.start([host.path_to("haproxy"), "-db", "-f", proxy], "haproxy")

    def requests(url, seconds=1):
        done = subprocess.run(
            [host.path_to("wrk"), "-t2", "-c64", f"-d{seconds}s", url], stdout=subprocess.PIPE, text=True, check=True
        )
        if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
            raise RuntimeError(f"wrk {url}: {done.stdout}")
        return float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout).group(1))

    urls = [f"http://{skala.gateway}:{port}/file" for port in (18080, 18081)]

    def answers():
        return all(
            subprocess.run(["wrk", "-t1", "-c1", "-d1s", url], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.find("requests in")
            > 0
            for url in urls
        )

    scoping.wait_until(answers, 10, "nginx behind both")
    first, second = bench.alternate("requests a second", lambda: requests(urls[0]), lambda: requests(urls[1]))
    direct = Series()
    for _ in range(3):
        direct.add(requests(f"http://{address}/file"))
    yield Measure(
        "ports", "published port, requests a second (64 connections, 1 KiB)", "/s", first.median, "HAProxy TCP",
        second.median, Bar(1.2, at_most=False),
        {"samples": first.summary(), "peer_samples": second.summary(), "direct": direct.summary()},
        "wrk, nginx and the path between share the processors",
    )
