"""Services with their tasks: how soon they scale and heal, and what their clients notice. With a daemon, and `skala load`."""

import os
import re
import subprocess
import time

import clusters
import host
import jmeter
import machine_rows
import programs
import scope as scoping
from measure import Bar, Measure, Series

ROWS = {}
PACKAGES = ("gcc", "libc6-dev", "busybox-static", "iproute2", "util-linux")
SWARM = (*PACKAGES, "docker.io", "runc")
MACHINES = (*PACKAGES, "qemu-system-x86", "squashfs-tools", "e2fsprogs")
RATE = 500


def row(key, text, packages=PACKAGES):
    def add(function):
        ROWS[key] = (text, packages, function)
        return function

    return add


def ours(bench):
    return bench.once("skala services", lambda: clusters.SkalaServices(bench.skala()))


def theirs(bench):
    return bench.once("swarm services", lambda: clusters.SwarmServices(bench.docker(), bench.scope))


def service(bench, cluster, replicas, isolation="", port=18700, **options):
    """A service that is there while the row is at work."""
    container = {"Isolation": isolation} if isolation else {}
    name = "web"
    published = port if isinstance(cluster, clusters.SkalaServices) else None
    mode = "vip" if published else "dnsrr"
    cluster.create(cluster.spec(name, replicas, mode=mode, port=published, **options, **container))
    bench.local.defer("remove the service", lambda: cluster.remove(name))
    cluster.answering(published or name, replicas)
    return published or name


def seconds(key, name, series, bar, peer="", other=None, note=""):
    details = {"samples": series.summary()}
    if other:
        details["peer_samples"] = other.summary()
    return Measure(key, name, "s", series.median, peer, other.median if other else None, bar, details, note)


# MARK: scaling and healing

def replica(bench, isolation, key, count, limit, note=""):
    cluster = ours(bench)
    port = service(bench, cluster, 2, isolation)
    series = Series()
    for number in range(count):
        start = time.monotonic()
        cluster.scale("web", 3)
        end, _ = cluster.answering(port, 3)
        series.add(end - start)
        cluster.scale("web", 2)
        scoping.wait_until(lambda: len(cluster.containers("web")) == 2, 30, "two tasks", 0.05)
        pause(isolation)
        bench.progress(key, number + 1, count)
    yield seconds(key, f"decision → a new {isolation or 'container'} answers", series, Bar(limit, of="value"), note=note)


def pause(isolation):
    """Until what was taken from the store of spare VMs is there again: nobody kills them one a second."""
    time.sleep(1.5 if isolation else 0.05)


@row("replica", "a service is told to have another replica, until that answers through the balancer")
def replica_container(bench):
    yield from replica(bench, "", "replica", 10, 0.5)


@row("replica-vm", "the same, of microVMs", MACHINES)
def replica_machine(bench):
    engine = machine_rows.ready(bench.skala())
    yield from replica(bench, "microvm", "replica-vm", 5, 2, machine_rows.note(engine))


def healed(cluster, place, replicas):
    start, gone, _ = cluster.kill("web")
    end, _ = cluster.answering(place, replicas, {gone})
    return end - start


@row("heal", "SIGKILL for one of four tasks, until four answer again, beside Docker Swarm", SWARM)
def heal(bench):
    first, second = Series(), Series()
    places = [(ours(bench), first), (theirs(bench), second)]
    names = [service(bench, cluster, 4) for cluster, _ in places]
    for number in range(5):
        for (cluster, series), name in zip(places, names):
            series.add(healed(cluster, name, 4))
            time.sleep(0.2)
        bench.progress("heal", number + 1, 5)
    yield seconds("heal", "SIGKILL of a container → full strength", first, Bar(0.5, of="value"), "Docker Swarm", second)


