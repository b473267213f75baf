#!/usr/bin/env bash
# The commands about jobs: listing, waiting, changing, what they print and their exit codes.
brokers=2
. "$(dirname "$0")/story.sh"

done_id=$(flux submit --job-name=good true)
flux job status "$done_id" # jobs are listed by when they ended
failed_id=$(flux submit --job-name=bad sh -c 'exit 3')
held_id=$(flux submit --job-name=held --urgency=hold sleep 0)
flux job status "$done_id" "$failed_id"
expect "the highest exit code of several" 3 "$?"
expect_match "json of a status" '"waitstatus":768' "$(flux job status --json "$failed_id")"

expect "statuses of all" "S F CD" "$(flux jobs -ano '{status_abbrev}' | xargs)"
expect "by result" bad "$(flux jobs -no '{name}' -f failed)"
expect "by name" good "$(flux jobs -ano '{name}' --name=good)"
expect "by id" held "$(flux jobs -no '{name}' "$held_id")"
expect "sorted" "bad good held" "$(flux jobs -ano '{name}' --sort=name | xargs)"
expect "sorted by the format" "held good bad" "$(flux jobs -ao 'sort:-name {name}' -n | xargs)"
expect "why they ended" "Exit 3" "$(flux jobs -no '{inactive_reason}' "$failed_id")"
expect "what holds one" held "$(flux jobs -no '{contextual_info}' "$held_id")"
expect "json" held "$(flux jobs --json "$held_id" | python3 -c 'import json,sys; print(json.load(sys.stdin)["name"])')"
expect_match "totals" "^0 running, 1 completed, 1 failed, 1 pending" "$(flux jobs --stats-only)"
expect "since when" "" "$(flux jobs -ano '{name}' --since=now -f failed)"
expect "counted" 1 "$(flux jobs -a -c 1 -no '{id}' 2>/dev/null | wc -l)"
expect "pgrep by name" "$failed_id" "$(flux pgrep -a '^b')"
expect "pgrep by range" "$done_id" "$(flux pgrep -a "$done_id..$done_id")"
expect "built-in plugins" .history "$(flux jobtap list -a | grep history)"
expect "of which one can be asked" builtin "$(flux jobtap query .history | grep -o builtin)"
flux pgrep 2>/dev/null
expect "pgrep without a word" 2 "$?"
flux job wait no-id 2>/dev/null
expect "who waits for what is no job" 2 "$?"
flux pgrep nothing-of-that-name
expect "pgrep without a match" 1 "$?"

expect "the latest" "$held_id" "$(flux job last)"
expect "the latest two" "$held_id $failed_id" "$(flux job last 2 | xargs)"
expect "all of them and no more" "$(flux job last '[:]')" "$(flux job last 1000)"
expect "a slice" "$done_id" "$(flux job last '[-1:]')"
expect "all ids name the same job" 1 "$(for to in dec hex dothex kvs words emoji f58; do flux job id -t dec "$(flux job id -t $to "$held_id")"; done | sort -u | wc -l)"
flux job urgency "$held_id" default
flux job wait-event -t 60 "$held_id" clean >/dev/null
expect "released by urgency" COMPLETED "$(flux jobs -no '{status}' "$held_id")"

waitable=$(flux submit --flags=waitable true)
expect "a waitable job" "$waitable" "$(flux job wait)"
flux job wait 2>/dev/null
expect "none is left to wait for" 2 "$?"
flux submit --cc=1-3 --flags=waitable false >/dev/null
flux job wait --all >/dev/null 2>&1
expect "one of all failed" 1 "$?"

id=$(flux submit sleep 1000)
flux job wait-event -t 60 "$id" start >/dev/null
expect "no time limit" 4294967295 "$(flux job timeleft "$id")"
flux job memo "$id" note=here
eventually "a memo is shown" sh -c "[ \"\$(flux jobs -no '{user.note}' $id)\" = here ]"
flux job raise -s 1 -t odd "$id" something is odd
expect_match "an exception that ends nothing" 'type=odd.*note="something is odd"' "$(flux job eventlog "$id" | grep exception)"
flux job kill -s TERM "$id"
flux job attach "$id" 2>/dev/null
expect "killed by a signal" 143 "$?"
flux submit --cc=1-2 sleep 1000 >/dev/null
expect_match "killall asks first" "matched 2 jobs" "$(until flux job killall 2>&1 | grep 'matched 2'; do :; done)"
flux pkill -w sleep 2>/dev/null
expect "pkill ends them" "" "$(flux jobs -no '{id}')"
expect_match "cancel of nothing" "Matched 0 jobs" "$(flux cancel --all 2>&1)"
flux cancel "$done_id" 2>/dev/null
expect "cancel of what has ended" 1 "$?"

