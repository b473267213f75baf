#!/usr/bin/env bash
# Nodes that are excluded and are not any more, queues that get other hosts, properties: all without a reload of anything.
brokers=4
if [ -z "${FLUX_CONFIG_DIRECTORY:-}" ]; then
    export FLUX_CONFIG_DIRECTORY=$(mktemp -d)
    cat >"$FLUX_CONFIG_DIRECTORY/a.toml" <<'TOML'
[[resource.config]]
hosts = "n[0-3]"
cores = "0-3"
[resource]
exclude = "n[2-3]"
noverify = true
[queues.batch]
hosts = "all"
[queues.debug]
hosts = "n1"
TOML
fi
start_options="-c$FLUX_CONFIG_DIRECTORY"
. "$(dirname "$0")/story.sh"
trap 'rm -rf "$FLUX_STORY_DIR" "$FLUX_CONFIG_DIRECTORY"' EXIT
file=$FLUX_CONFIG_DIRECTORY/a.toml
flux queue start --all --quiet
nodes() { flux resource list -s "$1" -no '{nodelist}'; }
queues() { flux resource list -s all -no '{queue} {nodelist}' | xargs; }
reload() { sed -i "$1" "$file" && flux config reload; }

expect "excluded nodes are not there" "n[0-1]" "$(nodes all)"
expect "queues have their hosts" "batch n0 batch,debug n1" "$(queues)"
expect "whose property is not shown beside them" "" "$(flux resource list -s all -no '{propertiesx}')"
expect_match "nor feasible" "never satisfiable.*3 nodes" "$(flux submit -q batch -N3 true 2>&1)"
expect "a queue's jobs get its hosts" n1 "$(flux run -q debug true; flux jobs -no '{nodelist}' "$(flux job last)")"
waits=$(flux submit -q batch -N2 -x sleep inf)
flux job wait-event "$waits" start >/dev/null
behind=$(flux submit -q batch -N2 -x true)
reload 's/^exclude.*/exclude = "n3"/'
expect "a node that is not excluded any more is there" "n[0-2]" "$(nodes all)"
expect_match "jobs can have it" "^ƒ|^f" "$(flux submit -q batch --urgency=hold -N3 true)"
reload 's/^exclude.*/exclude = ""/'
flux job wait-event -t 20 "$behind" clean >/dev/null
expect "one that waited runs there" "n[2-3]" "$(flux jobs -ano '{nodelist}' "$behind")"
expect_match "nothing asks for a reload" "^0$" "$(flux dmesg | grep -c 'module reload')"

# A job goes on where nothing is given out any more, over a reload of sched, and keeps what it has there.
flux cancel "$waits" && flux job wait-event "$waits" clean >/dev/null
stays=$(flux submit -q batch -N1 -x --requires=host:n2 sleep inf)
flux job wait-event "$stays" start >/dev/null
reload 's/^exclude.*/exclude = "n2"/'
expect "excluded again" "n[0-1,3]" "$(nodes all)"
flux module reload sched
eventually "sched is back" flux submit -q batch true
expect_match "and knows less" "never satisfiable.*4 nodes.*the machine has 3" "$(flux submit -q batch -N4 true 2>&1)"
reload 's/^exclude.*/exclude = ""/'
expect "what the job has is its own" "n2" "$(nodes allocated)"
all=$(flux submit -q batch -N4 -x true)
others=$(flux submit -q batch -N3 -x true)
flux cancel "$stays"
flux job wait-event -t 20 "$all" clean >/dev/null
expect "until it ends" 0 "$?"

# Queues.
reload '/queues.debug/,$ s/^hosts.*/hosts = "n[0,3]"/'
expect "a queue has other hosts" "batch,debug n[0,3] batch n[1-2]" "$(queues)"
expect "and its jobs" "n[0,3]" "$(flux run -q debug -N2 true; flux jobs -no '{nodelist}' "$(flux job last)")"
expect_match "no more than these" "never satisfiable" "$(flux submit -q debug -N3 true 2>&1)"
expect "R does not tell of it" "" "$(flux job info "$(flux job last)" R | grep -o debug)"
expect_match "hosts that there are not are refused" 'resource does not take.*queues.debug.hosts = "n9": this instance has no host n9' \
    "$(flux config set queues.debug.hosts n9 2>&1)"
flux module reload resource
eventually "the resource module is back" flux resource status
expect "and knows it" "batch,debug n[0,3] batch n[1-2]" "$(queues)"
flux config set --type=string queues.night.hosts n2
flux queue start --quiet night
expect "a new queue has its own" n2 "$(flux run -q night true; flux jobs -no '{nodelist}' "$(flux job last)")"

# Properties of [[resource.config]].
sed -i '1i [[resource.config]]\nhosts = "n[0-3]"\ncores = "0-3"\n[[resource.config]]\nhosts = "n3"\nproperties = ["big"]' "$file"
sed -i '7,9d' "$file"
flux config reload
expect "a property is known at once" n3 "$(flux run -q batch --requires=big true; flux jobs -no '{nodelist}' "$(flux job last)")"
expect "nothing waits for a restart" 0 "$(flux dmesg | grep -c 'this holds when')"
finish
