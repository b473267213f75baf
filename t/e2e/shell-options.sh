#!/usr/bin/env bash
# What the shell does beside the tasks: archives, the topology, co-processes, what it measures.
brokers=2
. "$(dirname "$0")/story.sh"
cd "$FLUX_STORY_DIR"
here=$FLUX_STORY_DIR

mkdir src && echo data >src/a.dat && echo text >src/b.txt
flux archive create -C src a.dat b.txt
flux archive create --name=more -C src b.txt
expect "archives are there when the tasks start, on each node" "a.dat b.txt a.dat b.txt" \
    "$(flux run -N2 -o stage-in sh -c 'cd $FLUX_JOB_TMPDIR && ls' | xargs)"
expect "those that are named, what matches" b.txt \
    "$(flux run -o stage-in.names=main,more -o 'stage-in.pattern=*.txt' sh -c 'ls $FLUX_JOB_TMPDIR')"
expect "elsewhere" data "$(flux run -o stage-in.destination="$here/local" cat "$here/local/a.dat")"
expect "or once for all" "data data" \
    "$(flux run -N2 -o stage-in.destination="global:$here/all" cat "$here/all/a.dat" | xargs)"
expect_match "an archive that there is not fails the job" "stage-in: archive none on .*archive.none does not exist" \
    "$(flux run -o stage-in.names=none true 2>&1)"
expect_match "so does a place that cannot be" "stage-in: cannot make /proc/x" "$(flux run -o stage-in.destination=/proc/x true 2>&1)"

export HWLOC_COMPONENTS=none
expect "the topology is a file that hwloc finds" "unset 1" \
    "$(flux run -o hwloc.xmlfile sh -c 'echo ${HWLOC_COMPONENTS-unset} $(grep -c "<topology" $HWLOC_XMLFILE)')"
unset HWLOC_COMPONENTS
all=$(flux run -o hwloc.xmlfile sh -c 'grep -c "type=.PU" $HWLOC_XMLFILE')
mine=$(flux run -n1 -c1 -o hwloc.xmlfile -o hwloc.restrict sh -c 'grep -c "type=.PU" $HWLOC_XMLFILE')
[ "$mine" -ge 1 ] && [ "$mine" -le "$all" ]
expect "restricted it has what the job has" 0 "$?"
[ "$(flux resource info | cut -d, -f2 | tr -dc 0-9)" -le 2 ] || expect "which is less" yes "$([ "$mine" -lt "$all" ] && echo yes)"
expect_match "restrict alone does nothing, and says so" "restrict has no effect without" "$(flux run -o hwloc.restrict true 2>&1)"
on_rank 1 flux module remove resource
expect_match "without a resource module there is none" "hwloc.xmlfile on .*: No service matching resource" \
    "$(flux run -N2 -o hwloc.xmlfile true 2>&1)"
on_rank 1 flux module load resource

expect_match "what was used is said at the end" "sysmon: .*: memory.peak=[0-9.]+[KMG]iB loadavg=[0-9.]+" \
    "$(flux run -o sysmon sleep 0.2 2>&1)"
expect_match "and meanwhile" "sysmon: .*: memory.current=" "$(flux run -o sysmon.period=0.05 -o verbose=2 sleep 0.2 2>&1)"
expect_match "a period that is none" "sysmon.period" "$(flux run -o sysmon.period=never true 2>&1)"

flux run -N2 -o 'coprocess={"watch":{"command":["sh","-c","echo {{node.id}} of {{id}}; trap \"exit 0\" TERM; while :; do sleep 0.05; done"]}}' \
    sh -c 'until [ $(cat coproc-watch-* | wc -l) -ge 2 ]; do sleep 0.05; done'
expect "co-processes run on each node, into one file" "0 of 1 of" "$(grep ' of ' coproc-watch-*.log | sort | cut -d' ' -f1,2 | xargs)"
flux run -N2 -o 'coprocess={"one":{"command":["sh","-c","trap \"\" TERM; echo here; while :; do sleep 0.05; done"],"ranks":"1","output":"one-{{node.id}}"}}' \
    -o coprocess-kill-timeout=0.1s sh -c 'until [ -s one-1 ]; do sleep 0.05; done'
expect "or where they are wanted, into files of their own" "one-1" "$(ls one-*)"
expect_match "one that ends early is told of" "coprocess x on .* exited with exit code 3 before" \
    "$(flux run -o 'coprocess={"x":{"command":["sh","-c","exit 3"],"output":"/dev/null"}}' sleep 0.5 2>&1)"
expect_match "one that makes no sense fails the job" "coprocess.x.command" "$(flux run -o 'coprocess={"x":{}}' true 2>&1)"
id=$(flux submit -o 'coprocess={"deaf":{"command":["sh","-c","trap \"\" TERM; echo $$ >pid; exec sleep 1000"],"output":"/dev/null"}}' sleep 1000)
eventually "a co-process" test -s pid
flux job kill --signal=KILL "$id"
flux job wait-event -t 20 "$id" clean >/dev/null
expect "goes with a job that is killed" 0 "$?"
# What flux exec runs on a job's nodes.
id=$(flux submit -N2 -o rexec-shutdown-timeout=0.2s sleep 1000)
flux job wait-event "$id" start >/dev/null
flux exec -j "$id" --bg --label=polite sh -c 'trap "echo gone >>polite; exit" TERM; echo up >>polite; while :; do sleep 0.05; done' >/dev/null
flux exec -j "$id" --bg --label=deaf sh -c 'trap "" TERM; echo up >>deaf; while :; do sleep 0.05; done' >/dev/null
flux exec -r all --bg --label=other sleep 1000 >/dev/null
eventually "they run" sh -c '[ $(cat polite deaf | grep -c up) = 4 ]'
flux cancel "$id"
only_other() { [ "$(flux sproc ps -no '{label}'; flux sproc ps -r1 -no '{label}')" = $'other\nother' ]; }
eventually "goes with the job, at last" only_other
expect "having been asked to" "2" "$(grep -c gone polite)"
expect_match "a duration that is none fails the job" "rexec-shutdown-timeout" "$(flux run -o rexec-shutdown-timeout=x true 2>&1)"
expect_match "flux help tells of the options" "stage-in.pattern=GLOB" "$(flux help shell-options)"
finish
