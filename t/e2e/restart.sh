#!/usr/bin/env bash
# Rank 0 is killed, again and again, while it is being written to. An instance started from its statedir has all that
# was acknowledged: keys, drained nodes, finished and pending jobs.
FLUX_STORY=outside
. "$(dirname "$0")/story.sh"
dir=$(mktemp -d)
mkdir "$dir/state" && mkfifo "$dir/ready" "$dir/end" "$dir/acked"
export FLUX_URI=local://$dir/socket
broker=
trap '[ -n "$broker" ] && kill -9 "$broker" 2>/dev/null; exec 8>&-; rm -rf "$dir"' EXIT

# The initial program says that the instance runs, and ends when this script closes descriptor 8.
start() {
    exec 8<>"$dir/end"
    flux-broker -Sstatedir="$dir/state" -Slocal-uri="$FLUX_URI" \
        sh -c "echo ready >'$dir/ready'; exec cat <'$dir/end' 8>&-" 8>&- 9>&- &
    broker=$!
    read -r _ <"$dir/ready"
}
crash() {
    kill -9 "$broker"
    wait "$broker" 2>/dev/null
    exec 8>&- # ends the initial program, which lost its broker
}
write_keys() { # until the broker is gone; one line for each key that was acknowledged
    local i=0
    while flux kvs put "round$1.key$i=$i" 2>/dev/null; do echo $i; i=$((i + 1)); done
}

start
flux resource drain 0 "bad disk"
flux resource undrain 0
done_job=$(flux submit --setattr=system.exec.test.run_duration=0.001s true)
flux job wait-event "$done_job" clean >/dev/null
held=$(flux submit --urgency=hold true)
flux resource drain 0 "worse disk"

declare -A last
for round in 1 2 3 4 5; do
    write_keys $round >"$dir/acked" &
    writer=$!
    wanted=$((RANDOM % 40 + 3)) seen=0
    while read -r number; do
        last[$round]=$number
        [ $((++seen)) -eq $wanted ] && crash
    done <"$dir/acked"
    wait $writer
    start
    for ((past = 1; past <= round; past++)); do
        expect "round $round: the keys of round $past" "$(seq -s ' ' 0 "${last[$past]}")" \
            "$(for ((i = 0; i <= last[$past]; i++)); do flux kvs get round$past.key$i; done | xargs)"
    done
    expect_match "round $round: the node is drained" "worse disk" "$(flux resource drain)"
    expect_match "round $round: the finished job" "$done_job .* CD " "$(flux jobs -a)"
    expect_match "round $round: the held job" "$held .* S " "$(flux jobs)"
done
flux resource undrain 0
flux job urgency "$held" default
expect_match "the held job runs at last" "clean" "$(flux job wait-event "$held" clean)"
expect "it ran once" 1 "$(flux job eventlog "$held" | grep -c ' start')"
exec 8>&-
wait "$broker"
expect "the instance ends normally" 0 "$?"
broker=
finish
