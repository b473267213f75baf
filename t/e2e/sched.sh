#!/bin/bash
# The graph scheduler in an instance of four brokers: backfill beside a reservation, reasons, a drained node, changes.
brokers=4
conf=${FLUX_SCHED_STORY_CONF:-$(mktemp -d)}
if [ -z "${FLUX_SCHED_STORY_CONF:-}" ]; then
    export FLUX_SCHED_STORY_CONF=$conf
    printf '[sched-fluxion-qmanager]\nqueue-policy = "easy"\n' >"$conf/sched.toml"
fi
start_options="--config-path=$conf"
. "$(dirname "$0")/story.sh"
trap 'rm -rf "$FLUX_SCHED_STORY_CONF"' EXIT

annotation() { flux jobs -no "{annotations.sched.$2}" "$1"; }
has_reason() { annotation "$1" reason_pending | grep -qE -- "$2"; }

running=$(flux submit -N3 -x -t 10m sleep 300)
flux job wait-event -t 20 "$running" start >/dev/null
wide=$(flux submit -N4 -x -t 10m true)
eventually "the wide job gets a reason" has_reason "$wide" 'needs 4 nodes: 1 free, 3 allocated \(next free [0-9]'
expect_match "and an estimate" '^1[0-9]{9}' "$(annotation "$wide" t_estimate)"
short=$(flux submit -N1 -x -t 1m true)
flux job wait-event -t 20 "$short" clean >/dev/null
expect "a short job passes by" 0 $?
long=$(flux submit -N1 -x -t 1h true)
eventually "a long one would delay the wide one" has_reason "$long" 'needs 1 node: 0 free, 3 allocated .*1 reserved for other jobs'
expect "it waits" S "$(flux jobs -no '{status_abbrev}' "$long")"

never=$(flux submit -N5 true 2>&1)
expect_match "what can never run is refused" 'needs 5 nodes: the machine has 4' "$never$(flux job eventlog "$never" 2>/dev/null)"

picture=$(flux resource graph)
expect "a picture shows the nodes" 4 "$(grep -cE '</text>$' <<<"$picture" | awk '{print $1 - 3}')"
expect_match "and what is allocated" 'core0: allocated' "$picture"
expect_match "or as dot" '^  instance -> rank3;' "$(flux resource graph --dot)"

flux cancel "$wide"
flux job wait-event -t 20 "$long" clean >/dev/null
expect "without the wide job the long one starts" 0 $?

flux resource drain 3 fan
many=$(flux submit -N4 -x -t 1m true)
eventually "the reason names the drained node" has_reason "$many" '0 free, 3 allocated .*1 drained: "fan"'
flux resource undrain 3
flux cancel "$running"
flux job wait-event -t 20 "$many" clean >/dev/null
expect "it runs when all is there" 0 $?

# The resource module goes and comes back, and a scheduler comes that has nothing to schedule.
down_nodes() { flux resource list -no '{state} {ranks}' | sed -n 's/^down //p'; }
is_down() { [ "$(down_nodes)" = "$1" ]; }
flux module reload resource
flux resource drain 1 deaf
eventually "the scheduler hears of a drained node after a reload of resource" is_down 1
flux resource undrain 1
eventually "and that it is back" is_down ""
flux module remove sched
flux module load sched load-file=/nonexistent/R
has_scheduler() { flux module list | grep -qw sched; }
no_scheduler() { ! has_scheduler; }
eventually "a scheduler that cannot begin ends" no_scheduler
flux module load sched
flux submit -N4 -x --wait true >/dev/null
expect "another one begins" 0 $?
expect "nothing is left allocated" 0 "$(flux resource list -n -s allocated | awk '{print $3}')"

# A machine of a recipe, in place of what the instance has.
flux module remove sched
flux module load sched load-format=grug load-file="$(cd "$(dirname "$0")/.." && pwd)/data/graph/tiny.graphml"
expect "a recipe is scheduled" '[{"rank": "0-1", "children": {"core": "0-35", "gpu": "0-1"}}]' \
    "$(flux ion-resource find -q --format=rlite status=up)"
expect "and its gpus run jobs" 'rank0/core[0-3],gpu0' \
    "$(flux jobs -no '{annotations.sched.resource_summary}' "$(flux submit --wait -n1 -c4 -g1 true)")"
flux module reload sched
finish
