#!/usr/bin/env python3
"""terminal.py [WAIT SEND]... -- COMMAND: runs COMMAND on a terminal of 33 rows and 101 columns.

For each pair it waits until WAIT has appeared in the output and then types SEND (with backslash escapes). Prints all
output, and ends with the command's exit code. Everything within 20 seconds.
"""
import fcntl, os, pty, select, struct, sys, termios, time

arguments = sys.argv[1:]
split = arguments.index("--")
steps, command = arguments[:split], arguments[split + 1:]
pairs = [(steps[i].encode(), steps[i + 1].encode().decode("unicode_escape").encode("latin1"))
         for i in range(0, len(steps), 2)]
child, terminal = pty.fork()
if child == 0:
    os.execvp(command[0], command)
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
deadline = time.monotonic() + 20
output, position = b"", 0
while time.monotonic() < deadline:
    if pairs and pairs[0][0] in output[position:]:
        position = output.index(pairs[0][0], position) + len(pairs[0][0])
        os.write(terminal, pairs.pop(0)[1])
        continue
    if not select.select([terminal], [], [], 0.1)[0]:
        continue
    try:
        data = os.read(terminal, 65536)
    except OSError:
        break
    if not data:
        break
    output += data
else:
    os.kill(child, 9)
    sys.stderr.write("deadline; unmet: %r\n" % (pairs,))
sys.stdout.buffer.write(output.replace(b"\r\n", b"\n"))
sys.stdout.flush()
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
