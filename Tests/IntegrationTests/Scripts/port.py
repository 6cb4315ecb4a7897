#!/usr/bin/env python3
"""port.py ADDRESS PORT [reuse] [udp] [stay]: binds (and listens), as a program of the host; prints "free", or why not.
With "stay" it then prints so and waits for the end of its input."""
import socket
import sys

address, port, options = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
kind = socket.SOCK_DGRAM if "udp" in options else socket.SOCK_STREAM
link = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
if "reuse" in options:
    link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
try:
    link.bind((address, port))
    if "udp" not in options:
        link.listen(1)
    print("free", flush=True)
except OSError as error:
    print(error.strerror, flush=True)
if "stay" in options:
    sys.stdin.read()
