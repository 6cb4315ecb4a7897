#!/usr/bin/env python3
"""Runs crun's own test suite against skala-runtime, with crun as the control.

The suite comes from the Debian source package of the installed crun, into a cache folder outside the checkout. Both
runtimes run every test in the same place: private mount, process and cgroup namespaces that show version 1 control
groups only (crun refuses hybrid hosts), below a group of our own that is removed afterwards.

Fails when a test that crun passes fails with skala-runtime, unless docs/conformance.md lists it.
"""

import argparse
import ast
import glob
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

CACHE = os.path.join(os.environ.get("SKALA_CACHE") or os.path.expanduser("~/.cache/skala"), "conformance")
EXCEPTIONS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "docs", "conformance.md")
DEADLINE = 60  # seconds a test
MARK = "SKALA_CONFORMANCE_INSIDE"


LIBMOUNT = '''
class Mount:
    def __init__(self, line):
        left, right = line.split(" - ")
        self.target, self.vfs_options = left.split()[4:6]
        self.fs_options = right.split()[2]


class Table:
    def __init__(self, path):
        self.mounts = [Mount(line) for line in open(path) if " - " in line]

    def find_target(self, path):
        return next(mount for mount in self.mounts if mount.target == path)
'''


def run(*arguments, **options):
    return subprocess.run(arguments, check=True, text=True, stdout=subprocess.PIPE, **options).stdout.strip()


# --- the suite ---------------------------------------------------------------------------------------------------------


def apt(*arguments):
    """apt-get with the machine's own sources, as sources of source packages: its configuration is not changed."""
    folder = os.path.join(CACHE, "apt")
    for name in ["parts", "lists/partial", "cache/archives/partial"]:
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    for path in glob.glob("/etc/apt/sources.list.d/*.sources") + glob.glob("/etc/apt/sources.list.d/*.list") + [
            "/etc/apt/sources.list"]:
        if os.path.exists(path):
            text = re.sub(r"^Types:.*$", "Types: deb-src", open(path).read(), flags=re.M)
            text = re.sub(r"^deb ", "deb-src ", text, flags=re.M)
            with open(os.path.join(folder, "parts", os.path.basename(path).replace("sources.list", "main.list")), "w") as file:
                file.write(text)
    settings = {
        "Dir::Etc::SourceList": "/dev/null", "Dir::Etc::SourceParts": folder + "/parts",
        "Dir::State::Lists": folder + "/lists", "Dir::Cache": folder + "/cache", "APT::Sandbox::User": "root",
    }
    options = [word for key, value in settings.items() for word in ("-o", key + "=" + value)]
    subprocess.run(["apt-get", "-qq"] + options + list(arguments), check=True, cwd=CACHE)


