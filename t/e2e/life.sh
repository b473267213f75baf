#!/usr/bin/env bash
# The life cycle of an instance: rc scripts, the initial program's end, signals, flux shutdown, mistakes at the start.
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
FLUX_STORY=outside
. "$(dirname "$0")/story.sh"

flux start true
expect "the initial program's success" 0 "$?"
flux start sh -c 'exit 42'
expect "and its exit status are the instance's" 42 "$?"
flux start -s2 sh -c 'kill -TERM $$'
expect "a program that is killed gives 128 and the signal" 143 "$?"
expect_match "one that is not there is named" "no-such-program" "$(flux start no-such-program 2>&1)"
expect "one argument may be a whole line" "1 2" "$(flux start 'echo 1; echo 2' | xargs)"
for _ in 1 2 3; do
    flux start -s4 sh -c 'id=$(flux submit -N2 sleep 60); flux job wait-event $id start >/dev/null; flux cancel -q $id' \
        2>>"$directory/ends"
done
expect "an end right after a job's says nothing of it" "" "$(cat "$directory/ends")"

mkdir -p "$directory/rc1.d" "$directory/rc3.d"
for rc in rc1 rc3; do
    printf '#!/bin/sh\necho "%s $(flux getattr rank) $(flux kvs get --waitcreate story 2>/dev/null)" >>%s/log\n' \
        $rc "$directory" >"$directory/$rc.d/note"
    chmod +x "$directory/$rc.d/note"
done
sed -i 's/\$(flux kvs get --waitcreate story 2>\/dev\/null)//' "$directory/rc1.d/note"
FLUX_RC_EXTRA=$directory flux start -s2 flux kvs put story=told
expect "rc scripts run on every rank, the last while the KVS still answers" "rc1 0 rc1 1 rc3 0 told rc3 1 told" \
    "$(sort "$directory/log" | xargs)"
rm -r "$directory/rc3.d"
printf '#!/bin/sh\nexit 3\n' >"$directory/rc1.d/broken"
chmod +x "$directory/rc1.d/broken"
text=$(FLUX_RC_EXTRA=$directory flux start true 2>&1)
expect "an rc1 script that fails ends the instance" 1 "$?"
expect_match "and is named" "rc1.d/broken ended with status 3" "$text"
expect "without modules there is still a broker" 1 \
    "$(flux start -Sbroker.rc1_path= -Sbroker.rc3_path= flux getattr size)"

# An instance without a program runs until it is told to end.
mkfifo "$directory/ready"
start_and_wait() { # ATTRIBUTES...: starts in the background, sets uri and pid
    rm -f "$directory"/run/local-0
    mkdir -p "$directory/run"
    flux start -s3 --test-rundir="$directory/run" -Sbroker.rc2_none=1 "$@" 2>"$directory/stderr" &
    pid=$!
    uri=local://$directory/run/local-0
    eventually "it runs" sh -c "[ \"\$(FLUX_URI=$uri flux uptime 2>/dev/null | grep -c ' run ')\" = 1 ]"
}
start_and_wait
FLUX_URI=$uri flux shutdown --quiet
wait "$pid"
expect "flux shutdown ends it well" 0 "$?"
start_and_wait
printf '> shutdown.start [nodeid=0 streaming tag=1] {"loglevel":0}\n< shutdown.start [streaming tag=1 errnum=61] ""\n' >"$directory/shutdown"
expect "who asked for the end hears of it" "ok shutdown" \
    "$(FLUX_URI=$uri python3 "$(dirname "$0")/transcript/run.py" "$directory/shutdown" | grep -E "^(ok|FAILED)")"
wait "$pid"
start_and_wait
kill -TERM "$pid"
wait "$pid"
expect "so does a signal" 0 "$?"
start_and_wait
job=$(FLUX_URI=$uri flux submit sleep 1000)
FLUX_URI=$uri flux job wait-event "$job" start >/dev/null
kill -TERM "$pid"
wait "$pid"
expect "jobs that run do not hold it up" 0 "$?"
expect "no socket is left" "" "$(ls "$directory/run")"

expect_match "a quorum that cannot be is refused" "broker.quorum is \"9\".*from 0 to 1" \
    "$(flux start -Sbroker.quorum=9 true 2>&1)"
text=$(flux start -Slog-stderr-level=3 sh -c 'flux setattr broker.cleanup-timeout soon
    flux setattr -e broker.shutdown-timeout 2>/dev/null || flux setattr broker.shutdown-timeout never' 2>&1)
expect "limits that are none do not keep an instance from its end" 0 "$?"
expect_match "and are named" 'broker.cleanup-timeout is "soon"' "$text"
flux start -s2 sh -c 'flux overlay status --wait=lost >/dev/null 2>&1 & sleep 0' 2>"$directory/stderr"
expect "who waits for the overlay does not hold up the end" "0 " "$? $(grep -i 'assert\|abort' "$directory/stderr")"
expect_match "a topology that is none" 'tbon.topo "ring".*kary:K' "$(flux start -s2 -Stbon.topo=ring true 2>&1)"
expect_match "a duration that is none" 'tbon.torpid_max is "soon"' "$(flux start -Stbon.torpid_max=soon true 2>&1)"
expect_match "a log level that is none" 'log-stderr-level is "loud"' "$(flux start -Slog-stderr-level=loud true 2>&1)"
expect_match "a size that is none" "from 1 to" "$(flux start -s0 true 2>&1)"
expect_match "a boot method that is none" "use config, simple or single" \
    "$(flux start -Sbroker.boot-method=magic true 2>&1)"
expect_match "a rundir that cannot be" "cannot make the rundir" "$(flux start -Srundir=/proc/none true 2>&1)"

# A program of flux proxy and an instance that goes.
start_and_wait
for option in "" --nohup; do
    # shellcheck disable=SC2086
    flux proxy $option "$uri" sh -c 'trap "echo hup >>\"$0/proxied\"; exit 5" HUP; echo here >"$0/ready"; while [ ! -e "$0/go" ]; do sleep 0.05; done; exit 6' \
        "$directory" 2>"$directory/proxy$option" &
    until read -r _ <"$directory/ready"; do :; done # the one before may not have closed it yet
    eval "proxy${option//-/_}=$!"
done
FLUX_URI=$uri flux shutdown --quiet
wait "$pid"
wait "$proxy"
expect "is told with SIGHUP" 5 "$?"
expect_match "and the user too" "connection to .* is lost" "$(cat "$directory/proxy")"
touch "$directory/go"
wait "$proxy__nohup"
expect_match "with --nohup it is not" "^6 hup flux-proxy: ERROR: the connection to .* is lost$" \
    "$? $(cat "$directory/proxied") $(cat "$directory/proxy--nohup")"
finish
