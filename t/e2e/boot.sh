#!/usr/bin/env bash
# Brokers that find each other by a configuration, over TCP on this machine, with a shared certificate.
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
FLUX_STORY=outside
. "$(dirname "$0")/story.sh"

flux keygen --name=story "$directory/curve.cert"
expect "a certificate is made" 0 "$?"
expect "that nobody else can read" 600 "$(stat -c %a "$directory/curve.cert")"
expect_match "and is not overwritten" "exists already" "$(flux keygen "$directory/curve.cert" 2>&1)"

# Free ports: the system gives them, and they stay reserved for a while by having been bound.
ports=$(python3 -c '
import socket
sockets = [socket.socket() for _ in range(2)]
for s in sockets:
    s.bind(("127.0.0.1", 0))
print(*[s.getsockname()[1] for s in sockets])')
set -- $ports
cat >"$directory/boot.toml" <<TOML
[bootstrap]
curve_cert = "$directory/curve.cert"
hosts = [
    { host = "a0", bind = "tcp://127.0.0.1:$1", connect = "tcp://127.0.0.1:$1" },
    { host = "a1", bind = "tcp://127.0.0.1:$2", connect = "tcp://127.0.0.1:$2" },
    { host = "a[2-3]", parent = "a1" },
]
TOML
start() { flux start -s4 --test-hosts="a[0-3]" --test-exit-mode=leader -c "$directory" "$@"; }

text=$(start sh -c 'flux getattr broker.boot-method; flux getattr hostlist; flux getattr tbon.maxlevel
    flux run -N4 -n4 hostname >/dev/null && flux resource list | grep -o "a\[0-3\]"')
expect "four hosts boot, in a tree of the configured shape" "config a[0-3] 2 a[0-3]" "$(xargs <<<"$text")"

# One whose parent is not there waits for it, until it is told to end.
mkdir "$directory/alone"
flux start -s1 --test-hosts=a2 --test-rundir="$directory/alone" -c "$directory" true 2>"$directory/stderr" &
pid=$!
eventually "a broker waits for its parent" sh -c "[ -S '$directory'/alone/local-* ]"
kill -TERM "$pid"
wait "$pid"
expect "and ends when it is told to" 1 "$((! ! $?))"

chmod 644 "$directory/curve.cert"
expect_match "a certificate that others can read is refused" "chmod 600" "$(start true 2>&1)"
chmod 600 "$directory/curve.cert"
expect_match "a host that is not listed is told so" "does not list this host, b0" \
    "$(flux start -s1 --test-hosts=b0 -c "$directory" true 2>&1)"
echo 'unknown_key = 1' >>"$directory/boot.toml"
expect_match "an unknown key is named" 'unknown_key' "$(start true 2>&1)"
printf '[bootstrap\n' >"$directory/boot.toml"
expect_match "broken TOML is named by file and line" "boot.toml:1" "$(start true 2>&1)"
finish
