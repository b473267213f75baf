#!/usr/bin/env python3
"""Runs a command at a terminal of its own, as a person would: typed.py COMMAND ARGS <STEPS

Steps, one a line: "see PATTERN" waits until what came since the last such step matches, "type TEXT" (with \\r, \\x03...),
"size ROWS COLUMNS". All that came goes to standard output; the exit status is the command's, or 99 when it ended before
something was seen."""
import fcntl
import os
import pty
import re
import struct
import sys
import termios

steps = sys.stdin.read().splitlines()
pid, master = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
shown = b""


def read():
    global shown
    try:
        bytes_ = os.read(master, 65536)
    except OSError:
        bytes_ = b""
    shown += bytes_
    return bytes_


seen_up_to = 0
missed = None
for step in steps:
    word, _, rest = step.partition(" ")
    if word == "see":
        while not (found := re.search(rest.encode(), shown[seen_up_to:])) and read():
            pass
        if not found:
            missed = rest
            break
        seen_up_to += found.end()
    elif word == "type":
        os.write(master, rest.encode().decode("unicode_escape").encode("latin-1"))
    elif word == "size":
        rows, columns = map(int, rest.split())
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
while read():
    pass
sys.stdout.buffer.write(shown)
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
if missed is not None:
    print(f"\nnever seen: {missed}")
    sys.exit(99)
sys.exit(status if status >= 0 else 128 - status)
