#!/usr/bin/env python3
"""registry.py FOLDER [FRONT]...: runs docker-registry on loopback until its own standard input ends, with proxies in
front of it, and prints all addresses in one line, the registry's own first.

FRONT is one of
    basic   wants the user me with the password secret
    bearer  wants a token, which its /token gives: anybody may pull, me with the password secret may push
    oauth   the same, but me gets an identity token at login (unless FOLDER/revoked is there), which the password is
            good for only, and tokens for that
    faulty  treats answers with a blob of more than BYTES bytes as a line of the file FOLDER/fault says: KIND BYTES
            TIMES, where KIND is cut (the connection ends after BYTES), corrupt (the byte there is another), delay (half
            a second there), slow (100 kB/s from there on), fail (status 503), missing (404) or drop (no answer), and a
            negative TIMES is always; of several lines the first counts that fits. For uploads of blobs: busy (status
            503), hangup (no answer), late (a second before it is passed on)
    paged   gives a repository's tags two at a time
A request to a front makes a line of FOLDER/requests: METHOD PATH STATUS RANGE; one for a token: TOKEN SCOPE SERVICE USER,
where USER is me, me-refresh with an identity token, or -.
"""
import base64
import http.client
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

folder = sys.argv[1]
lock = threading.Lock()
tokens = {}
refresh_tokens = set()
owner = "Basic " + base64.b64encode(b"me:secret").decode()


def log(line):
    with lock, open(folder + "/requests", "a") as file:
        file.write(line + "\n")


def take_fault(size, is_upload=False):
    """The kind and place of the fault for a blob of so many bytes; None for none."""
    with lock:
        try:
            with open(folder + "/fault") as file:
                faults = [line.split() for line in file]
        except FileNotFoundError:
            return None, 0
        for fault in faults:
            kind, place, times = fault[0], int(fault[1]), int(fault[2])
            if times == 0 or size <= place or is_upload != (kind in ("busy", "hangup", "late")):
                continue
            fault[2] = str(max(times - 1, -1))
            with open(folder + "/fault", "w") as file:
                file.writelines(" ".join(fault) + "\n" for fault in faults)
            return kind, place
        return None, 0


