#!/usr/bin/env bash
# An instance with a statedir is killed, and starts again with every job that it had acknowledged.
set -u
export PATH=$FLUX_BUILD_BIN:$PATH
unset FLUX_URI
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/state"
export work
failures=0
expect() { [ "$2" = "$3" ] && return; printf 'FAILED: %s\n  expected: %s\n  found:    %s\n' "$@"; failures=$((failures + 1)); }
expect_match() { grep -qE -- "$2" <<<"$3" && return; printf 'FAILED: %s\n  pattern: %s\n  found:   %s\n' "$@"; failures=$((failures + 1)); }

# The first life: jobs in every state, then kill -9 of the broker from inside.
flux-broker -Sstatedir="$work/state" bash -c '
    flux run echo done >/dev/null
    flux job last >"$work/done"
    flux submit -n1 sleep 100 >"$work/running"
    flux job wait-event "$(cat "$work/running")" start >/dev/null
    flux submit --urgency=hold true >"$work/held"
    flux submit --dependency=afterany:"$(cat "$work/held")" true >"$work/dependent"
    for word in true false true; do flux submit --flags=waitable $word; done >"$work/waitable"
    for id in $(cat "$work/waitable"); do flux job wait-event "$id" clean >/dev/null; done
    flux job wait "$(head -1 "$work/waitable")"
    flux queue stop >/dev/null
    kill -9 "$(flux getattr broker.pid)"' 2>/dev/null
for id in done running held dependent waitable; do [ -s "$work/$id" ] || { echo "FAILED: the first life did not get to $id"; exit 1; }; done
export done=$(cat "$work/done") running=$(cat "$work/running") held=$(cat "$work/held") dependent=$(cat "$work/dependent")

flux-broker -Sstatedir="$work/state" bash -c '
    flux job wait-event "$running" clean >/dev/null
    flux jobs -ano "{id} {status_abbrev}" >"$work/jobs"
    flux job eventlog "$running" >"$work/running.log"
    flux queue status >"$work/queue"
    flux job attach "$done" >"$work/output"
    flux job wait >"$work/wait" 2>&1
    echo "status $?" >>"$work/wait"
    flux job wait "$(head -1 "$work/waitable")" >>"$work/wait" 2>&1
    echo "status $?" >>"$work/wait"
    flux submit true >"$work/new"
    flux queue start >/dev/null
    flux job urgency "$held" default
    for id in "$held" "$dependent" "$(cat "$work/new")"; do flux job wait-event "$id" clean >/dev/null; done
    flux jobs -ano "{id} {status_abbrev}" >"$work/jobs2"' 2>"$work/errors"
expect "the second life comes to its end" 0 "$?"
expect_match "what had ended is listed again" "$done CD" "$(cat "$work/jobs")"
expect_match "what ran has failed" "$running F" "$(cat "$work/jobs")"
expect "once" "1 1 1 1" "$(for e in start exception free clean; do grep -c " $e" "$work/running.log"; done | xargs)"
expect_match "and says why" "running when the instance stopped" "$(cat "$work/running.log")"
expect_match "what waited waits" "$held S" "$(cat "$work/jobs")"
expect_match "and what depends on it" "$dependent D" "$(cat "$work/jobs")"
expect_match "a stopped queue stays stopped" "stopped" "$(cat "$work/queue")"
expect "output is still there" "done" "$(cat "$work/output")"
expect "then everything runs" 0 "$(grep -cvE ' (CD|F)$' "$work/jobs2")"

# The third life: results of waitable jobs were there once in all.
flux-broker -Sstatedir="$work/state" bash -c 'flux job wait; echo "status $?"; flux job wait; echo "status $?"' >>"$work/wait" 2>/dev/null
second=$(sed -n 2p "$work/waitable") third=$(sed -n 3p "$work/waitable")
expect "waitable jobs are waited for once" "$second status 1 status 2 $third status 0 status 2" \
    "$(grep -v '^flux-job' "$work/wait" | xargs)"
expect_match "a failed one says so after a restart" "$second: task.s. exited with exit code 1" "$(cat "$work/wait")"
expect_match "one that was waited for says so" "was waited for already" "$(cat "$work/wait")"
[ "$failures" -eq 0 ] && echo "all as expected"
exit "$((failures > 0))"
