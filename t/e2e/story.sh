# Sourced by each story: runs the rest of the story as the initial program of an instance of its own, and asserts.
set -u
export PATH=$FLUX_BUILD_BIN:$PATH
if [ -z "${FLUX_STORY:-}" ]; then
    unset FLUX_URI
    FLUX_STORY=1 exec flux-broker "$BASH" "$0"
fi
failures=0

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
finish() { [ "$failures" -eq 0 ] && echo "all as expected"; exit "$((failures > 0))"; }
