"""A registry on loopback with one image: a Debian root file system as a single layer."""

import gzip
import hashlib
import http.client
import json
import os
import pathlib
import subprocess
import time

import host
import scope as scoping

REPOSITORY = "debian"
TAG = "bench"


def cache_folder():
    base = os.environ.get("SKALA_CACHE") or os.path.expanduser("~/.cache/skala")
    folder = pathlib.Path(base) / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def debian_layer():
    """(the packed layer, the digest of the unpacked one). Made once, kept in the cache."""
    packed, digest = cache_folder() / "debian.tar.gz", cache_folder() / "debian.diffid"
    if packed.exists() and digest.exists():
        return packed, digest.read_text().strip()
    host.install(["mmdebstrap"])
    plain = cache_folder() / "debian.tar"
    suite = "stable"
    for line in pathlib.Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            suite = line.split("=", 1)[1].strip('"')
    print(f"making a Debian layer ({suite}), once", flush=True)
    done = subprocess.run(
        [
            "mmdebstrap", "--quiet", "--variant=minbase", "--include=ca-certificates",
            '--customize-hook=rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*', suite, plain,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode != 0:
        plain.unlink(missing_ok=True)
        raise host.Missing(f"mmdebstrap failed: {done.stderr.strip().splitlines()[-1:]}")
    sha = hashlib.sha256()
    temporary = packed.with_suffix(".part")
    with open(plain, "rb") as source, gzip.GzipFile(temporary, "wb", compresslevel=6, mtime=0) as target:
        while chunk := source.read(1 << 20):
            sha.update(chunk)
            target.write(chunk)
    plain.unlink()
    digest.write_text("sha256:" + sha.hexdigest())
    temporary.rename(packed)
    return packed, digest.read_text()


class Registry:
    """Debian's docker-registry on 127.0.0.1, in the namespace given or the host's."""

    def __init__(self, scope, name, port, storage, namespace=None):
        self.address = f"127.0.0.1:{port}"
        configuration = scope.folder / f"{name}.yml"
        configuration.write_text(
            json.dumps(
                {
                    "version": 0.1,
                    "log": {"level": "error", "accesslog": {"disabled": True}},
                    "storage": {"filesystem": {"rootdirectory": str(storage)}},
                    "http": {"addr": self.address},
                }
            )
        )
        command = [host.path_to("docker-registry"), "serve", configuration]
        if namespace:
            command = ["nsenter", f"--net={namespace}", *command]
        process = scope.start(command, name)

        def answers():
            if process.poll() is not None:
                raise RuntimeError(f"docker-registry ended: {scope.log_tail(name)}")
            if namespace:
                time.sleep(0.5)
                return True
            try:
                connection = http.client.HTTPConnection(self.address, timeout=5)
                connection.request("GET", "/v2/")
                return connection.getresponse().status == 200
            except OSError:
                return False

        scoping.wait_until(answers, 15, "docker-registry")


def push(address, packed, diff_id):
    """Pushes the one-layer image as distribution clients do."""
    connection = http.client.HTTPConnection(address, timeout=120)

    def request(method, path, body=None, headers=None):
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status}")
        return answer

    def blob(data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        location = request("POST", f"/v2/{REPOSITORY}/blobs/uploads/").getheader("Location")
        path = location.split(address, 1)[-1]
        request(
            "PUT", f"{path}{'&' if '?' in path else '?'}digest={digest}", data,
            {"Content-Type": "application/octet-stream"},
        )
        return {"digest": digest, "size": len(data)}

    configuration = json.dumps(
        {
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
            "os": "linux",
            "config": {"Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        }
    ).encode()
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": dict(blob(configuration), mediaType="application/vnd.docker.container.image.v1+json"),
        "layers": [dict(blob(packed.read_bytes()), mediaType="application/vnd.docker.image.rootfs.diff.tar.gzip")],
    }
    request("PUT", f"/v2/{REPOSITORY}/manifests/{TAG}", json.dumps(manifest), {"Content-Type": kind})
