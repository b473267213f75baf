#!/bin/bash
# Prolog and epilog: they run around a job's tasks, on the ranks that they should, and what fails is drained.
brokers=2
conf=${FLUX_PERILOG_CONF:-$(mktemp -d)}
if [ -z "${FLUX_PERILOG_CONF:-}" ]; then
    export FLUX_PERILOG_CONF=$conf
    cat >"$conf/job-manager.toml" <<END
[job-manager.prolog]
command = ["/bin/sh", "-c", "echo P \$FLUX_JOB_RANKS >>$conf/log; echo noise; echo prolog of \$FLUX_JOB_ID; test ! -e $conf/fail"]
per-rank = true
[job-manager.epilog]
command = ["/bin/sh", "-c", "echo E >>$conf/log; test ! -e $conf/hold || read line <$conf/hold"]
[job-manager.perilog]
log-ignore = ["^noise"]
END
fi
start_options="--config-path=$conf"
. "$(dirname "$0")/story.sh"
trap 'rm -rf "$FLUX_PERILOG_CONF" "$FLUX_STORY_DIR"' EXIT
order() { flux job eventlog "$1" | awk '{print $2}' | grep -E "$2" | xargs; }
drained() { flux resource drain -no '{ranks} {reason}'; }

flux run -N2 sh -c "echo T >>$conf/log"
expect "around the tasks" "P 0-1 P 0-1 T T" "$(head -4 "$conf/log" | xargs)"
id=$(flux job last)
flux job wait-event -t 20 "$id" clean >/dev/null
expect "and then the epilog, once" "E" "$(tail -n +5 "$conf/log" | xargs)"
expect "the events" "alloc prolog-start prolog-finish start finish epilog-start release epilog-finish free clean" \
    "$(order "$id" 'alloc|log-|start$|finish|release|free|clean')"
expect "output of both ranks is logged" 2 "$(flux dmesg | grep -c "prolog: rank [01]: stdout: prolog of f")"
expect "but for what is ignored" 0 "$(flux dmesg | grep -c 'stdout: noise')"

touch "$conf/fail"
text=$(flux run -N1 touch "$conf/ran" 2>&1)
expect_match "a failing prolog ends the job" 'prolog failed on rank [01]: it exited with exit code 1' "$text"
id=$(flux job last)
flux job wait-event -t 20 "$id" clean >/dev/null
expect "its tasks do not run" "" "$(ls "$conf/ran" 2>/dev/null)"
expect "its epilog does" "exception prolog-finish epilog-start epilog-finish free clean" \
    "$(order "$id" 'exception|log-finish|epilog|free|clean')"
expect_match "its rank is drained" "^[01] prolog failed for job " "$(drained)"
rm "$conf/fail"
flux resource undrain "$(drained | cut -d' ' -f1)"

# A job whose epilog runs has its resources, also when the job manager is loaded again.
mkfifo "$conf/hold"
id=$(flux submit -N2 -x true)
flux job wait-event -t 20 "$id" epilog-start >/dev/null
next=$(flux submit -N2 -x true)
flux module reload job-manager
expect "an epilog that was cut off goes on" C "$(flux jobs -no '{status_abbrev}' "$id")"
expect "nobody else has its resources" S "$(flux jobs -no '{status_abbrev}' "$next")"
again() { [ "$(grep -c E "$conf/log")" -ge 4 ]; }
eventually "it runs again" again
exec 9<>"$conf/hold"
rm "$conf/hold"
echo go >&9
flux job wait-event -t 20 "$next" clean >/dev/null
expect "then they are free" 0 $?
exec 9>&-

# A prolog that is cancelled, and one that does not end.
flux config set --type=object job-manager.prolog '{"command":["/bin/sleep","1000"],"per-rank":true}'
id=$(flux submit true)
flux job wait-event -t 20 "$id" prolog-start >/dev/null
flux cancel "$id"
flux job wait-event -t 20 "$id" clean >/dev/null
expect "cancelling a job ends its prolog" "prolog-finish" "$(order "$id" 'prolog-finish')"
expect "which drains nothing" "" "$(drained)"
flux config set job-manager.prolog.timeout 0.2s
text=$(flux run true 2>&1)
expect_match "a prolog has a limit" 'prolog timed out after 200ms' "$text"
flux job wait-event -t 20 "$(flux job last)" clean >/dev/null
expect_match "and drains" "prolog timed out for job" "$(drained)"
flux resource undrain "$(drained | cut -d' ' -f1)"
flux config set --type=object job-manager.prolog \
    '{"command":["/bin/sh","-c","trap : TERM; while :; do sleep 0.1; done"],"per-rank":true,"kill-timeout":0.3}'
