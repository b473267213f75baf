#!/usr/bin/env bash
# Another user at the socket: refused, unless guests are allowed; then not more than a guest may. Needs root, to become
# another user; skipped (77) elsewhere.
if [ "$(id -u)" -ne 0 ]; then
    echo "skipped: only root can become another user"
    exit 77
fi
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
chmod 755 "$directory"
FLUX_STORY=outside
. "$(dirname "$0")/story.sh"

# The build may be where a guest cannot look: it gets copies of what it runs.
cp "$FLUX_BUILD_BIN/flux" "$FLUX_BUILD_BIN/flux-ion-resource" "$directory"
guest() { setpriv --reuid=65534 --regid=65534 --clear-groups "$directory/flux" "$@"; }
ion() { setpriv --reuid=65534 --regid=65534 --clear-groups "$directory/flux-ion-resource" "$@" 2>&1; }
export -f guest ion
export directory

text=$(flux start -Srundir="$directory" bash -c 'guest getattr size 2>&1; echo "status $?"')
expect_match "a stranger is refused" "(not permitted|refused)" "$text"
expect_match "by a status" "status 1" "$text"

text=$(flux start -Srundir="$directory" --conf=access.allow-guest-user=true bash -c '
    try() { local what=$1 out; shift; out=$(guest "$@" 2>&1) && echo "$what: ok" || echo "$what: no: $out"; }
    try look getattr size
    try ping ping -c 1 broker
    try list jobs -a
    try write kvs put a=1
    try read kvs get resource.R
    try submit submit true
    try set setattr a b
    try unload module remove kvs
    try drain resource drain 0
    try end shutdown
    job=$(flux submit sleep 100)
    flux job wait-event "$job" start >/dev/null
    try cancel cancel "$job"
    try kill job kill "$job"
    try peek job info "$job" R
    try output job attach "$job"
    flux cancel "$job"
    flux job wait-event "$job" clean >/dev/null
    try publish event pub -s job-purge-inactive "{\"jobs\":[$(flux job id -t dec "$job")]}"
    echo "still listed: $(flux jobs -ano "{id}" | grep -c "$job")"
    echo "found $(ion find --format=simple -q status=up | tail -1)"
    printf "version: 9999\nresources: [{type: slot, count: 1, label: s, with: [{type: core, count: 1}]}]\n" >"$directory/j"
    printf "tasks: [{command: [a], slot: s, count: {per_slot: 1}}]\nattributes: {system: {duration: 1}}\n" >>"$directory/j"
    echo "{}" >"$directory/empty"
    for change in "match allocate $directory/j" "cancel 0" "update $directory/empty 0" "set-status /cluster0 down" \
        "set-property /cluster0 a=b" "remove-property /cluster0 a" "remove-subgraph /cluster0" \
        "add-subgraph $directory/empty" "partial-cancel 0 $directory/empty" stats-cancel; do
        echo "ion ${change%% *}: $(ion $change)"
    done
    echo "size $(flux getattr size)"')
for what in look ping list; do
    expect_match "a guest may $what" "^$what: ok" "$text"
done
for what in write read submit set unload drain end cancel kill peek output; do
    expect_match "a guest may not $what" "^$what: no" "$text"
done
expect_match "a guest may publish" "^publish: ok" "$text"
expect_match "but nobody believes that jobs were purged" "^still listed: 1" "$text"
expect_match "a guest may look at the graph" "^found .*cluster0" "$text"
expect "and change nothing of it" 10 "$(grep -c "^ion .*: flux-ion-resource: ERROR: .*\(not permitted\|owner\)" <<<"$text")"
expect_match "and the instance is well" "^size 1" "$text"
finish
