#!/bin/bash
# flux ion-resource: matches beside the queue's jobs, searches, and changes of the graph; what it prints and returns.
brokers=4
conf=${FLUX_ION_STORY_CONF:-$(mktemp -d)}
if [ -z "${FLUX_ION_STORY_CONF:-}" ]; then
    export FLUX_ION_STORY_CONF=$conf
    printf '[resource]\nnoverify = true\n[[resource.config]]\nhosts = "n[0-3]"\ncores = "0-3"\n' >"$conf/resource.toml"
fi
start_options="--config-path=$conf"
. "$(dirname "$0")/story.sh"
trap 'rm -rf "$FLUX_ION_STORY_CONF"' EXIT
cd "$FLUX_STORY_DIR" || exit 1

ion() { flux ion-resource "$@"; }
down_nodes() { ion status | sed 's/.*"down": .*"nodelist": \["\([^"]*\)".*"allocated".*/\1/'; }
all_of() { ion status | sed 's/.*"all": \(.*\), "down".*/\1/'; }
status_of() { "$@" >/dev/null 2>&1; echo $?; }
# nodes NAME COUNT: a jobspec for whole nodes
nodes() {
    cat >"$1" <<YAML
version: 9999
resources:
  - type: node
    count: $2
    exclusive: true
    with: [{type: slot, count: 1, label: s, with: [{type: core, count: 1}]}]
tasks: [{command: [app], slot: s, count: {per_slot: 1}}]
attributes: {system: {duration: 3600}}
YAML
}
nodes one.yaml 1
nodes two.yaml 2
nodes nine.yaml 9
printf 'version: [\n' >broken.yaml
printf 'version: 9999\n' >poor.yaml
eventually "all nodes are up" test "$(flux resource list -no '{nnodes}' -s free)" = 4

# --- matching
text=$(ion match allocate two.yaml)
expect "matching succeeds" 0 $?
expect "the heading has four columns" "JOBID               STATUS              AT                  OVERHEAD (Secs)     " \
    "$(head -1 <<<"$text")"
expect_match "the row" '^0 {19}ALLOCATED {11}1[0-9]{9} {10}0\.[0-9]+ *$' "$(sed -n 2p <<<"$text")"
expect "a line" "$(printf '=%.0s' {1..80})" "$(sed -n 3p <<<"$text")"
expect "then the resources" "MATCHED RESOURCES:" "$(sed -n 4p <<<"$text")"
expect_match "as R" '"R_lite": \[\{"rank": "0-1", .*"nodelist": \["n\[0-1\]"\]' "$(sed -n 5p <<<"$text")"
sed -n 5p <<<"$text" >R.0
expect "they are allocated for all" 2 "$(flux resource list -no '{nnodes}' -s allocated)"
expect "what is not free now" 16 "$(status_of ion match allocate nine.yaml)"
expect "what can never be" 19 "$(status_of ion match allocate_with_satisfiability nine.yaml)"
expect_match "is told" 'never satisfiable: needs 9 nodes: the machine has 4' \
    "$(ion match satisfiability nine.yaml 2>&1)"
expect_match "what could be" '^1 +MATCHED +Now' "$(ion match satisfiability two.yaml | sed -n 2p)"
expect_match "nothing is allocated by looking" '^1 +MATCHED +1' "$(ion match without_allocating two.yaml | sed -n 2p)"
expect "broken YAML" 2 "$(status_of ion match allocate broken.yaml)"
expect "no jobspec" 1 "$(status_of ion match allocate poor.yaml)"
expect "no such operation" 1 "$(status_of ion match borrow one.yaml)"
expect "no such file" 3 "$(status_of ion match allocate nowhere.yaml)"
expect "no such command" 1 "$(status_of ion dance)"

# --- beside the jobs of the queue
job=$(flux submit -N2 -x sleep 300)
flux job wait-event -t 20 "$job" start >/dev/null
expect "a job gets the others" "[2-3]" "$(flux jobs -no '{ranks}' "$job")"
expect_match "what is in use is reserved for later" '^1 +RESERVED +1' \
    "$(ion match allocate_orelse_reserve one.yaml | sed -n 2p)"