@row("heal-vm", "SIGKILL for the QEMU of one of three microVMs, until three answer again", MACHINES)
def heal_machine(bench):
    engine = machine_rows.ready(bench.skala())
    cluster = ours(bench)
    port = service(bench, cluster, 3, "microvm")
    series = Series()
    for number in range(5):
        time.sleep(1.5)
        series.add(healed(cluster, port, 3))
        bench.progress("heal-vm", number + 1, 5)
    yield seconds(
        "heal-vm", "SIGKILL of a microVM → full strength", series, Bar(2, of="value"), note=machine_rows.note(engine)
    )


@row("autoscale", "load begins, until the autoscaler decides, and until the new replica answers")
def autoscale(bench):
    cluster = ours(bench)
    decision, answer = Series(), Series()
    for number in range(3):
        spec = cluster.spec(
            "web", 1, port=18700,
            labels={"skala.autoscale.min": "1", "skala.autoscale.max": "2", "skala.autoscale.cpu": "50"},
        )
        # So little that the load is over the target from its first moment on a busy machine, too.
        spec["TaskTemplate"]["Resources"] = {"Limits": {"NanoCPUs": 250_000_000}}
        cluster.create(spec)
        undo = lambda: cluster.remove("web")  # noqa: E731
        bench.local.defer("remove the service", lambda: cluster.containers("web") and cluster.remove("web"))
        cluster.answering(18700, 1)
        time.sleep(1.2)
        load = clusters.Load(bench, f"http://{cluster.address}:18700/work", "-c", "4", "-d", "20s", "--no-keepalive")
        start = time.monotonic()
        scoping.wait_until(
            lambda: cluster.inspect("web")["Spec"]["Mode"]["Replicated"]["Replicas"] == 2, 15, "a decision", 0.01
        )
        decided = time.monotonic()
        end, _ = cluster.answering(18700, 2)
        load.stop()
        decision.add(decided - start)
        answer.add(end - decided)
        undo()
        bench.progress("autoscale", number + 1, 3)
    yield seconds("autoscale", "metric over its target → decision", decision, Bar(2, of="value"),
                  note="counted from the load's begin")
    yield seconds("autoscale-answer", "the autoscaler's decision → the new container answers under that load", answer,
                  Bar(0.5, of="value"))


@row("scale", "from 1 to 100 containers that all answer, beside Docker Swarm", SWARM)
def scale(bench):
    values = []
    for cluster in (ours(bench), theirs(bench)):
        inner = scoping.Scope(bench.local.folder)
        outer, bench.local = bench.local, inner
        try:
            place = service(bench, cluster, 1)
            start = time.monotonic()
            cluster.scale("web", 100)
            end, _ = cluster.answering(place, 100)
            values.append(end - start)
        finally:
            bench.local = outer
            # Docker takes a minute to remove them; its engine is ended anyway.
            if isinstance(cluster, clusters.SkalaServices):
                inner.close()
            else:
                inner.discard()
    yield Measure("scale", "1 → 100 containers, all answering", "s", values[0], "Docker Swarm", values[1],
                  Bar(5, of="value"), {}, "one run each")
    yield Measure("scale-ratio", "how many times faster than Docker Swarm", "×", values[1] / values[0], "", None,
                  Bar(10, of="value", at_most=False))


# MARK: what clients notice

def failed(result):
    kinds = ", ".join(f"{count} {kind}" for kind, count in result["failures"].items())
    return f"{result['requests']} requests, " + (f"failed: {kinds}" if kinds else f"p99 {result['latency']['p99']:.1f} ms")


