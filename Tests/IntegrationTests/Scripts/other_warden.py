#!/usr/bin/env python3
"""other_warden.py SOCKET VERSION: a warden of another release: answers every request with that version of the protocol."""
import json
import os
import socket
import struct
import sys

server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen(1)
print("up", flush=True)
while True:
    link, _ = server.accept()
    while True:
        head = link.recv(12, socket.MSG_WAITALL)
        if len(head) < 12:
            break
        length, _, _, _, number = struct.unpack("<IBBHI", head)
        print(json.loads(link.recv(length, socket.MSG_WAITALL))["op"], flush=True)
        answer = json.dumps({"version": sys.argv[2], "pid": os.getpid()}).encode()
        link.sendall(struct.pack("<IBBHI", len(answer), 2, 0, 0, number) + answer)