def fetch():
    """The folder of the suite for the installed crun, with its init program built."""
    version = run("dpkg-query", "-W", "-f", "${source:Version}", "crun")
    folder = os.path.join(CACHE, "crun-" + version)
    if os.path.exists(folder + "/tests/init"):
        return folder
    os.makedirs(CACHE, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    apt("update")
    apt("source", "--download-only", "crun=" + version)
    description = next(name for name in os.listdir(CACHE) if name.startswith("crun_") and name.endswith(".dsc"))
    subprocess.run(["dpkg-source", "-q", "-x", description, folder], check=True, cwd=CACHE, stdout=subprocess.DEVNULL)
    with open(folder + "/config.h", "w") as file:
        file.write("#define HAVE_SECCOMP 1\n#define HAVE_ERROR_H 1\n")
    # Static: the suite runs it in root file systems that hold nothing else.
    subprocess.run(["cc", "-O1", "-w", "-static", "-I" + folder, "-o", folder + "/tests/init",
                    folder + "/tests/init.c", "-lseccomp"], check=True)
    # The suite's mount tests want libmount's Python binding, which Debian does not build: what they use of it.
    with open(folder + "/tests/libmount.py", "w") as file:
        file.write(LIBMOUNT)
    return folder


def list_tests(folder):
    """(module, test) of every entry of the modules' `all_tests` tables; read, not imported: some run when imported."""
    found = []
    for name in sorted(os.listdir(folder + "/tests")):
        if not re.fullmatch(r"test_\w+\.py", name):
            continue
        for node in ast.parse(open(folder + "/tests/" + name).read()).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "all_tests":
                found += [(name[:-3], key.value) for key in node.value.keys]
    return found


# --- the place ---------------------------------------------------------------------------------------------------------


def hierarchies():
    """The mount points of the version 1 hierarchies with controllers."""
    found = []
    for line in open("/proc/self/mountinfo"):
        left, right = line.split(" - ")
        kind, _, options = right.split()
        if kind == "cgroup" and "name=" not in options:
            found.append(left.split()[4])
    return found


def enter(points, group):
    """Joins a group of our own in every hierarchy, and calls this program again in new namespaces."""
    for point in points:
        os.makedirs(point + group, exist_ok=True)
        for name in ["cpuset.cpus", "cpuset.mems"]:
            if os.path.exists(point + "/" + name):
                value = open(point + "/" + name).read()
                open(point + group + "/" + name, "w").write(value)

    def join():
        for point in points:
            open(point + group + "/cgroup.procs", "w").write("0")

    arguments = ["unshare", "--mount", "--pid", "--cgroup", "--fork", "--kill-child", "--mount-proc", "--propagation",
                 "private", sys.executable] + sys.argv
    environment = dict(os.environ, **{MARK: json.dumps([points, group])})
    try:
        return subprocess.run(arguments, preexec_fn=join, env=environment).returncode
    finally:
        for point in points:
            remove(point + group)


def remove(group):
    for _ in range(100):
        for folder, _, _ in os.walk(group, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                pass
        if not os.path.exists(group):
            return
        time.sleep(0.05)
    sys.stderr.write("left: %s\n" % group)


def mount(*arguments):
    subprocess.run(["mount"] + list(arguments), check=True)


def furnish(points, group):
    """Inside: /sys/fs/cgroup shows version 1 only, and its roots are our own group."""
    if points:
        stage = tempfile.mkdtemp()
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", stage)
        for point in points:
            target = os.path.join(stage, os.path.basename(point))
            os.mkdir(target)
            mount("--bind", point + group, target)
        subprocess.run(["umount", "-R", "/sys/fs/cgroup"], stderr=subprocess.DEVNULL)
        mount("--move", stage, "/sys/fs/cgroup")
        os.rmdir(stage)
    # One test wants process ids of five digits.
    open("/proc/sys/kernel/ns_last_pid", "w").write("20000")


def thaw():
    """Lets frozen processes go on: they would not die, and our process namespace could not end."""
    for folder, _, files in os.walk("/sys/fs/cgroup/freezer"):
        if "freezer.state" in files and folder != "/sys/fs/cgroup/freezer":
            open(folder + "/freezer.state", "w").write("THAWED")


# --- a test ------------------------------------------------------------------------------------------------------------


def run_test(folder, module, test, runtime):
    """Runs one test; `ok`, `skipped`, `failed` or `hung`, and what it printed."""
    work = tempfile.mkdtemp(prefix="conformance-")
    # The suite lets users of other ids into its folders.
    os.chmod(work, 0o755)
    os.symlink(folder + "/tests", work + "/tests")
    environment = dict(os.environ, OCI_RUNTIME=runtime, INIT=folder + "/tests/init", RUN_TESTS=test, TMPDIR=work,
                       PYTHONDONTWRITEBYTECODE="1")
    # A terminal: the suite skips its terminal tests without one.
    terminal, side = pty.openpty()
    process = subprocess.Popen([sys.executable, folder + "/tests/" + module + ".py"], cwd=work, env=environment,
                               stdin=side, stdout=side, stderr=subprocess.STDOUT, start_new_session=True)
    os.close(side)
    output, limit, hung = b"", time.monotonic() + DEADLINE, False
    while True:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                chunk = os.read(terminal, 65536)
            except OSError:
                chunk = b""
            if not chunk:
                break
            output += chunk
        elif process.poll() is not None:
            break
        if time.monotonic() > limit:
            hung = True
            break
    if hung:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    os.close(terminal)
    thaw()
    shutil.rmtree(work, ignore_errors=True)
    text = output.decode(errors="replace").replace("\r", "")
    if hung:
        return "hung", text
    # Not only at the beginning of a line: tests print to the same terminal.
    verdict = re.search(r"(not ok|ok) \d+ - .*?(#SKIP)?$", text, re.M)
    if not verdict or verdict.group(1) != "ok":
        return "failed", text
    return ("skipped" if verdict.group(2) else "ok"), text


def read_exceptions():
    """The tests docs/conformance.md lists: table rows that begin with `module/test`."""
    if not os.path.exists(EXCEPTIONS):
        return set()
    return set(re.findall(r"^\| `([a-z_]+/[^`]+)` \|", open(EXCEPTIONS).read(), re.M))


def compare(options):
    folder = fetch()
    known = read_exceptions()
    wanted = [entry for entry in list_tests(folder)
              if not options.tests or any(word in "/".join(entry) for word in options.tests)]
    rows, regressions, mended = [], [], []
    print("%-58s %-9s %-9s" % ("test", "crun", "skala"))
    for module, test in wanted:
        name = module + "/" + test
        control, _ = ("-", "") if options.no_control else run_test(folder, module, test, options.crun)
        result, text = run_test(folder, module, test, options.runtime)
        rows.append((name, control, result))
        note = ""
        if result not in ("ok", "skipped") and control in ("ok", "-"):
            note = "listed" if name in known else "REGRESSION"
            if name not in known:
                regressions.append(name)
        elif control == "ok" and result == "skipped" and name not in known:
            note = "REGRESSION (skipped)"
            regressions.append(name)
        elif name in known and result == "ok":
            mended.append(name)
            note = "listed, but passes"
        print("%-58s %-9s %-9s %s" % (name, control, result, note), flush=True)
        if (note or options.verbose) and result != "ok":
            print("    " + text.strip().replace("\n", "\n    "), flush=True)
    counts = {key: sum(1 for _, _, result in rows if result == key) for key in ("ok", "skipped", "failed", "hung")}
    controls = {key: sum(1 for _, result, _ in rows if result == key) for key in ("ok", "skipped", "failed", "hung")}
    print("crun:  %s\nskala: %s" % (controls, counts))
    if mended:
        print("docs/conformance.md lists tests that pass: %s" % ", ".join(mended))
    if regressions:
        print("%d tests that crun passes fail with skala-runtime: %s" % (len(regressions), ", ".join(regressions)))
    if options.json:
        with open(options.json, "w") as file:
            json.dump([{"test": name, "crun": control, "skala": result} for name, control, result in rows], file, indent=1)
    return 1 if regressions or mended else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tests", nargs="*", help="only tests whose module/name holds one of these words")
    parser.add_argument("--runtime", required=True, help="the skala-runtime to test")
    parser.add_argument("--crun", default="/usr/bin/crun")
    parser.add_argument("--no-control", action="store_true", help="do not run crun")
    parser.add_argument("--verbose", action="store_true", help="print the output of every test that does not pass")
    parser.add_argument("--json", help="write the results here")
    options = parser.parse_args()
    if os.environ.get(MARK):
        furnish(*json.loads(os.environ[MARK]))
        return compare(options)
    if os.getuid() != 0:
        sys.exit("conformance: needs root")
    for path in [options.runtime, options.crun]:
        if not os.access(path, os.X_OK):
            sys.exit("conformance: no such program: " + path)
    fetch()
    return enter(hierarchies(), "/skala-conformance-%d" % os.getpid())


if __name__ == "__main__":
    sys.exit(main())
