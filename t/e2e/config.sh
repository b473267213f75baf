#!/usr/bin/env bash
# flux config: a configuration that changes while the instance runs reaches every broker and module.
if [ -z "${FLUX_CONFIG_DIRECTORY:-}" ]; then
    export FLUX_CONFIG_DIRECTORY=$(mktemp -d)
    printf '[queues.batch]\n[heartbeat]\nperiod = "10s"\n[policy.limits]\nduration = "1h"\n' >"$FLUX_CONFIG_DIRECTORY/a.toml"
fi
brokers=2
start_options="-c$FLUX_CONFIG_DIRECTORY --conf=exec.imp=/bin/echo"
. "$(dirname "$0")/story.sh"
trap 'rm -rf "$FLUX_STORY_DIR" "$FLUX_CONFIG_DIRECTORY"' EXIT
file=$FLUX_CONFIG_DIRECTORY/a.toml

flux config reload
expect "what has not changed is no change" 0 "$?"
sed -i 's/1h/2h/; s/10s/0.5s/' "$file"
echo '[queues.debug]' >>"$file"
flux queue start --all --quiet
expect_match "a limit at first" "allows 1h at most" "$(flux submit -q batch -t 90m true 2>&1)"
flux config reload
expect "the configuration is what the file says" 2h "$(flux config get policy.limits.duration)"
expect "and what --conf said" /bin/echo "$(flux config get exec.imp)"
eventually "the other broker has it" sh -c "[ \"\$(FLUX_URI=${FLUX_URI%-*}-1 flux config get policy.limits.duration)\" = 2h ]"
expect "a module takes what can change" 0.5 "$(flux module stats -p period heartbeat)"
beats=$(flux module stats -p count heartbeat)
more() { [ "$(flux module stats -p count heartbeat)" -gt "$((beats + 2))" ]; }
eventually "and acts by it" more
expect "a queue that is new waits to be started" "batch y debug n" "$(flux queue list -no '{queue} {started.ascii}' | xargs)"
flux queue start --quiet debug
expect_match "the limit has changed" "^ƒ|^f" "$(flux submit -q batch -t 90m true)"
expect_match "on the other rank too" "allows 2h at most" "$(on_rank 1 flux submit -q batch -t 3h true 2>&1)"
flux run -q debug -t 1m true
expect "the new queue runs jobs" 0 "$?"

id=$(flux submit -q debug -t 1h sleep 1000)
text=$(flux config unset queues.debug 2>&1)
expect "a queue with jobs cannot go" 1 "$?"
expect_match "what holds it is named" "job-manager does not take.*job $id is in queue \"debug\"" "$text"
expect "and all is as it was" "batch debug" "$(flux queue list -no '{queue}' | xargs)"
expect_match "in the configuration too" "{}" "$(flux config get queues.debug)"
flux cancel "$id" && flux job wait-event "$id" clean >/dev/null
flux config unset queues.debug
expect "without jobs it goes" batch "$(flux queue list -no '{queue}')"

flux config set heartbeat.period 5s
expect "one value" 5s "$(flux config get heartbeat.period)"
expect_match "a value that a module refuses" "module heartbeat does not take.*soon" "$(flux config set heartbeat.period soon 2>&1)"
expect "changes nothing" 5.0 "$(flux module stats -p period heartbeat)"
flux config set --type=integer a.b 7
expect "a new one, with its type" 7 "$(flux config get --type=integer a.b)"
expect_match "then the type is known" "is no integer; --type" "$(flux config set a.b x 2>&1)"
flux config unset a.b
expect_match "one that is not set" "a.b is not set" "$(flux config unset a.b 2>&1)"
expect_match "another rank says who can" "goes to rank 0, this is rank 1" "$(on_rank 1 flux config reload 2>&1)"
on_rank 1 flux config reload --follower-noop
expect "or does nothing" 0 "$?"