expect_match "and can be looked at" '^1 +RESERVED' "$(ion info 1 | tail -1)"
expect "a job of the queue is not given back here" 1 "$(status_of ion cancel "$job")"
expect_match "but known" "^$(flux job id --to=dec "$job") +ALLOCATED" "$(ion info "$job" | tail -1)"
expect "nor is what it has removed" 16 "$(status_of ion remove-subgraph /cluster0/n3)"
expect "a reservation is given back" 0 "$(status_of ion cancel 1)"
expect "once" 3 "$(status_of ion cancel 1)"
expect_match "and remembered" '^1 +CANCELED' "$(ion info 1 | tail -1)"
expect "unknown jobs" 3 "$(status_of ion info 4711)"
waiting=$(flux submit -N1 -x true)
echo '{"version":1,"execution":{"R_lite":[{"rank":"1","children":{"core":"0-3"}}],"nodelist":["n1"],"starttime":0,"expiration":0}}' >R.part
expect "a part is given back" 0 "$(status_of ion partial-cancel 0 R.part)"
flux job wait-event -t 20 "$waiting" clean >/dev/null
expect "and serves a job of the queue" 0 $?
expect "the other part is still held" 0 "$(ion find -q jobid-alloc=0 --format=rlite | sed 's/.*"rank": "\([^"]*\)".*/\1/')"
expect "the rest is given back" 0 "$(status_of ion cancel 0)"
expect_match "update takes what R says" '^7 +ALLOCATED' "$(ion update R.0 7 | sed -n 2p)"
expect "not twice" 16 "$(status_of ion update R.0 8)"
expect "nor for the same job" 1 "$(status_of ion update R.0 7)"
expect_match "numbers go on after it" '^8 ' "$(ion match satisfiability one.yaml | sed -n 2p)"
ion cancel 7
flux cancel "$job"
flux job wait-event -t 20 "$job" clean >/dev/null

# --- looking
expect "find with its heading" "CRITERIA
'names=n2'
$(printf '=%.0s' {1..80})
MATCHED RESOURCES:
      ------n2[1:x]
      ---cluster0[1:x]" "$(ion find names=n2 --format=simple)"
expect "find nothing" "" "$(ion find -q sched-now=allocated)"
expect_match "find as R" '"nodelist": \["n\[0-3\]"\]' "$(ion find -q 'status=up and sched-now=free')"
expect_match "a mistake in the criteria" 'key "criteria": find: expected' "$(ion find colour 2>&1)"
expect_match "status" '^\{"all": \{.*"down": \{.*"allocated": \{' "$(ion status)"
expect_match "params" '"policy": "lonode", "match-format": "rv1_nosched"' "$(ion params)"
expect_match "stats" '^\{"V": 21, "E": 20, "by_rank": \{"-1": 1, "\[0-3\]": 5\}' "$(ion stats)"
expect_match "of matches" '"succeeded": \{"njobs": [1-9]' "$(ion stats)"
ion stats-cancel
expect_match "begin anew" '"succeeded": \{"njobs": [1-9][0-9]*, "njobs-reset": 0' "$(ion stats)"
expect "ids are the same everywhere" 3 "$(ion ns-info 2 core 3)"
expect "if they exist" 3 "$(status_of ion ns-info 2 core 4)"

# --- changing
ion set-property /cluster0/n1 /cluster0/n2 colour=red
expect "a property" "colour = ['red']" "$(ion get-property /cluster0/n2 colour)"
expect "which jobs can ask for" 1 "$(flux run -N1 --requires=colour flux getattr rank)"
ion remove-property /cluster0/n1 /cluster0/n2 colour
expect "is gone" 3 "$(status_of ion get-property /cluster0/n2 colour)"
expect "no such vertex" 3 "$(status_of ion set-property /cluster0/n9 a=b)"
expect "no value" 1 "$(status_of ion set-property /cluster0/n1 a)"
ion set-status /cluster0/n0 down
expect "a node is down" n0 "$(down_nodes)"
expect "jobs go elsewhere" 1 "$(flux run -N1 flux getattr rank)"
ion set-status /cluster0/n0 up
expect "and up" "" "$(down_nodes)"
ion set-status /cluster0/n1/core2 down
expect "a core is down" "1 1" "$(flux resource list -no '{ncores} {ranks}' -s down)"
ion set-status /cluster0/n1/core2 up
expect "and up" 0 "$(flux resource list -no '{ncores}' -s down)"
flux resource drain 2 fan
eventually "a drained node is down" test "$(flux resource list -no '{ranks}' -s down)" = 2
expect_match "and is not set up from here" 'cannot be set up: its broker is down, or it is drained' \
    "$(ion set-status /cluster0/n2 up 2>&1)"
flux resource undrain 2
expect "no such status" 1 "$(status_of ion set-status /cluster0/n2 sideways)"
ion find -q 'status=up' --format=jgf >all.jgf
expect "a node leaves the graph" 0 "$(status_of ion remove-subgraph /cluster0/n3)"
expect_match "and the resources" '"rank": "0-2"' "$(all_of)"
expect_match "jobs cannot have it" 'the machine has 3' "$(flux run -N4 true 2>&1)"
expect "it comes back" 0 "$(status_of ion add-subgraph all.jgf)"
expect_match "with all that it has" '\{"rank": "0-3", "children": \{"core": "0-3"\}\}' "$(all_of)"
expect "and runs jobs" "0 1 2 3" "$(flux run -N4 flux getattr rank | sort | xargs)"
sed 's/"rank": 3/"rank": 9/g; s/n3/n9/g' all.jgf >strange.jgf
expect_match "a node without a broker" 'this instance has no broker of rank 9' "$(ion add-subgraph strange.jgf 2>&1)"
sed 's/n3/n9/g' all.jgf >double.jgf
expect_match "two nodes of one rank" 'rank 3 is /cluster0/n3 already' "$(ion add-subgraph double.jgf 2>&1)"
expect "nothing of them is there" 3 "$(status_of ion get-property /cluster0/n9 a)"
expect_match "but what was" '"V": 21, "E": 20' "$(ion stats)"
expect "nothing new" 3 "$(status_of ion add-subgraph all.jgf)"

# --- R with a graph
flux resource R | flux ion-R encode --output=R.graph
expect "encoding succeeds" 0 $?
expect_match "its graph is that of the scheduler" '"scheduling":\{"graph":\{"nodes":\[.*"/cluster0/n2/core3"' "$(cat R.graph)"
expect_match "which can be loaded" "^n3 is up|/cluster0/n3 is up" \
    "$(echo 'get-status /cluster0/n3' | flux resource-query -d -L R.graph -f rv1exec)"
expect "what is no R" 1 "$(echo '{}' | status_of flux ion-R encode)"

# --- the queue manager's face
text=$(flux module stats sched-fluxion-qmanager)
expect_match "its queue" '"default"' "$text"
expect_match "with what became of its jobs" '"complete": *[1-9]' "$text"
flux module stats --clear sched-fluxion-qmanager
expect_match "counted anew" '"complete": *0' "$(flux module stats sched-fluxion-qmanager)"
finish
