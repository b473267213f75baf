#!/usr/bin/env bash
# Brokers that are killed: whoever waits for them hears of it, their subtree is down, jobs there end, others go on.
brokers=7
start_options=-Stbon.topo=kary:2
. "$(dirname "$0")/story.sh"

pid_of() { on_rank "$1" flux getattr broker.pid; }
nodes_down() { flux resource list | awk '$1 == "down" { print $2 }'; }
are_down() { [ "$(nodes_down)" -ge "$1" ]; }

# A request that is under way to a rank that dies is answered.
leaf=$(pid_of 3)
kill -STOP "$leaf"
flux ping -c 1 -r 3 broker >"$FLUX_STORY_DIR/ping" 2>&1 &
ping=$!
job=$(flux submit -N7 -n7 sleep 600)
kill -KILL "$leaf"
wait "$ping"
expect "a request to a broker that dies fails" 1 "$?"
expect_match "and says why" "(No route to host|lost|unreachable|cannot be reached)" "$(cat "$FLUX_STORY_DIR/ping")"
eventually "the leaf is down" are_down 1
expect_match "the tree says so" "3 .*: lost" "$(flux overlay status)"
expect_match "a job that ran there, or was to, has ended" "exception" \
    "$(flux job wait-event -t 60 "$job" clean >/dev/null; flux job eventlog "$job")"
expect "the others still run jobs" 6 "$(flux run -N6 -n6 flux getattr rank | wc -l)"

# An interior broker takes its subtree with it, and what is left of that ends by itself.
job=$(flux submit -N5 -n5 sleep 600)
flux job wait-event -t 60 "$job" start >/dev/null
kill -KILL "$(pid_of 2)"
eventually "its subtree is down" are_down 4
expect_match "the job names the rank that was lost" "exception.*rank" \
    "$(flux job wait-event -t 60 "$job" clean >/dev/null; flux job eventlog "$job")"
expect "the rest still runs jobs" 3 "$(flux run -N3 -n3 flux getattr rank | wc -l)"
expect "what waits for the lost ranks is refused at once" 1 "$(flux ping -c 1 -r 5 broker >/dev/null 2>&1; echo $?)"
orphans_gone() { ! on_rank 5 flux getattr rank && ! on_rank 6 flux getattr rank; }
eventually "the orphans have ended" orphans_gone
finish
