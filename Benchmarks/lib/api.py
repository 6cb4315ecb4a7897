"""The Docker Engine API over a unix socket: little code, so that the client costs little."""

import json
import socket


class APIError(Exception):
    pass


class Client:
    """One connection, kept open. Not for several threads."""

    VERSION = "/v1.41"

    def __init__(self, path, timeout=120):
        self.path = str(path)
        self.timeout = timeout
        self._socket = None
        self._buffer = b""

    def close(self):
        if self._socket:
            self._socket.close()
        self._socket = None
        self._buffer = b""

    def request(self, method, path, body=None, raw=None, kind="application/json"):
        """(status, body). The answer's body is read to its end."""
        payload = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {self.VERSION}{path} HTTP/1.1\r\nHost: d\r\n"
            f"Content-Type: {kind}\r\nContent-Length: {len(payload)}\r\n\r\n"
        )
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.settimeout(self.timeout)
            self._socket.connect(self.path)
        try:
            self._socket.sendall(head.encode() + payload)
            return self._answer()
        except OSError:
            self.close()
            raise

    def _fill(self):
        data = self._socket.recv(262144)
        if not data:
            self.close()
            raise APIError("connection closed")
        self._buffer += data

    def _line(self):
        while True:
            end = self._buffer.find(b"\r\n")
            if end >= 0:
                line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
                return line
            self._fill()

    def _take(self, count):
        parts, missing = [], count
        while True:
            parts.append(self._buffer[:missing])
            missing -= len(parts[-1])
            self._buffer = self._buffer[len(parts[-1]) :]
            if missing == 0:
                return b"".join(parts)
            self._fill()

    def _answer(self):
        status = int(self._line().split()[1])
        length, chunked, closes = 0, False, False
        while True:
            line = self._line()
            if not line:
                break
            name, _, value = line.partition(b":")
            name, value = name.lower(), value.strip().lower()
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding" and value == b"chunked":
                chunked = True
            elif name == b"connection" and value == b"close":
                closes = True
        if chunked:
            parts = []
            while True:
                size = int(self._line().split(b";")[0], 16)
                if size == 0:
                    self._line()
                    break
                parts.append(self._take(size))
                self._take(2)
            body = b"".join(parts)
        else:
            body = self._take(length)
        if closes:
            self.close()
        return status, body

    def call(self, method, path, body=None):
        """The answer as JSON; an error status is an exception."""
        status, answer = self.request(method, path, body)
        if status >= 400:
            raise APIError(f"{method} {path}: {status} {answer.decode(errors='replace').strip()}")
        return json.loads(answer) if answer.strip() else None

    # What the measures do.

    def create(self, command, image="busybox", **host):
        return self.call("POST", "/containers/create", {"Image": image, "Cmd": command, "HostConfig": host})["Id"]

    def start(self, container):
        self.call("POST", f"/containers/{container}/start")

    def wait(self, container):
        return self.call("POST", f"/containers/{container}/wait")["StatusCode"]

    def remove(self, container, force=False):
        self.call("DELETE", f"/containers/{container}" + ("?force=true" if force else ""))

    def run_once(self, command, **host):
        """Create, start, wait, remove."""
        container = self.create(command, **host)
        self.start(container)
        code = self.wait(container)
        self.remove(container)
        if code != 0:
            raise APIError(f"the container ended with {code}")

    def import_image(self, archive, name):
        status, answer = self.request(
            "POST", f"/images/create?fromSrc=-&repo={name}&tag=latest", raw=archive, kind="application/x-tar"
        )
        if status >= 400 or b'"error"' in answer:
            raise APIError(f"import of {name}: {status} {answer.decode(errors='replace')}")

    def pull(self, name, tag):
        status, answer = self.request("POST", f"/images/create?fromImage={name}&tag={tag}")
        if status >= 400 or b'"error"' in answer:
            raise APIError(f"pull of {name}:{tag}: {status} {answer.decode(errors='replace')[-500:]}")

    def remove_all(self):
        """Removes every container of this engine; it is ours."""
        for container in self.call("GET", "/containers/json?all=true"):
            self.remove(container["Id"], force=True)
