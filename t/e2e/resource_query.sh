#!/bin/bash
# The offline tool: resource-query with a command file, its options and mistakes.
cd "$(dirname "$0")/.." || exit 1
export PATH=$FLUX_BUILD_BIN:$PATH
failures=0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
expect() {
    [ "$2" = "$3" ] && return
    printf 'FAILED: %s\n' "$1"
    diff <(printf '%s\n' "$2") <(printf '%s\n' "$3")
    failures=$((failures + 1))
}
spec=data/graph/jobspec
frame="INFO: ============================="
query() { resource-query -L data/graph/tiny.graphml -d "$@"; }

cat >"$tmp/commands" <<END
# text that is no command is passed over
match allocate $spec/node.yaml
match allocate nowhere.yaml
match allocate $spec/unknown.yaml
match satisfiability $spec/never.yaml
match allocate_with_satisfiability $spec/never.yaml
m allocate_orelse_reserve $spec/node.yaml
match allocate $spec/node.yaml
match allocate_orelse_reserve $spec/node.yaml
get-status /tiny0/rack0/node1
set-status /tiny0/rack0/node1 down
get-status /tiny0/rack0/node1
set-status /tiny0/rack0/node1 sideways
find status=down
set-property /tiny0/rack0 row=7
set-property /tiny0/rack0 row
get-property /tiny0/rack0
get-property /tiny0/rack9
cancel 77
cancel 1
info 1
END
query -P low -t "$tmp/out" <"$tmp/commands" >"$tmp/stdout" 2>"$tmp/errors"
expect "a command file" "      ---------------core0[1:x]
      ---------------core1[1:x]
      ---------------core2[1:x]
      ---------------core3[1:x]
      ---------------gpu0[1:x]
      ------------socket0[1:s]
      ---------------core18[1:x]
      ---------------core19[1:x]
      ---------------core20[1:x]
      ---------------core21[1:x]
      ---------------gpu1[1:x]
      ------------socket1[1:s]
      ---------node0[1:s]
      ------rack0[1:s]
      ---tiny0[1:s]
$frame
INFO: JOBID=1
INFO: RESOURCES=ALLOCATED
INFO: SCHEDULED AT=Now
$frame
$frame
INFO: No matching resources found
INFO: JOBID=2
$frame
$frame
INFO: Unsatisfiable request
$frame
$frame
INFO: No matching resources found
INFO: Unsatisfiable request
INFO: JOBID=2
$frame" "$(head -32 "$tmp/out")"
expect "its mistakes" "ERROR: can't open nowhere.yaml
match_allocate: ERROR: Jobspec error for 2: Value of \"type\" must be a resource type known to fluxion: \"unicorn\" does not occur in the graph
ERROR: unrecognized status
cancel: ERROR: nonexistent job 77" "$(cat "$tmp/errors")"
expect "the reserved job begins when the first ends" "INFO: SCHEDULED AT=Now INFO: SCHEDULED AT=Now INFO: SCHEDULED AT=3600" \
    "$(grep -h 'SCHEDULED' "$tmp/out" | xargs)"