expect "watch shows output of the past" hello "$(flux watch "$(flux submit echo hello)")"
expect "tail" "4
5" "$(flux job attach --tail=2 "$(flux submit seq 5)")"
expect "many at once" 30 "$(flux submit --cc=1-30 --wait true | sort -u | wc -l)"
expect "with what {cc} stands for" "1
2
3" "$(flux submit --cc=1-3 --watch --quiet sh -c 'echo $FLUX_JOB_CC' | sort)"
expect "input for one task, the end for the others" "1: typed" \
    "$(echo typed | flux run -n2 -l --input=1 cat)"
flux submit --cc=1-2 --log="$FLUX_STORY_DIR/log{cc}" --watch echo out >/dev/null
expect "a log for each" 2 "$(grep -l out "$FLUX_STORY_DIR"/log1 "$FLUX_STORY_DIR"/log2 | wc -l)"
expect "the environment is filtered" "A=1" "$(flux run --env=-* --env=PATH --env=A=1 env | grep -v -e FLUX -e PMI -e PATH -e PWD -e SHLVL -e '^_=' -e HWLOC -e TMPDIR -e CUDA)"
expect "limits go along" 64 "$(flux run --rlimit=nofile=64 sh -c 'ulimit -n')"
expect "what is to be submitted" '"command":["true"]' "$(flux submit --dry-run true | grep -o '"command":\["true"\]')"
expect "a jobspec from elsewhere" 0 "$(flux submit --dry-run true | flux job submit >/dev/null; echo $?)"
flux queue drain
expect "the taskmap of two nodes" "[[0,2,1,1]]" "$(flux job taskmap "$(flux submit -N2 -n2 true)")"
expect "and its tasks by node" "1" "$(flux job taskmap --taskids=1 "$(flux job last)")"
flux queue drain

# A signal that cannot be passed on
flux queue stop --quiet
flux run true 2>"$FLUX_STORY_DIR/waits" & attached=$!
pending() { flux jobs -f pending -no '{id}' | grep -q .; }
eventually "a job waits" pending
refused() { kill -TERM $attached; grep -q 'signal 15 is not passed on: .*; flux cancel ends it' "$FLUX_STORY_DIR/waits"; }
eventually "is told" refused
flux cancel --all 2>/dev/null
wait $attached
flux queue start --quiet

# Where the tasks are, for tools and debuggers
host=$(hostname)
id=$(flux submit -N2 -n4 sh -c "echo $host:\$\$ >$FLUX_STORY_DIR/task.\$FLUX_TASK_RANK; sleep 300")
pids=$(flux job hostpids "$id")
tasks() { [ "$(cat "$FLUX_STORY_DIR"/task.? | wc -l)" -eq 4 ]; }
eventually "all tasks have said who they are" tasks
expect "host and process of each task" "$(cat "$FLUX_STORY_DIR"/task.? | paste -sd,)" "$pids"
expect "of some tasks" "$(cut -d, -f2,4 <<<"$pids" | tr , ' ')" "$(flux job hostpids -r 1,3 -d ' ' "$id")"
flux job attach --debug --read-only "$id" & debugged=$!
# What a debugger reads: the number of entries in the table, from the memory of the attached program.
table_size() {
    python3 - "$debugged" "$FLUX_BUILD_BIN/flux" <<'PYTHON'
import subprocess, sys
pid, program = sys.argv[1:]
symbols = dict(reversed(line.split()[::2]) for line in subprocess.run(["nm", program], capture_output=True,
               text=True).stdout.splitlines() if "MPIR_proctable_size" in line)
base = next(line for line in open(f"/proc/{pid}/maps") if line.rstrip().endswith("/flux"))
with open(f"/proc/{pid}/mem", "rb") as memory:
    memory.seek(int(base.split("-")[0], 16) + int(symbols["MPIR_proctable_size"], 16))
    sys.exit(int.from_bytes(memory.read(4), "little") != 4)
PYTHON
}
eventually "a debugger finds the tasks" table_size
flux cancel "$id"
wait $debugged
expect_match "tasks that are no more" 'has no tasks on rank 0 any more' "$(flux job hostpids "$id" 2>&1)"
id=$(flux submit -N1 -n2 -o nosetpgrp sleep 300)
expect_match "also of tasks without process groups" "^$host:[0-9]+,$host:[0-9]+$" "$(flux job hostpids "$id")"
flux cancel "$id"
id=$(flux submit --urgency=hold true)
expect_match "tasks that do not run in time" 'do not run within 100ms' "$(flux job hostpids -t 0.1 "$id" 2>&1)"
flux cancel "$id"
flux queue drain
before=$(flux job stats | grep -o '"inactive":[0-9]*' | cut -d: -f2)
flux job purge -f --num-limit=$((before - 2)) >/dev/null
expect "purged" $((before - 2)) "$(flux job stats | grep -o '"inactive":[0-9]*' | cut -d: -f2)"
finish