@row("update", f"failed requests while 10 replicas are updated, and scaled 10 → 2 → 10, under {RATE} requests a second")
def update(bench):
    cluster = ours(bench)
    port = service(bench, cluster, 10)

    def change(spec):
        spec["TaskTemplate"]["ContainerSpec"]["Env"] = ["VERSION=2"]
        spec["UpdateConfig"] = {"Parallelism": 2, "Order": "stop-first", "Monitor": 500000000}

    load = begin(bench, cluster, port)
    cluster.update("web", change)
    scoping.wait_until(
        lambda: cluster.inspect("web").get("UpdateStatus", {}).get("State") == "completed", 60, "the update", 0.05
    )
    time.sleep(0.5)
    result = load.stop()
    yield Measure("update", "failed requests: rolling update of 10 replicas", "", result["failed"], "", None,
                  Bar(0, of="value"), {"load": brief(result)}, failed(result))

    load = begin(bench, cluster, port)
    for replicas in (2, 10):
        cluster.scale("web", replicas)
        scoping.wait_until(lambda: len(cluster.containers("web")) >= replicas == len(cluster.tasks("web")), 60, "the scaling", 0.05)
        time.sleep(1)
    result = load.stop()
    yield Measure("rescale", "failed requests: scaled 10 → 2 → 10", "", result["failed"], "", None,
                  Bar(0, of="value"), {"load": brief(result)}, failed(result))


@row("kill", f"failed requests after SIGKILL of 1 of 4 tasks under {RATE} requests a second, each answered after 20 ms")
def kill(bench):
    cluster = ours(bench)
    port = service(bench, cluster, 4, command=["20"])
    under_way, rounds = 0, 5
    load = begin(bench, cluster, port)
    for number in range(rounds):
        _, gone, there = cluster.kill("web")
        under_way += there
        cluster.answering(port, 4, {gone})
        time.sleep(1.5)
        bench.progress("kill", number + 1, rounds)
    result = load.stop()
    # Whose connection was established with the task and broke was under way on it: nobody else meets a reset or an end.
    # The count from outside is only near: it changes between the look and the signal.
    broken = sum(result["failures"].get(kind, 0) for kind in ("reset", "closed"))
    yield Measure("kill", f"failed requests after {rounds} SIGKILLs of 1 of 4 tasks, beyond those under way on them", "",
                  result["failed"] - broken, "", None, Bar(0, of="value"),
                  {"load": brief(result), "under_way": broken, "counted_under_way": under_way}, failed(result))


def begin(bench, cluster, port):
    """New connections, so that each request is balanced."""
    load = clusters.Load(
        bench, f"http://{cluster.address}:{port}/", "--rate", str(RATE), "--no-keepalive", "-d", "60s",
        "--timeout", "5s", "--interval", "100ms",
    )
    time.sleep(0.5)
    return load


def brief(result):
    return {key: result[key] for key in ("requests", "failures", "latency", "rate")}


# MARK: the load generator itself

def serve(bench):
    """nginx with 1 KiB at port 18701."""
    folder = bench.local.folder
    for one in (bench.scope.folder, folder):
        one.chmod(0o755)
    (folder / "index.html").write_text("x" * 1024)
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
        "events { worker_connections 1024; }\n"
        f"http {{ access_log off; keepalive_requests 10000000; server {{ listen 127.0.0.1:18701; root {folder}; }} }}\n"
    )
    bench.local.start([host.path_to("nginx"), "-c", folder / "nginx.conf"], "nginx")


