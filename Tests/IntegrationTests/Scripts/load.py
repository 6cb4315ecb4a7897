#!/usr/bin/env python3
"""load.py PORT HOST PATH STOPFILE: asks from four threads until the file is there, half of them over one connection as long as
it goes; prints how many requests failed, of how many and how the first of them did."""
import http.client
import os
import sys
import threading
import time

port, host, path, stop = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
lock, total, failures = threading.Lock(), 0, []
# Not for ever, also when nobody says so.
end = time.time() + 120


def ask(connection):
    connection.request("GET", path, headers={"Host": host})
    answer = connection.getresponse()
    answer.read()
    return answer


def run(keeps):
    global total
    connection, used = None, False
    while not os.path.exists(stop) and os.path.isdir(os.path.dirname(stop)) and time.time() < end:
        try:
            if connection is None:
                connection, used = http.client.HTTPConnection("127.0.0.1", port, timeout=10), False
            answer = ask(connection)
            error = None if answer.status == 200 else f"{answer.status}"
            used = True
            if not keeps or answer.will_close:
                connection.close()
                connection = None
        except Exception as failure:
            connection.close()
            connection = None
            # A connection that was idle may be closed at any time: clients ask again.
            if used and isinstance(failure, (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)):
                continue
            error = f"{type(failure).__name__} {failure}"
        with lock:
            total += 1
            if error:
                failures.append(error)
        time.sleep(0.005)


threads = [threading.Thread(target=run, args=(number % 2 == 0,)) for number in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(f"{len(failures)} of {total} failed {' '.join(failures[:1])}".strip())
