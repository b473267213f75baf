# Sourced by each story: runs the rest of the story as the initial program of an instance of its own, and asserts. A story
# that wants several brokers sets `brokers` before, and `start_options` for flux start.
set -u
export PATH=$FLUX_BUILD_BIN:$PATH
if [ -z "${FLUX_STORY:-}" ]; then
    unset FLUX_URI
    export FLUX_STORY=1
    [ "${brokers:-1}" -eq 1 ] && exec flux-broker "$BASH" "$0"
    exec flux start -s"$brokers" --test-exit-mode=leader ${start_options:-} "$BASH" "$0"
fi
failures=0
FLUX_STORY_DIR=$(mktemp -d) # for what a story writes
trap 'rm -rf "$FLUX_STORY_DIR"' EXIT
mkfifo "$FLUX_STORY_DIR/fifo"

# expect WHAT EXPECTED ACTUAL
expect() {
    [ "$2" = "$3" ] && return
    printf 'FAILED: %s\n  expected: %s\n  found:    %s\n' "$1" "$2" "$3"
    failures=$((failures + 1))
}
# expect_match WHAT PATTERN TEXT
expect_match() {
    grep -qE -- "$2" <<<"$3" && return
    printf 'FAILED: %s\n  expected to match: %s\n  found: %s\n' "$1" "$2" "$3"
    failures=$((failures + 1))
}
# on_rank RANK COMMAND...: with the broker of that rank as its own
on_rank() { FLUX_URI=${FLUX_URI%-*}-$1 "${@:2}"; }
# eventually WHAT COMMAND...: until the command succeeds; a story that waits for nothing is ended by ctest.
eventually() {
    local what=$1
    shift
    until "$@" >/dev/null 2>&1; do
        read -rt 0.05 <> <(:) || :
    done
}
finish() { [ "$failures" -eq 0 ] && echo "all as expected"; exit "$((failures > 0))"; }
