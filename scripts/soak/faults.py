"""Makes kernel calls of the daemon and the warden fail, one after another."""

import http.client
import random
import signal
import subprocess
import time

from engine import problem, read

# The calls that making, starting, ending and removing a container rests on, and how each may fail.
CALLS = [
    ("warden", "clone3", "EAGAIN"), ("warden", "mount", "ENOMEM"), ("warden", "mkdir", "ENOSPC"),
    ("warden", "openat", "EMFILE"), ("warden", "write", "ENOSPC"), ("warden", "pipe2", "EMFILE"),
    ("warden", "openat2", "ENOMEM"), ("warden", "rmdir", "EBUSY"), ("warden", "pidfd_open", "EMFILE"),
    ("warden", "epoll_ctl", "ENOMEM"), ("warden", "setns", "ENOMEM"),
    ("daemon", "mkdir", "ENOSPC"), ("daemon", "openat", "EMFILE"), ("daemon", "unlink", "EIO"),
    ("daemon", "sendto", "ENOBUFS"), ("daemon", "mount", "ENOMEM"), ("daemon", "unshare", "ENOMEM"),
    ("daemon", "pwrite64", "ENOSPC"), ("daemon", "fdatasync", "EIO"), ("daemon", "rmdir", "EBUSY"),
    ("daemon", "openat2", "ENOMEM"), ("daemon", "rename", "EIO"), ("daemon", "sendmsg", "ENOBUFS"),
]


def life(engine, name):
    """One container from create to remove; the statuses."""
    statuses = []

    def step(method, path, body=None):
        try:
            status, answer = engine.call(method, path, body, timeout=30)
        except (http.client.HTTPException, OSError) as error:
            status, answer = 0, {"message": "no answer: %r" % error}
        statuses.append(status)
        if status >= 400 or status == 0:
            message = (answer or {}).get("message", "") if isinstance(answer, dict) else ""
            if not message:
                problem("%s %s: status %s without a reason" % (method, path, status))
        return status

    step("POST", "/containers/create?name=" + name, {
        "Image": "busybox", "Cmd": ["sleep", "1000"],
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": ""}]}, "Binds": [name + ":/v"]}})
    step("POST", "/containers/%s/start" % name)
    step("POST", "/containers/%s/stop?t=0" % name)
    step("DELETE", "/containers/%s?force=1" % name)
    step("DELETE", "/volumes/" + name)
    return statuses


def run(engine, limit, seed):
    engine.start()
    engine.import_busybox()
    life(engine, "warmup")
    calls = CALLS[:]
    random.Random(seed).shuffle(calls)
    total = 0
    for process, call, error in calls:
        for number in range(1, limit + 1):
            pid = engine.daemon.pid if process == "daemon" else engine.warden()
            trace = engine.folder + "/trace"
            tracer = subprocess.Popen(
                ["strace", "-f", "-qq", "-o", trace, "-e", "trace=" + call, "-e",
                 "inject=%s:error=%s:when=%d" % (call, error, number), "-p", str(pid)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            deadline = time.monotonic() + 10
            while "TracerPid:\t%d" % tracer.pid not in read("/proc/%d/status" % pid):
                if time.monotonic() > deadline or tracer.poll() is not None:
                    break
                time.sleep(0.01)
            when = "%s: %s number %d fails with %s" % (process, call, number, error)
            life(engine, "f%d" % total)
            total += 1
            tracer.send_signal(signal.SIGINT)
            try:
                tracer.wait(10)
            except subprocess.TimeoutExpired:
                tracer.kill()
                tracer.wait()
            hit = "(INJECTED)" in read(trace)
            if engine.daemon.poll() is not None:
                problem(when + ": the daemon ended")
                engine.start()
            engine.remove_all()
            if not engine.expect_no_leaks(when):
                # What is left must not be counted again.
                engine.kill(signal.SIGTERM)
                engine.start()
                engine.expect_no_leaks(when + ", and a restart of the daemon")
            if not hit:
                break
    print("%d lives with a failing call" % total, flush=True)