id=$(flux submit true)
flux job wait-event -t 20 "$id" prolog-start >/dev/null
running() { flux sproc ps --rank=all 2>/dev/null | grep -q trap || flux exec -r all pgrep -f 'trap : TERM' >/dev/null; }
eventually "it runs" running
flux cancel "$id"
flux job wait-event -t 20 "$id" clean >/dev/null
expect_match "what does not end is given up, and its rank drained" "prolog canceled then timed out for job" "$(drained)"

# Housekeeping: the job is through, its resources are not free yet.
flux resource undrain "$(drained | cut -d' ' -f1)"
flux config unset job-manager.prolog
flux config unset job-manager.epilog
mkfifo "$conf/house"
flux config set --type=object job-manager.housekeeping \
    '{"command":["/bin/sh","-c","echo H $FLUX_JOB_ID >>'"$conf"'/log; test ! -e '"$conf"'/house || read line <'"$conf"'/house"]}'
id=$(flux submit -N2 -x true)
flux job wait-event -t 20 "$id" clean >/dev/null
next=$(flux submit -N2 -x true)
in_house() { flux module stats -p housekeeping.running job-manager; }
expect_match "a job that is through is in housekeeping" '"pending": ?"0-1"' "$(in_house | tr -d '\n')"
expect "flux housekeeping shows it" "$id 2 2 0-1" \
    "$(flux housekeeping list -no '{id} {nnodes} {pending.nnodes} {ranks}')"
expect "or a part of it" "$id 1" "$(flux housekeeping list -no '{id} {nnodes}' --include=1)"
expect "a part where there is none" "" "$(flux housekeeping list -n --include=7)"
expect "its resources are not free" S "$(flux jobs -no '{status_abbrev}' "$next")"
twice() { [ "$(grep -c H "$conf/log")" -ge "$1" ]; }
eventually "its command runs on both ranks" twice 2
flux module reload job-manager
flux module reload sched
expect_match "also after a reload" '"allocated": ?"0-1"' "$(in_house | tr -d '\n')"
eventually "the command runs again" twice 4
expect "they are not free yet" S "$(flux jobs -no '{status_abbrev}' "$next")"
exec 9<>"$conf/house"
rm "$conf/house"
printf 'go\ngo\n' >&9
flux job wait-event -t 20 "$next" clean >/dev/null
expect "then they are" 0 $?
exec 9>&-
nobody() { [ "$(in_house | tr -d ' \n')" = "{}" ]; }
eventually "nothing is left in housekeeping" nobody

# One that does not end by itself is ended on a node, then everywhere.
flux config set --type=object job-manager.housekeeping \
    '{"command":["/bin/sleep","1000"],"release-after":"0"}'
id=$(flux submit -N2 -x true)
pending() { [ "$(flux housekeeping list -no '{pending.ranks}')" = "$1" ]; }
eventually "it has begun" pending 0-1
flux housekeeping kill --jobid="$id" --targets=1
eventually "one node is through" pending 0
expect "and free" 0 "$(flux housekeeping list -no '{allocated.ranks}')"
flux housekeeping kill --all --signal=KILL
eventually "all are" nobody
eventually "what was ended is drained" sh -c '[ "$(flux resource drain -no "{ranks}")" = 0-1 ]'
flux resource undrain 0-1

flux config set --type=object job-manager.housekeeping '{"command":["/bin/false"],"release-after":"0"}'
flux run -N1 true
eventually "when it fails its rank is drained" sh -c 'flux resource drain -no "{reason}" | grep -q "housekeeping failed for job"'
flux config unset job-manager.housekeeping

expect_match "an unknown key is refused" "job-manager does not take.*prolog.comand: unknown key" \
    "$(flux config set job-manager.prolog.comand x 2>&1)"
expect_match "so is a command that is none" "job-manager.prolog.command: \"true\" is no array of strings" \
    "$(flux config set --type=object job-manager.prolog '{"command":"true"}' 2>&1)"
finish
