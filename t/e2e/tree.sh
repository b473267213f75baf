#!/usr/bin/env bash
# Seven brokers in a binary tree: messages, events, the KVS and jobs across it, and instances inside.
brokers=7
start_options=-Stbon.topo=kary:2
. "$(dirname "$0")/story.sh"

expect "every broker knows the size" 7 "$(on_rank 6 flux getattr size)"
expect "and its level" 2 "$(on_rank 6 flux getattr tbon.level)"
expect "the root's attributes are passed on" "$(flux getattr hostlist)" "$(on_rank 6 flux getattr hostlist)"
expect_match "a ping goes from leaf to leaf by way of the root" '^3!broker.ping' "$(on_rank 6 flux ping -c 1 -r 3 broker)"
expect "the tree is well" "7" "$(flux overlay status | grep -c ': full')"
expect "of three levels" "4" "$(flux overlay status | grep -c '^[│ ].*[├└]─')"
expect_match "there is no rank 7" "rank 7" "$(flux ping -c 1 -r 7 broker 2>&1)"

on_rank 5 flux kvs put a.b=42
expect "what one leaf writes another reads" 42 "$(on_rank 3 flux kvs get a.b)"

# A subscriber at each leaf hears an event that another leaf publishes, in the order of publication.
for rank in 3 4 6; do
    on_rank $rank flux event sub -c 2 story >"$FLUX_STORY_DIR/heard.$rank" &
    pids="${pids:-} $!"
done
heard() { for rank in 3 4 6; do [ -s "$FLUX_STORY_DIR/heard.$rank" ] || return 1; done; }
# Subscriptions are made some time after the commands start: publish until all have heard, then the last.
until heard; do on_rank 5 flux event pub story.one; done
on_rank 5 flux event pub story.two
looped=0
for _ in {1..30}; do on_rank 5 timeout 10 flux event pub --loopback own.event && looped=$((looped + 1)); done
expect "an event that its publisher waits for comes back, each time" 30 $looped
wait $pids
expect "every leaf heard two events" 6 "$(cat "$FLUX_STORY_DIR"/heard.* | wc -l)"

expect "a job's tasks run where its resources are" "0 1 2 3 4 5 6" \
    "$(flux run -N7 -n7 flux getattr rank | sort | xargs)"
expect "one of seven tasks that fails fails the job" 3 \
    "$(flux run -N7 -n7 sh -c '[ $FLUX_TASK_RANK != 4 ] || exit 3' 2>/dev/null; echo $?)"

expect "an instance in a job has its nodes" 2 "$(flux run -N2 -n2 flux start flux getattr size)"
expect "and only its cores" 2 "$(flux run -N2 -n2 -c1 flux start flux resource list | awk '$1 == "free" { print $3 }')"
deep='flux run -N2 -n2 flux start sh -c "flux getattr instance-level; flux getattr jobid-path; flux run -n2 echo deep"'
text=$(flux run -N3 -n3 flux start "flux run -N2 -n2 flux start $(printf %q "$deep") ")
expect "three levels deep jobs run too" "deep deep" "$(grep deep <<<"$text" | xargs)"
expect "each level knows how deep it is" 3 "$(head -n 1 <<<"$text")"
expect_match "and by which jobs" '^/[^/]+/[^/]+/[^/]+$' "$(sed -n 2p <<<"$text")"
flux run -N2 -n2 flux start sh -c 'exit 5' 2>/dev/null
expect "the exit status of an inner program comes out" 5 "$?"
finish
