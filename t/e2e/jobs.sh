#!/usr/bin/env bash
# Jobs from submission to inactive: output, exit codes, PMI, mock execution, cancel.
. "$(dirname "$0")/story.sh"

expect "output reaches the terminal" hello "$(flux run echo hello)"
flux run sh -c 'exit 3' 2>/dev/null
expect "the exit code of a job is the command's" 3 "$?"
expect "each task knows its rank" "0 1" "$(flux run -n2 sh -c 'echo $FLUX_TASK_RANK' | sort | xargs)"
id=$(flux submit --setattr=system.exec.test.run_duration=0.01s true)
flux job wait-event "$id" clean >/dev/null
expect "a mock job goes through every event" \
    "submit validate depend priority alloc start finish release free clean" \
    "$(flux job eventlog "$id" | cut -d' ' -f2 | xargs)"
expect_match "it is listed as completed" "CD" "$(flux jobs -a | grep "$id")"
text=$(flux run no-such-program 2>&1)
expect_match "a program that is not there is named" "cannot run no-such-program" "$text"
id=$(flux submit sleep 100)
flux job wait-event "$id" start >/dev/null
flux cancel "$id"
flux job wait-event "$id" clean >/dev/null
expect_match "a cancelled job is listed so" " CA " "$(flux jobs -a | grep "$id")"
flux run true
before=$(flux module stats --parse processes job-exec)
flux run -n1 true
flux run -n1 sh -c 'exit 2'
flux run -n1 true
expect "a shell runs one job after another" "$before" "$(flux module stats --parse processes job-exec)"
finish