class Front(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, headers, data):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def refuse(self, challenge):
        text = b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}'
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(text)))]
        self.answer(401, headers + ([("Www-Authenticate", challenge)] if challenge else []), text)
        log(f"{self.command} {self.path} 401 -")

    def token(self, form):
        """The answer of the token server; form is a POST's."""
        text = form.decode() if self.command == "POST" else urllib.parse.urlsplit(self.path).query
        query = {name: values[0] for name, values in urllib.parse.parse_qs(text).items()}
        scope = query.get("scope")
        given = self.headers.get("Authorization")
        user = {None: "-", owner: "me"}.get(given)
        is_oauth = self.server.kind == "oauth"
        if self.command == "POST":
            is_known = query.get("grant_type") == "refresh_token" and query.get("refresh_token") in refresh_tokens
            is_valid = is_oauth and is_known and not os.path.exists(folder + "/revoked")
            user = "me-refresh" if is_valid and query.get("client_id") else None
        elif is_oauth and user == "me" and query.get("offline_token") != "true":
            user = None
        log(f"TOKEN {scope or '-'} {query.get('service', '-')} {user or '-'}")
        if user is None:
            return self.refuse(None)
        token = secrets.token_hex(16)
        tokens[token] = set()
        if scope:
            kind, name, actions = scope.split(":")
            tokens[token] = {f"{kind}:{name}:{a}" for a in actions.split(",") if user != "-" or a == "pull"}
        answer = {"access_token" if self.command == "POST" else "token": token}
        if is_oauth and user == "me":
            answer["refresh_token"] = secrets.token_hex(16)
            refresh_tokens.add(answer["refresh_token"])
        data = json.dumps(answer).encode()
        self.answer(200, [("Content-Type", "application/json"), ("Content-Length", str(len(data)))], data)

    def is_allowed(self):
        given = self.headers.get("Authorization", "")
        if self.server.kind == "basic" and given != owner:
            self.refuse('Basic realm="test"')
            return False
        if self.server.kind in ("bearer", "oauth"):
            found = re.match("/v2/(.+)/(blobs|manifests|tags)/", self.path)
            action = "pull" if self.command in ("GET", "HEAD") else "push"
            scope = f"repository:{found[1]}:{action}" if found else None
            granted = tokens.get(given.removeprefix("Bearer "))
            if granted is None or scope and scope not in granted:
                challenge = f'Bearer realm="http://{self.headers["Host"]}/token",service="a test"'
                self.refuse(challenge + (f',scope="{scope}"' if scope else ""))
                return False
        return True

    def page(self, data):
        """The part of the answer with tags that is asked for, and its headers."""
        url = urllib.parse.urlsplit(self.path)
        last = urllib.parse.parse_qs(url.query).get("last", [""])[0]
        document = json.loads(data)
        rest = [tag for tag in sorted(document["tags"] or []) if tag > last]
        data = json.dumps(dict(document, tags=rest[:2])).encode()
        headers = [("Content-Length", str(len(data)))]
        if len(rest) > 2:
            headers.append(("Link", f'<{url.path}?n=2&last={rest[1]}>; rel="next"'))
        return data, headers

    def forward(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.partition("?")[0] == "/token":
            return self.token(body)
        if not self.is_allowed():
            return
        if self.server.kind == "faulty" and self.command == "PUT" and "/blobs/uploads/" in self.path:
            kind, _ = take_fault(len(body), is_upload=True)
            if kind == "late":
                time.sleep(1)
            elif kind:
                log(f"{self.command} {self.path} {0 if kind == 'hangup' else 503} -")
                self.close_connection = True
                if kind == "busy":
                    self.answer(503, [("Content-Length", "0")], b"")
                return
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.registry)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("authorization", "connection")}
        upstream.request(self.command, self.path, body, headers)
        response = upstream.getresponse()
        data = response.read()
        upstream.close()
        links = []
        if self.server.kind == "paged" and "/tags/list" in self.path and response.status == 200:
            data, links = self.page(data)
        fields = [(k, v) for k, v in response.getheaders() if k.lower() not in ("connection", "transfer-encoding")]
        if links:
            fields = [(k, v) for k, v in fields if k.lower() != "content-length"] + links
        if response.getheader("Content-Length") is None and response.status != 204:
            fields.append(("Content-Length", str(len(data))))
        is_blob = self.command == "GET" and "/blobs/sha256:" in self.path
        kind, place = take_fault(len(data)) if self.server.kind == "faulty" and is_blob else (None, 0)
        status = {"drop": 0, "fail": 503, "missing": 404}.get(kind, response.status)
        log(f"{self.command} {self.path} {status} {self.headers.get('Range', '-')}")
        if kind == "drop":
            self.close_connection = True
        elif kind in ("fail", "missing"):
            self.answer(status, [("Content-Length", "0")], b"")
        elif kind == "corrupt":
            self.answer(status, fields, data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        elif kind in ("cut", "delay", "slow"):
            self.answer(status, fields, data[:place])
            self.wfile.flush()
            if kind == "cut":
                self.close_connection = True
                return
            step = 10_000 if kind == "slow" else len(data)
            for start in range(place, len(data), step):
                time.sleep(0.1 if kind == "slow" else 0.5)
                self.wfile.write(data[start : start + step])
        else:
            self.answer(status, fields, data)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = forward


def start_registry():
    """The process and its port."""
    for _ in range(3):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with open(folder + "/config.yml", "w") as file:
            file.write(
                f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
                f"storage: {{filesystem: {{rootdirectory: {folder}/storage}}}}\n"
                f"http: {{addr: '127.0.0.1:{port}', relativeurls: true, secret: test}}\n"
            )
        with open(folder + "/log", "a") as output:
            command = ["docker-registry", "serve", folder + "/config.yml"]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        for _ in range(200):
            with socket.socket() as probe:
                if process.poll() is None and probe.connect_ex(("127.0.0.1", port)) == 0:
                    return process, port
            if process.poll() is not None:
                break
            time.sleep(0.05)
        process.kill()
        process.wait()
    with open(folder + "/log") as file:
        sys.exit("docker-registry does not start: " + file.read())


os.makedirs(folder, exist_ok=True)
open(folder + "/requests", "w").close()
registry, port = start_registry()
try:
    addresses = [f"127.0.0.1:{port}"]
    for kind in sys.argv[2:]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Front)
        server.kind, server.registry = kind, port
        threading.Thread(target=server.serve_forever, daemon=True).start()
        addresses.append(f"127.0.0.1:{server.server_address[1]}")
    print(*addresses, flush=True)
    sys.stdin.read()
finally:
    registry.kill()
    registry.wait()
