#!/usr/bin/env python3
"""datagram.py serve PORT: prints one datagram and answers it; datagram.py send ADDRESS PORT: sends one, prints the answer."""
import socket
import sys

link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.settimeout(10)
if sys.argv[1] == "serve":
    link.bind(("", int(sys.argv[2])))
    print("up", flush=True)
    data, peer = link.recvfrom(100)
    print(data.decode())
    link.sendto(b"answer", peer)
else:
    link.sendto(b"datagram", (sys.argv[2], int(sys.argv[3])))
    print(link.recv(100).decode())
