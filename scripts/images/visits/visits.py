"""Counts visits: the truth is a row in PostgreSQL, the last answer is kept in Redis.

POST / counts one and answers with the new number; GET / answers from Redis when it is there.
DATABASE_URL and REDIS_URL say where both are.
"""

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2
import redis

CACHE_SECONDS = 60


def connected():
    """A connection to PostgreSQL; waits up to 30 s for a server that is starting."""
    deadline = time.monotonic() + 30
    while True:
        try:
            connection = psycopg2.connect(os.environ["DATABASE_URL"], connect_timeout=3)
            connection.autocommit = True
            return connection
        except psycopg2.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def query(statement):
    # A connection a request: the server may have been replaced since the last one.
    connection = connected()
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0]
    finally:
        connection.close()


cache = redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=3)


class Visits(BaseHTTPRequestHandler):
    def do_POST(self):
        visits = query("UPDATE visits SET number = number + 1 RETURNING number")
        cache.set("visits", visits, ex=CACHE_SECONDS)
        self.answer(visits, "postgres")

    def do_GET(self):
        cached = cache.get("visits")
        if cached is not None:
            return self.answer(int(cached), "redis")
        visits = query("SELECT number FROM visits")
        cache.set("visits", visits, ex=CACHE_SECONDS)
        self.answer(visits, "postgres")

    def answer(self, visits, source):
        body = json.dumps(
            {"visits": visits, "from": source, "client": self.headers.get("X-Real-IP", self.client_address[0])})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) + 1))
        self.end_headers()
        self.wfile.write(body.encode() + b"\n")

    def log_message(self, format, *arguments):
        print(self.headers.get("X-Real-IP", "-"), format % arguments)


# PID 1 has no default action for SIGTERM.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
connection = connected()
with connection.cursor() as cursor:
    # One row, and never a second one.
    cursor.execute(
        "CREATE TABLE IF NOT EXISTS visits (single boolean PRIMARY KEY DEFAULT true CHECK (single), number bigint)")
    cursor.execute("INSERT INTO visits (number) VALUES (0) ON CONFLICT DO NOTHING")
connection.close()
print("ready on port 8000")
ThreadingHTTPServer(("", 8000), Visits).serve_forever()
