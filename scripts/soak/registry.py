"""A docker-registry on loopback with images that are made byte by byte: no engine has to hold them first."""

import hashlib
import http.client
import json
import subprocess

from engine import SUPPORT


class Registry:
    def __init__(self, folder):
        self.process = subprocess.Popen(
            ["python3", SUPPORT + "/registry.py", folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()
        if not self.address:
            raise SystemExit("the registry does not start")

    def call(self, method, path, body=None, headers={}):
        connection = http.client.HTTPConnection(self.address, timeout=60)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        if answer.status >= 300:
            raise SystemExit("registry: %s %s: %d %s" % (method, path, answer.status, data))
        return answer

    def put_blob(self, name, data, media_type):
        """Answers its descriptor."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        location = self.call("POST", "/v2/%s/blobs/uploads/" % name).getheader("Location")
        path = location + ("&" if "?" in location else "?") + "digest=" + digest
        self.call("PUT", path, data, {"Content-Type": "application/octet-stream"})
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def put_image(self, name, layers):
        """Keeps an image of layers, each the packed and the plain bytes of an archive; answers the name to pull."""
        config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {
            "type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(plain).hexdigest() for _, plain in layers]}}
        kind = "application/vnd.oci.image."
        manifest = {"schemaVersion": 2, "mediaType": kind + "manifest.v1+json",
                    "config": self.put_blob(name, json.dumps(config).encode(), kind + "config.v1+json"),
                    "layers": [self.put_blob(name, packed, kind + "layer.v1.tar+gzip") for packed, _ in layers]}
        self.call("PUT", "/v2/%s/manifests/latest" % name, json.dumps(manifest), {"Content-Type": manifest["mediaType"]})
        return self.address + "/" + name

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)
