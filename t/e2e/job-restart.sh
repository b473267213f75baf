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
    flux queue stop >/dev/null
    kill -9 "$(flux getattr broker.pid)"' 2>/dev/null
for id in done running held dependent; do [ -s "$work/$id" ] || { echo "FAILED: the first life did not get to $id"; exit 1; }; done
export done=$(cat "$work/done") running=$(cat "$work/running") held=$(cat "$work/held") dependent=$(cat "$work/dependent")

flux-broker -Sstatedir="$work/state" bash -c '
    flux job wait-event "$running" clean >/dev/null
    flux jobs -ano "{id} {status_abbrev}" >"$work/jobs"
    flux job eventlog "$running" >"$work/running.log"
    flux queue status >"$work/queue"
    flux job attach "$done" >"$work/output"
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
[ "$failures" -eq 0 ] && echo "all as expected"
exit "$((failures > 0))"
