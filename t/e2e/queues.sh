#!/usr/bin/env bash
# Named queues, their limits and defaults, and stopping them.
. "$(dirname "$0")/story.sh"
if [ -z "${FLUX_QUEUES_STORY:-}" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    cat >"$work/queues.toml" <<TOML
[queues.batch]
[queues.debug.policy.limits]
duration = "10m"
job-size.max.ncores = 1
[policy.jobspec.defaults.system]
queue = "batch"
duration = "1h"
[policy.limits]
duration = "2h"
TOML
    FLUX_QUEUES_STORY=1 flux start -c"$work" "$BASH" "$0"
    exit
fi

id=$(flux submit true)
expect "a job without a queue gets the default one" batch "$(flux jobs -no '{queue}' "$id")"
expect_match "and the default duration" '^(1h|3600(\.0)?)$' "$(flux jobs -no '{duration}' "$id")"
expect_match "named queues wait to be started" "stopped" "$(flux queue status)"
flux queue start --all >/dev/null
flux job wait-event "$id" clean >/dev/null
expect_match "then it runs" " CD " "$(flux jobs -a | grep "$id")"
text=$(flux submit -q nope true 2>&1)
expect_match "a queue that there is not" "Invalid queue 'nope' specified" "$text"
text=$(flux submit -t 3h true 2>&1)
expect_match "too long" "batch allows 2h at most" "$text"
text=$(flux submit -q debug -t 1h true 2>&1)
expect_match "too long for this queue" "debug allows 10m at most" "$text"
text=$(flux submit -q debug -t 5m -n2 true 2>&1)
expect_match "too large for this queue" "asks 2 cores, but queue debug allows at most 1" "$text"
flux queue stop -q debug >/dev/null 2>&1 || flux queue stop debug >/dev/null
id=$(flux submit -q debug -t 5m true)
expect "a job of a stopped queue waits" SCHED "$(flux jobs -no '{state}' "$id")"
flux queue start --all >/dev/null
flux job wait-event "$id" clean >/dev/null
finish
