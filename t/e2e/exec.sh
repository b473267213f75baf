#!/usr/bin/env bash
# flux exec and flux sproc: programs outside of jobs, their input, output, signals and exit codes.
. "$(dirname "$0")/story.sh"

expect "output comes back" hello "$(flux exec echo hello)"
expect "stderr stays apart" "err" "$(flux exec sh -c 'echo out; echo err >&2' 2>&1 >/dev/null)"
expect "lines are labeled" "0: a
0: b" "$(flux exec -r 0 -l printf 'a\nb')"
flux exec sh -c 'exit 7' 2>/dev/null
expect "the exit code is the program's" 7 "$?"
flux exec -q sh -c 'kill -9 $$' 2>/dev/null
expect "128 + signal" 137 "$?"
text=$(flux exec no-such-program 2>&1)
expect "127 for a program that is not there" 127 "$?"
expect_match "which is named" "rank 0: no-such-program" "$text"
text=$(flux exec -r 99 true 2>&1)
expect "68 for a rank that is not there" 68 "$?"
expect_match "which is named" "no rank 99" "$text"
expect "the directory is as asked" / "$(flux exec -r 0 -d / pwd)"
expect "FLUX_URI is the broker's own" 1 "$(flux exec -r 0 flux getattr size)"

# 6 MB is more than the first credit: the rest must wait for more.
sum=$(head -c 6000000 /dev/zero | tee >(cksum >"$FLUX_STORY_DIR/sum") | flux exec -r 0 cat | cksum)
expect "all of a large input arrives" "$(cat "$FLUX_STORY_DIR/sum")" "$sum"
expect "a program that reads nothing ends" 0 "$(yes | flux exec -r 0 true; echo "$?")"
expect "no input with -n" 0 "$(flux exec -n -r 0 wc -c)"

flux exec -r 0 --bg --label=sleeper --waitable sleep 1000 >/dev/null
expect "a background process is listed" "sleeper" "$(flux sproc ps -no '{label}')"
text=$(flux exec -r 0 --bg --label=sleeper true 2>&1)
expect_match "a label is unique" "label sleeper is there already" "$text"
flux sproc kill -w TERM sleeper
expect "it is signaled and waited for" 143 "$?"
expect "and gone" "" "$(flux sproc ps -n)"
flux exec -r 0 --bg --label=talker --waitable echo spoken >/dev/null
expect "its output is kept" spoken "$(flux sproc wait -o talker)"
flux sproc wait talker 2>/dev/null
expect "a status is given once" 1 "$?"
flux exec -r 0 --bg --label=attached --waitable sh -c 'read x <"$0"; echo woken; exit 3' "$FLUX_STORY_DIR/fifo" >/dev/null
flux exec -r 0 --attach attached >"$FLUX_STORY_DIR/out" 2>/dev/null &
attached=$!
echo go >"$FLUX_STORY_DIR/fifo"
wait "$attached"
expect "one who attached gets the exit code" 3 "$?"
expect "and the output" woken "$(cat "$FLUX_STORY_DIR/out")"

flux exec -r 0 sleep 1000 &
client=$!
eventually "the process runs" sh -c '[ -n "$(flux sproc ps -n)" ]'
kill -9 "$client"
wait "$client" 2>/dev/null
eventually "a client that dies takes its process with it" sh -c '[ -z "$(flux sproc ps -n)" ]'
flux exec -r 0 sleep 1000 2>/dev/null &
client=$!
eventually "the process runs" sh -c '[ -n "$(flux sproc ps -n)" ]'
kill -TERM "$client"
wait "$client"
expect "signals are forwarded" 143 "$?"
finish
