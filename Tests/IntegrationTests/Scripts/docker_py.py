"""docker-py against the engine in DOCKER_HOST; names start with the first argument."""
import io
import sys
import tarfile
import threading

import docker

prefix = sys.argv[1]
client = docker.from_env()
assert client.ping()
assert client.info()["OSType"] == "linux"
assert client.containers.run("busybox", "echo hi", remove=True) == b"hi\n"

try:
    client.containers.run("busybox", "sh -c 'echo bad >&2; exit 3'", remove=True)
    raise SystemExit("no ContainerError")
except docker.errors.ContainerError as error:
    assert error.exit_status == 3 and b"bad" in error.stderr

try:
    client.containers.get("nosuch")
    raise SystemExit("no NotFound")
except docker.errors.NotFound:
    pass

network = client.networks.create(prefix + "n", driver="bridge", labels={"l": "m"})
volume = client.volumes.create(prefix + "v")
container = client.containers.run(
    "busybox", "sh -c 'echo up; cat >/tmp/in; sleep 1000'", name=prefix + "a", detach=True, stdin_open=True,
    network=network.name, volumes={volume.name: {"bind": "/data", "mode": "rw"}}, environment={"A": "1"},
    ports={"80/tcp": ("127.0.0.1", None)}, mem_limit="64m", labels={"k": "v"},
    healthcheck={"test": ["CMD", "true"], "interval": 200000000})
assert container.status in ("created", "running")
container.reload()
assert container.status == "running" and container.labels == {"k": "v"}
assert container.attrs["HostConfig"]["Memory"] == 64 << 20
assert container.ports["80/tcp"][0]["HostIp"] == "127.0.0.1"
code, output = container.exec_run(["sh", "-c", "echo $A; echo err >&2; exit 4"], demux=True)
assert (code, output) == (4, (b"1\n", b"err\n")), (code, output)
code, stream = container.exec_run("seq 5000", stream=True)
assert b"".join(stream).split()[-1] == b"5000"
sock = client.api.exec_start(client.api.exec_create(container.id, "cat", stdin=True)["Id"], socket=True)
sock._sock.sendall(b"ping\n")
assert b"ping\n" in sock._sock.recv(100)
sock.close()

archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w") as tar:
    entry = tarfile.TarInfo("file")
    entry.size = 5
    tar.addfile(entry, io.BytesIO(b"hello"))
assert container.put_archive("/data", archive.getvalue())
bits, stat = container.get_archive("/data/file")
assert stat["size"] == 5
with tarfile.open(fileobj=io.BytesIO(b"".join(bits))) as tar:
    assert tar.extractfile("file").read() == b"hello"

assert container.top()["Processes"]
assert container.stats(stream=False)["memory_stats"]["usage"] > 0
assert next(container.stats(decode=True))["pids_stats"]["current"] >= 1
assert "up" in container.logs().decode()
assert container in client.containers.list(filters={"label": "k=v", "name": prefix})
assert {"Path": "/tmp/in", "Kind": 1} in container.diff()

events = client.events(decode=True, filters={"container": container.name})
timer = threading.Timer(10, events.close)
timer.start()
container.pause()
container.unpause()
assert [next(events)["Action"], next(events)["Action"]] == ["pause", "unpause"]
timer.cancel()
events.close()
container.update(mem_limit="80m", memswap_limit="80m")
container.rename(prefix + "b")
image = container.commit(repository=prefix + "i", tag="t")
assert image.tags == [prefix + "i:t"]
saved = io.BytesIO(b"".join(image.save(named=True)))
client.images.remove(prefix + "i:t")
assert client.images.load(saved.getvalue())[0].tags == [prefix + "i:t"]
assert any(layer["Comment"] == "" for layer in client.images.get("busybox").history()) is not None
client.images.remove(prefix + "i:t")
container.kill("TERM")
container.stop(timeout=1)
assert container.wait()["StatusCode"] in (137, 143)
network.disconnect(container)
container.remove()
network.remove()
volume.remove()
assert client.df()["Images"]
print("docker-py %s, API %s: all right" % (docker.__version__, client.api._version))