# What jobs run on, and how they end.
down() { flux resource list -no '{state} {ranks}' -s down | sed -n 's/^down //p'; }
flux resource drain 1 broken
flux config set --type=string resource.exclude 1
expect "a node that is excluded" 1 "$(flux resource status -no '{state} {ranks}' | sed -n 's/^exclude //p')"
expect "is no longer drained" "" "$(flux resource status -no '{state} {ranks}' | sed -n 's/^drained //p')"
expect_match "nor can it be" "excluded by configuration" "$(flux resource drain 1 2>&1)"
two=$(flux submit -q batch -t 1m -N2 -x true)
on_it() { flux jobs -no '{annotations.sched.reason_pending}' "$two" | grep -qE "down|drained"; }
eventually "no job gets it" on_it
flux config unset resource.exclude
flux job wait-event -t 20 "$two" clean >/dev/null
expect "one that is not excluded any more is given out again" 0 "$?"
expect_match "a host that there is not is refused" "resource does not take.*resource.exclude.*nosuch" \
    "$(flux config set resource.exclude nosuch 2>&1)"
flux config set resource.path /nonexistent/R
said() { flux dmesg | grep -q 'resource.path: this holds when'; }
eventually "what the resources are does not change: the log says so" said
flux config unset resource.path
expect_match "a duration that is none is refused" "job-exec does not take.*exec.kill-timeout: \"soon\"" \
    "$(flux config set exec.kill-timeout soon 2>&1)"
flux config set exec.kill-timeout 0.5s
expect "job-exec has the new limit" 0.5 "$(flux module stats -p kill-timeout job-exec)"
deaf=$(flux submit -q batch -t 10m sh -c 'trap "" TERM; echo deaf; while :; do sleep 0.1; done')
flux job wait-event -t 20 -p guest.output "$deaf" data >/dev/null
flux cancel "$deaf"
flux job wait-event -t 4 "$deaf" clean >/dev/null
expect "and kills by it" 0 "$?"
echo '#!/bin/sh' >"$FLUX_STORY_DIR/shell"; chmod +x "$FLUX_STORY_DIR/shell"; echo 'exit 7' >>"$FLUX_STORY_DIR/shell"
flux config set exec.job-shell "$FLUX_STORY_DIR/shell"
flux run -q batch -t 1m true >/dev/null 2>&1
expect "another shell" 7 "$?"
flux config unset exec.job-shell
flux config set --type=integer job-manager.inactive-num-limit 1
kept() { [ "$(flux jobs -ano '{id}' | wc -l)" = 1 ]; }
eventually "no more inactive jobs are kept than shall be" kept

echo 'x = [' >>"$file"
expect_match "a mistake in the file is told with its place" "a.toml:[0-9]+:[0-9]+" "$(flux config reload 2>&1)"

printf '{"queues": {"batch": {}}, "exec": {"imp": "/bin/echo"}}' | flux config load
expect "all of it at once" '{"batch":{}}' "$(flux config get queues)"
expect "exec --with-imp runs the IMP in the program's place" "run name -x" "$(flux exec -r 0 --with-imp name -x)"
printf '[queues.batch]\n' | flux config load
expect_match "without an IMP" "exec.imp is not set" "$(flux exec -r 0 --with-imp name 2>&1)"
flux config load "$FLUX_CONFIG_DIRECTORY/none" 2>/dev/null
expect "a path that is not there" 1 "$?"

# what commands say about queues
flux queue disable --quiet batch
flux queue enable --quiet -q batch
expect "enable -q" y "$(flux queue list -no '{enabled.ascii}')"
expect_match "one or all" "exclude each other" "$(flux queue enable -a batch 2>&1)"
expect_match "of all" "batch: " "$(flux queue status -a)"
flux queue start --all --quiet
id=$(flux submit -q batch -t 5m sleep 1000)
flux update --wait "$id" duration=10m
expect_match "update --wait: the log has it" "duration" "$(flux job eventlog "$id" | grep jobspec-update)"
flux cancel "$id"
finish