expect "job ids go on after a failure, not after a bad jobspec" "1 2 2 3 4 5" "$(sed -n 's/INFO: JOBID=//p' "$tmp/out" | xargs)"
expect "status, properties" "/tiny0/rack0/node1 is up
/tiny0/rack0/node1 is down
Incorrect input format. 
Please use \`set-property <resource> PROPERTY=VALUE\`.
row=7
Could not find path /tiny0/rack9 in resource graph." "$(grep -E ' is |Incorrect|Please|row=|Could' "$tmp/out")"
expect "info goes to stdout" "INFO: 1, CANCELED, 0, $spec/node.yaml" "$(cut -d, -f1-4 "$tmp/stdout")"

# What is written can be read again: as R, as JGF.
for format in rv1_nosched jgf; do
    echo "match allocate $spec/node.yaml" | query -P high -F $format | head -1 >"$tmp/$format.json"
    as=$([ $format = jgf ] && echo jgf || echo rv1exec)
    printf 'update allocate %s %s 7 0 3600\nmatch allocate %s\n' $as "$tmp/$format.json" $spec/node.yaml >"$tmp/again"
    expect "$format comes back" "$(cat "$tmp/$format.json")" "$(query -P high -F $format <"$tmp/again" | head -1)"
    expect "$format: ids go on behind it" "7 8" "$(query -F $format <"$tmp/again" | sed -n 's/INFO: JOBID=//p' | xargs)"
done
expect "R names ranks and hosts" '{"version": 1, "execution": {"R_lite": [{"rank": "1", "children": {"core": "14-17,32-35", "gpu": "0-1"}}], "nodelist": ["node1"], "starttime": 0, "expiration": 3600}}' \
    "$(cat "$tmp/rv1_nosched.json")"

expect "what cat prints" "x
INFO: Jobspec in $tmp/x" "$(echo x >"$tmp/x"; echo "cat $tmp/x" | query)"
expect "multi-match passes over what is not there" "1 2" \
    "$(echo "multi-match allocate $spec/node.yaml nowhere $spec/node.yaml $spec/never.yaml $spec/node.yaml" | query 2>/dev/null |
        sed -n '/^INFO: JOBID/{s/.*=//;h};/ALLOCATED/{g;p}' | xargs)"
printf '{"version": 1, "execution": {"R_lite": [{"rank": "1", "children": {"core": "35"}}], "nodelist": ["node1"]}}' >"$tmp/other.json"
expect "a part that the job does not have" "ERROR: error encountered while removing job 1: it has nothing of what $tmp/other.json names" \
    "$(printf 'match allocate %s\npartial-cancel 1 rv1exec %s\n' $spec/node.yaml "$tmp/other.json" | query -P low 2>&1 >/dev/null)"
expect "an update that is in the way of a job" "No matching resources found JOBID=7" \
    "$(printf 'match allocate %s\nupdate allocate rv1exec %s 7 0 10\n' $spec/node.yaml "$tmp/other.json" | query -P high 2>/dev/null |
        tail -3 | sed -n 's/INFO: \([NJ]\)/\1/p' | xargs)"
expect "what it does not know" "ERROR: unknown subcmd best
ERROR: unsupported reader best" \
    "$(printf 'match best %s\nupdate allocate best %s 1 0 1\n' $spec/node.yaml "$tmp/x" | query 2>&1)"

expect "the reason" "INFO: WHY: needs 3 nodes: the machine has 2" \
    "$(echo "match allocate $spec/never.yaml" | query --why | grep WHY)"
query --match-policy=best </dev/null >/dev/null 2>&1
expect "an unknown policy is refused" 1 $?
resource-query -L nowhere.graphml -d </dev/null 2>"$tmp/errors"
expect "a graph that is not there is named" "1 resource-query: Runtime error: can't open nowhere.graphml" "$? $(cat "$tmp/errors")"
expect "statistics of the load" "INFO: Vertex Count: 100 INFO: Edge Count: 99 INFO: by_type Key-Value Pairs: 7 INFO: by_name Key-Value Pairs: 52 INFO: by_path Key-Value Pairs: 100" \
    "$(query -e </dev/null | grep -E 'Count:|Pairs' | xargs)"
query -o "$tmp/tiny.dot" </dev/null
expect "the graph as dot" 1 "$(grep -c 'label="core35"' "$tmp/tiny.dot" | sed 's/2/1/')"
expect "flux finds it" 0 "$(flux resource-query -L data/graph/tiny.graphml -d </dev/null >/dev/null 2>&1; echo $?)"

# The tour of the README: three jobs use up the power of the first rack, the fourth goes to the second.
cd .. || exit 1
resource-query -d -L doc/examples/cluster.graphml -S C+PA -P compact --divisible=memory,power --why \
    < <(sed '/^match allocate_orelse/,$ d' doc/examples/scheduler-tour) >"$tmp/out"
expect "power is shared by a rack's nodes" "node0 node1 node2 node4" "$(grep -oE 'node[0-9]+' "$tmp/out" | xargs)"
expect "cores, gpu and memory share a socket" 8 "$(grep -cE 'memory[01]\[12:x\]' "$tmp/out")"
expect "the reason is the power" "INFO: WHY: needs 2500 W of power: 2000 free, 4000 allocated (next free 3600)" "$(grep WHY "$tmp/out")"
[ "$failures" -eq 0 ] && echo "all as expected"
exit $((failures > 0))
