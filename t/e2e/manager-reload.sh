#!/bin/bash
# The job manager is unloaded and loaded again while jobs run, wait and are waited for; so is the scheduler beside it.
brokers=2
conf=${FLUX_RELOAD_CONF:-$(mktemp -d)}
if [ -z "${FLUX_RELOAD_CONF:-}" ]; then
    export FLUX_RELOAD_CONF=$conf
    printf '[queues.batch]\n[queues.debug]\n' >"$conf/queues.toml"
fi
start_options="--config-path=$conf"
. "$(dirname "$0")/story.sh"
trap 'rm -rf "$FLUX_RELOAD_CONF" "$FLUX_STORY_DIR"' EXIT
mkfifo "$FLUX_STORY_DIR/hold"
flux queue start --all --quiet

running=$(flux submit -q debug -n1 bash -c "echo before; read line <$FLUX_STORY_DIR/hold; echo \$line")
flux job wait-event -t 20 "$running" start >/dev/null
waiting=$(flux submit -q batch -N2 -x true)
dependent=$(flux submit -q batch --dependency=afterok:"$running" true)
flux job attach "$running" >"$FLUX_STORY_DIR/attached" & attach=$!
flux job wait-event -t 60 "$dependent" clean >"$FLUX_STORY_DIR/event" & event=$!
flux module trace -t request job-manager >"$FLUX_STORY_DIR/trace" & trace=$!
traced() { flux ping -c1 job-manager && grep -q job-manager.ping "$FLUX_STORY_DIR/trace"; }
eventually "what reaches the job manager is seen" traced
flux queue drain 2>"$FLUX_STORY_DIR/drain" & drain=$!
eventually "somebody waits" grep -q job-manager.drain "$FLUX_STORY_DIR/trace"
kill $trace

flux module reload job-manager
wait $drain && expect "a drain that nobody answers fails" "a failure" "success"
expect_match "and says why" 'unloaded|No service matching' "$(cat "$FLUX_STORY_DIR/drain")"
expect "the running job runs" R "$(flux jobs -no '{status_abbrev}' "$running")"
expect "the waiting one waits" S "$(flux jobs -no '{status_abbrev}' "$waiting")"

flux module reload sched
stats() { flux module stats sched-fluxion-qmanager; }
of_queue() { stats | tr -d ' \n' | grep -oE "\"$1\":\{\"policy.*" | grep -oE '"running":[0-9]+' | head -1; }
known() { [ "$(of_queue debug)" = '"running":1' ]; }
eventually "a scheduler that was loaded again knows the queue of what runs" known

flux module remove job-manager
expect_match "without a job manager nothing is submitted" 'the job manager is not loaded' "$(flux submit -q debug true 2>&1)"
expect_match "nor asked about queues" 'no job-manager module is loaded.*flux module load job-manager loads it' \
    "$(flux queue status 2>&1)"
expect_match "the scheduler is, all the same" 'avail.* 2 ' "$(flux resource status -n)"
echo after >"$FLUX_STORY_DIR/hold"
exited() { flux kvs get --raw "$(flux job id --to=kvs "$running").guest.exec.eventlog" | grep -q '"done"'; }
eventually "the job ends while there is none" exited
expect "and is listed as it was" R "$(flux jobs -no '{status_abbrev}' "$running")"
flux module load job-manager
wait $event
expect "the job that depended on it runs" 0 $?
wait $attach
expect "whoever was attached sees its end" 0 $?
expect "and all its output" "before after" "$(xargs <"$FLUX_STORY_DIR/attached")"
flux queue drain
expect "all are listed as done" 3 "$(flux jobs -ano '{result_abbrev}' | grep -c CD)"
expect "nothing is free twice" 1 "$(flux job eventlog "$running" | grep -c ' free')"
finish
