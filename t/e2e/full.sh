#!/usr/bin/env bash
# The disk under the store is full: one sentence, nothing that was acknowledged is lost, and all goes on when there is
# room. Needs a small file system of its own, which takes root; skipped (77) where none can be mounted. What the
# modules do about it is also tested with a store that fails (test_kvs).
if [ -z "${FLUX_FULL_MOUNTED:-}" ]; then
    mount_point=$(mktemp -d)
    trap 'rmdir "$mount_point"' EXIT
    if ! unshare -m true 2>/dev/null; then
        echo "skipped: this user cannot mount a file system"
        exit 77
    fi
    FLUX_FULL_MOUNTED=$mount_point unshare -m sh -c 'mount -t tmpfs -o size=3m,mode=0700 tmpfs "$FLUX_FULL_MOUNTED" && exec "$0"' "$0"
    exit
fi
FLUX_STORY=outside
. "$(dirname "$0")/story.sh"
state=$FLUX_FULL_MOUNTED

run_instance() { flux-broker -Sstatedir="$state" bash -c "$1"; }

run_instance '
    flux kvs put before=1 || exit 1
    dd if=/dev/zero of='"$state"'/filler bs=4k 2>/dev/null # until nothing fits
    for i in $(seq 200); do
        text=$(head -c 60000 /dev/urandom | base64 -w 0 | flux kvs put --raw full$i=- 2>&1) || break
    done
    echo "$text"
    [ "$i" -lt 200 ] || exit 2
    [ "$(flux kvs get before)" = 1 ] || exit 3
    flux kvs get full$i 2>/dev/null && exit 4
    echo "said $(flux dmesg | grep -c "is full") times"
    rm '"$state"'/filler
    flux kvs put after=2 || exit 5
    flux run true || exit 6
' >"$FLUX_STORY_DIR/full" 2>&1
expect "the instance went on" 0 "$?"
text=$(cat "$FLUX_STORY_DIR/full")
[ -n "${FLUX_STORY_VERBOSE:-}" ] && echo "$text"
expect_match "the one who asked is told what is full" "content store .* full: make room" "$text"
expect_match "so is the log, once" "said 1 times" "$text"
expect "what was acknowledged before and after is there after a restart" "1 2" \
    "$(run_instance 'echo $(flux kvs get before) $(flux kvs get after)')"
finish
