#!/usr/bin/env bash
# The README's tours, as they stand in doc/examples.
brokers=4
. "$(dirname "$0")/story.sh"

cd "$(dirname "$0")/../.." || exit 1
text=$(sh -x doc/examples/tour.sh 2>&1)
expect "every line of the tour succeeds, but the one that is to fail" "exit code 3" "$(grep -oE 'exit code [0-9]+' <<<"$text")"
expect_match "the ten jobs are completed" "CD:10 F:0" "$text"
expect_match "a key has its value" "^hello$" "$text"
expect "no command complains" "" "$(grep -E 'ERROR|not found' <<<"$text")"
text=$(resource-query -d -L doc/examples/cluster.graphml -S C+PA -P compact --divisible=memory,power --why <doc/examples/scheduler-tour)
expect "the scheduler's tour says what is short" "INFO: WHY: needs 2500 W of power: 2000 free, 4000 allocated (next free 3600)" \
    "$(grep WHY <<<"$text")"
finish