@row("load", "skala load against wrk: how much it sends, and whether it tells the same of the same load", (*PACKAGES, "wrk", "nginx-light"))
def load(bench):
    serve(bench)
    bench.local.start([programs.compiled("web", static=True), "18702", "10"], "web")
    for port in (18701, 18702):
        scoping.wait_until(lambda port=port: clusters.ask("127.0.0.1", port) is not None, 10, "a server")

    def wrk(url, connections):
        text = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", "-d2s", "--latency", url], check=True, stdout=subprocess.PIPE, text=True
        ).stdout
        milliseconds = {"us": 0.001, "ms": 1, "s": 1000}
        shares = {
            share: float(value) * milliseconds[unit]
            for share, value, unit in re.findall(r"^\s+(\d+)%\s+([\d.]+)(us|ms|s)$", text, re.M)
        }
        return float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)), shares

    def skala(url, connections):
        result = clusters.load(bench, url, "-t", "1", "-c", str(connections), "-d", "2s")
        if result["failed"]:
            raise RuntimeError(failed(result))
        return result["rate"], {share: result["latency"][f"p{share}"] for share in ("50", "90", "99")}

    count = max(3, min(bench.count, 5))
    series = {key: (Series(), Series()) for key in ("rate", "50", "90", "99")}
    for number in range(count):
        sides = [(skala, 0), (wrk, 1)]
        for program, side in sides if number % 2 == 0 else reversed(sides):
            series["rate"][side].add(program("http://127.0.0.1:18701/", 64)[0])
            _, shares = program("http://127.0.0.1:18702/", 16)
            for share in ("50", "90", "99"):
                series[share][side].add(shares[share])
        bench.progress("load", number + 1, count)
    first, second = series["rate"]
    yield Measure("load", "skala load, one thread", "req/s", first.median, "wrk", second.median, Bar(0.5, at_most=False),
                  {"samples": first.summary(), "peer_samples": second.summary()}, "64 connections that stay, 1 KiB, nginx")
    for share in ("50", "90", "99"):
        first, second = series[share]
        ratio = first.median / second.median
        yield Measure(f"load-p{share}", f"its {share}th percentile", "ms", first.median, "wrk", second.median,
                      Bar(1.05) if ratio >= 1 else Bar(0.95, at_most=False),
                      {"samples": first.summary(), "peer_samples": second.summary()},
                      "16 connections, answers after 10 ms; wrk corrects what is above the mean interval, so stalls tell them apart")


@row("jmeter", "skala load and wrk against JMeter: requests a second, and for a second of their processor",
     (*PACKAGES, *jmeter.PACKAGES, "wrk", "nginx-light"))
def against_jmeter(bench):
    serve(bench)
    scoping.wait_until(lambda: clusters.ask("127.0.0.1", 18701) is not None, 10, "a server")
    url = "http://127.0.0.1:18701/"

    def timed(command, pattern):
        """(requests a second, requests a second of processor time) of a program that tells the first."""
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        text = process.stdout.read()
        process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise RuntimeError(f"{command[0]} ended with {process.returncode}")
        rate = float(re.search(pattern, text).group(1))
        return rate, rate * jmeter.INTERVAL / (usage.ru_utime + usage.ru_stime)

    seconds = f"{jmeter.INTERVAL}s"
    skala = [str(bench.binaries / "skala"), "load", "--json", "-t", "1", "-c", "64", "-d", seconds, url]
    sides = [
        lambda: timed(skala, r'"rate":\s*([\d.]+)'),
        lambda: timed(["wrk", "-t1", "-c64", f"-d{seconds}", url], r"Requests/sec:\s+([\d.]+)"),
        lambda: jmeter.load(bench, "127.0.0.1", 18701, 64),
    ]
    rates, efforts = [Series() for _ in sides], [Series() for _ in sides]
    count = max(2, min(bench.count, 3))
    for number in range(count):
        for index in range(3) if number % 2 == 0 else reversed(range(3)):
            rate, effort = sides[index]()
            rates[index].add(rate)
            efforts[index].add(effort)
        bench.progress("jmeter", number + 1, count)

    def measure(key, name, series, peer, bar, note):
        other = series[2 if peer == "JMeter" else 1]
        return Measure(key, name, "req/s", series[0].median, peer, other.median, bar,
                       {"samples": series[0].summary(), "peer_samples": other.summary()}, note)

    note = "64 connections that stay, 1 KiB, nginx; JMeter warm, without a result file"
    yield measure("jmeter", "skala load, for a second of its processor", efforts, "JMeter", Bar(5, at_most=False), note)
    yield measure("jmeter-wrk", "skala load, for a second of its processor", efforts, "wrk", Bar(0.5, at_most=False), note)
    yield measure("jmeter-rate", "skala load, one thread", rates, "JMeter", None,
                  "nginx has one processor, and is what limits skala load and wrk; JMeter's threads use all")
