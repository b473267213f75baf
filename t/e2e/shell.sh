#!/usr/bin/env bash
# Shell options, the environment of tasks, and what happens when something dies under a job.
. "$(dirname "$0")/story.sh"

# shell_of ID: the process of its shell on this node
shell_of() {
    for process in /proc/[0-9]*; do
        case "$(tr '\0' ' ' 2>/dev/null <"$process/cmdline")" in
        *flux-shell" f${1#ƒ} "*) basename "$process" ;;
        esac
    done
}
last_exception() { flux job eventlog "$1" | grep " exception " | tail -1; }

expect "where a task is" "0/2 on 1, 1/2 on 1" \
    "$(flux run -n2 sh -c 'echo $FLUX_TASK_RANK/$FLUX_JOB_SIZE on $FLUX_JOB_NNODES' | sort | paste -sd, | sed 's/,/, /')"
expect "its job" ok "$(flux run sh -c '[ $FLUX_JOB_ID_PATH = /$FLUX_JOB_ID ] && [ -d $FLUX_JOB_TMPDIR ] && echo ok')"
directory=$(flux run sh -c 'touch $FLUX_JOB_TMPDIR/x; echo $FLUX_JOB_TMPDIR')
expect "the temporary directory goes with the job" no "$([ -e "$directory" ] && echo yes || echo no)"
expect "a task can talk to the instance" 1 "$(flux run flux getattr size)"
expect "without PMI" "" "$(flux run -o pmi=off sh -c 'echo $PMI_FD$PMI_RANK')"
expect "cyclic task map" "0 1" "$(flux run -n2 --taskmap=cyclic sh -c 'echo $FLUX_TASK_RANK' | sort | xargs)"
expect_match "an option that is not known is warned of" "nonsense is not known" "$(flux run -o nonsense true 2>&1)"
expect_match "a bad one fails the job" "exit-timeout" "$(flux run -o exit-timeout=soon true 2>&1)"
expect "limits hold" 123 "$(flux run -o rlimit.nofile=123 sh -c 'ulimit -n')"

flux run -n2 -o exit-on-error sh -c '[ $FLUX_TASK_RANK = 0 ] && exit 7; sleep 100' 2>/dev/null
expect "exit-on-error ends the others at once" 7 "$?"
text=$(flux run -n2 -o exit-timeout=0.1s sh -c '[ $FLUX_TASK_RANK = 0 ] || sleep 100' 2>&1)
expect_match "exit-timeout after a while" "exit-timeout=0.1s|exit-timeout=100ms" "$text"
text=$(flux run -t 60s -o signal.signum=10 -o signal.timeleft=59.8s sh -c 'trap "echo warned; exit 0" USR1; sleep 100 & wait' 2>&1)
expect "a warning signal before the time limit" warned "$text"
id=$(flux submit -t 0.1s sleep 100)
flux job wait-event "$id" clean >/dev/null
expect_match "the time limit" "type=timeout" "$(last_exception "$id")"
id=$(flux submit sh -c 'trap "" TERM; echo deaf; sleep 100')
flux job wait-event -p guest.output "$id" data >/dev/null
flux job kill --signal=KILL "$id"
flux job wait-event "$id" clean >/dev/null
expect_match "a signal for a person" "finish status=35072" "$(flux job eventlog "$id")"

id=$(flux submit -n2 sleep 100)
flux job wait-event -p guest.exec.eventlog "$id" shell.start >/dev/null
shell=$(shell_of "$id")
tasks=$(cat "/proc/$shell/task/$shell/children")
kill -9 "$shell"
flux job wait-event "$id" clean >/dev/null
expect_match "a lost shell is named" "the shell on rank 0 was lost: it was killed by signal 9" "$(last_exception "$id")"
for task in $tasks; do
    for _ in $(seq 100); do [ -d "/proc/$task" ] && [ "$(cut -d' ' -f3 "/proc/$task/stat" 2>/dev/null)" != Z ] || break; sleep 0.02; done
    expect "its task $task does not stay" no "$([ -d "/proc/$task" ] && [ "$(cut -d' ' -f3 "/proc/$task/stat" 2>/dev/null)" != Z ] && echo yes || echo no)"
done
id=$(flux submit -n2 sleep 100)
flux job wait-event -p guest.exec.eventlog "$id" shell.start >/dev/null
task=$(cut -d' ' -f1 "/proc/$(shell_of "$id")/task/$(shell_of "$id")/children")
kill -9 "$task"
flux job wait-event "$id" clean >/dev/null
expect_match "a lost task is named" "task 0 on rank 0 .* was lost: it was killed by signal 9" "$(last_exception "$id")"
finish
