#!/usr/bin/env bash
# flux module trace and debug, flux overlay trace: what passes, as it passes.
brokers=4
. "$(dirname "$0")/story.sh"
out=$FLUX_STORY_DIR/out
stop() { kill "$tracer"; wait "$tracer" 2>/dev/null; }

flux module trace kvs >"$out" & tracer=$!
eventually "messages are seen" sh -c "flux kvs put a=1; grep -q 'kvs rx request kvs.commit \[' '$out'"
eventually "and their answers" grep -q 'kvs tx response kvs.commit' "$out"
expect "of the module that was named" "" "$(awk '$2 != "kvs"' "$out")"
expect "in the order of time" 0 "$(awk '{ print $1 }' "$out" | sort -nc; echo $?)"
stop
flux module trace -T 'kvs.l*' -t request --full >"$out" & tracer=$!
eventually "payloads are shown" sh -c "flux kvs get a; grep -q 'kvs rx request kvs.lookup.*{.*\"key\":\"a\"' '$out'"
expect "of what was asked for" "" "$(grep -v 'request kvs.lookup' "$out")"
stop
# A module that is not loaded yet, and times for people.
flux module remove heartbeat
flux module trace -H heartbeat >"$out" & tracer=$!
eventually "a module that comes is followed" sh -c "flux module reload --force heartbeat; [ \$(wc -l <'$out') -gt 2 ]"
expect_match "with the date first" '^\[[A-Z][a-z][a-z][0-9]+ [0-9:]+\] heartbeat ' "$(head -1 "$out")"
expect_match "then offsets" '^\[ +\+[0-9.]+\] heartbeat ' "$(sed -n 2p "$out")"
stop
flux module trace -H --color=always >"$out" & tracer=$!
eventually "colors" sh -c "flux kvs put a=2; grep -q '\[33mrequest' '$out'"
expect "no trace sees itself" 0 "$(grep -c 'trace' "$out")"
stop

flux overlay trace -r 2 >"$out" & tracer=$!
eventually "what goes to a neighbour is seen" sh -c "FLUX_URI=${FLUX_URI%-*}-2 flux kvs put b=1; grep -q ' 2 tx ' '$out'"
eventually "and what comes from it" grep -q ' 2 rx request kvs' "$out"
expect "from no other" "" "$(awk '$2 != "2"' "$out")"
stop
FLUX_URI=${FLUX_URI%-*}-1 flux overlay trace -t request 'kvs.*' >"$out" & tracer=$!
eventually "another broker's neighbours" sh -c "FLUX_URI=${FLUX_URI%-*}-1 flux kvs put b=1; grep -q ' 0 tx request kvs' '$out'"
stop

expect "debug flags are 0" 0x0 "$(flux module debug sched)"
flux module debug --set=0x11 sched
flux module debug --clearbit=16 sched
expect "they change" 0x1 "$(flux module debug sched)"
flux run true
expect_match "sched says what it decides" "sched.debug.*: starts" "$(flux dmesg | grep 'of queue')"
flux module debug --clear sched
flux module debug --setbit=6 sched
expect "and go" 0x6 "$(flux module debug sched)"
expect_match "a mask that is none" "--set=zz: a mask" "$(flux module debug -S zz sched 2>&1)"
expect_match "a type that is none" "--type: 'x' is none of" "$(flux module trace -t x 2>&1)"
expect_match "--delta alone" "goes with --human" "$(flux overlay trace -d 2>&1)"
finish
