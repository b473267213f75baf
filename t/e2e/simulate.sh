#!/bin/bash
# flux simulate: a trace through each engine.
cd "$(dirname "$0")/.." || exit 1
export PATH=$FLUX_BUILD_BIN:$PATH
failures=0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
expect() {
    [ "$2" = "$3" ] && return
    printf 'FAILED: %s\n' "$1"
    diff <(printf '%s\n' "$2") <(printf '%s\n' "$3")
    failures=$((failures + 1))
}
expect_match() { [[ $3 =~ $2 ]] || expect "$1" "$2" "$3"; }

flux simulate --engine=library --policy easy --csv "$tmp/jobs.csv" --plot "$tmp/plot.svg" data/traces/lublin_256.swf.gz >"$tmp/report"
expect "a trace is replayed" "97156 s 590.05" "$(sed -n 's/^mean wait: *//p; s/^average bounded slowdown: *//p' "$tmp/report" | xargs)"
expect "with one line a job" 10001 "$(wc -l <"$tmp/jobs.csv")"
expect "and a picture" "</svg>" "$(tail -1 "$tmp/plot.svg")"
# On the graph, where cores are interchangeable, jobs start as on the flat pool.
for policy in fcfs easy conservative; do
    for engine in library graph; do
        flux simulate --engine=$engine --policy $policy --csv "$tmp/$engine.csv" data/traces/lublin_256.swf.gz >/dev/null
    done
    expect "the graph starts each job when the flat pool does: $policy" "" "$(diff "$tmp/library.csv" "$tmp/graph.csv")"
done
# Through a whole instance in virtual time, and so do those that sched starts.
zcat data/traces/lublin_256.swf.gz | head -400 >"$tmp/some.swf"
for policy in fcfs easy hybrid conservative; do
    flux simulate --engine=library --policy $policy --depth 3 --csv "$tmp/library.csv" "$tmp/some.swf" >/dev/null
    for engine in graph instance; do
        flux simulate --engine=$engine --policy $policy --depth 3 --csv "$tmp/$engine.csv" --plot "$tmp/$engine.svg" \
            "$tmp/some.swf" | grep -Ev '^(scheduling passes|time per pass|wall time)' >"$tmp/$engine"
    done
    expect "an instance starts each job when it should: $policy" "" "$(diff "$tmp/library.csv" "$tmp/instance.csv")"
    expect "and so its figures are the same: $policy" "$(cat "$tmp/graph")" "$(cat "$tmp/instance")"
done
expect "and the picture" "" "$(diff "$tmp/graph.svg" "$tmp/instance.svg")"
for engine in graph instance; do
    flux simulate --engine=$engine --machine data/graph/tiny.graphml --format grug --csv "$tmp/$engine.csv" "$tmp/some.swf" >/dev/null
done
expect "a machine's graph goes along" "" "$(diff "$tmp/graph.csv" "$tmp/instance.csv")"
expect_match "what R cannot carry is said" "power.graphml: it has links of subsystem power" \
    "$(flux simulate --machine data/graph/power.graphml --format grug "$tmp/some.swf" 2>&1)" # without --engine, too
expect "a recipe says how many processors there are" 72 \
    "$(flux simulate --engine=library --machine data/graph/tiny.graphml --format grug data/traces/lublin_256.swf.gz | sed -n 's/^processors: *//p')"
[ "$failures" -eq 0 ] && echo "all as expected"
exit $((failures > 0))
