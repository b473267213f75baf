#!/usr/bin/env bash
# A mistake gets one sentence with the thing and the remedy, and a non-zero exit.
. "$(dirname "$0")/story.sh"

text=$(flux sumbit true 2>&1)
expect "an unknown command fails" 1 "$?"
expect_match "and the nearest is named" "submit" "$text"
text=$(FLUX_URI= flux getattr size 2>&1)
expect_match "no instance" "FLUX_URI is not set; start one with flux start" "$text"
flux getattr no-such-attribute 2>/dev/null
expect "an attribute that is not set" 1 "$?"
flux submit -n0 true 2>/dev/null
expect "no tasks at all" 1 "$?"
printf 'GET / HTTP/1.1\r\n\r\n' | timeout 5 python3 -c '
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(os.environ["FLUX_URI"].removeprefix("local://"))
s.sendall(sys.stdin.buffer.read())
s.recv(1)
sys.exit(len(s.recv(1)))' 2>/dev/null
expect "a stranger's bytes end its connection" 0 "$?"
expect "and the broker lives" 1 "$(flux getattr size)"
finish
