#!/usr/bin/env bash
# Resources of a tree: drained nodes, a broker that is lost, the journal; and the KVS as other ranks see it.
brokers=4
. "$(dirname "$0")/story.sh"
states() { flux resource status -n | awk '{ print $1, $3 }' | xargs; }

expect "all nodes are there" "avail 4" "$(states)"
flux resource drain 2 "bad disk"
expect "a drained node is set apart" "avail 3 drained 1" "$(states)"
expect_match "and says why" "bad disk" "$(flux resource drain)"
expect_match "a rank that is drained is not drained again" "drained already" "$(flux resource drain 2 worse 2>&1)"
flux resource drain --force 2 worse
expect_match "unless that is meant" "worse" "$(flux resource drain)"
expect_match "no rank beyond the instance's" "no rank 9" "$(flux resource drain 9 x 2>&1)"
expect_match "the log in the KVS has both" '"drain".*"overwrite":1' "$(flux kvs get resource.eventlog | xargs -0 echo)"

on_rank 3 flux kvs put here=1
expect "what rank 3 wrote, rank 3 sees" 1 "$(on_rank 3 flux kvs get here)"
expect "and rank 0" 1 "$(flux kvs get here)"
version=$(flux kvs put --sequence there=2)
on_rank 3 flux kvs wait "$version"
expect "what rank 0 wrote, rank 3 sees" 2 "$(on_rank 3 flux kvs get there)"

kill -9 "$(on_rank 3 flux getattr broker.pid)"
expect_match "the loss is told" "offline" "$(flux resource eventlog -w offline -t 20s)"
expect "the node is down" "avail 2 avail* 1 drained 1" "$(states)"
flux resource undrain 2
expect_match "undrained nodes come back" "avail 3" "$(states)"
expect_match "the journal tells it all" "restart.*resource-define.*drain.*offline.*undrain" \
    "$(flux resource eventlog | cut -d' ' -f2 | xargs)"
finish
