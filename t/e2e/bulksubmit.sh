#!/usr/bin/env bash
# flux bulksubmit: inputs from arguments, files and standard input, combined into jobs.
. "$(dirname "$0")/story.sh"
cd "$FLUX_STORY_DIR" || exit 1

would() { flux bulksubmit --dry-run "$@" </dev/null; }
expect "standard input is a list" "bulksubmit: submit echo 1
bulksubmit: submit echo 2" "$(seq 1 2 | flux bulksubmit --dry-run echo {})"
expect "lists are combined" "bulksubmit: submit echo 3 1
bulksubmit: submit echo 4 1
bulksubmit: submit echo 3 2
bulksubmit: submit echo 4 2" "$(would echo {1} {0} ::: 1 2 ::: 3 4)"
expect "or linked" "bulksubmit: submit echo 1 3
bulksubmit: submit echo 2 4" "$(would echo {0} {1} ::: 1 2 :::+ 3 4)"
seq 0 1 >inputs
expect "a file, and no command" "bulksubmit: submit 0
bulksubmit: submit 1" "$(would :::: inputs)"
expect "options have fields too" "bulksubmit: submit -n1 --job-name=0 hostname
bulksubmit: submit -n4 --job-name=1 hostname" "$(would --define=p2='2**int(x)' -n {.p2} --job-name={seq} hostname ::: 0 2)"
expect "{cc} comes after" "bulksubmit: submit echo x 0
bulksubmit: submit echo x 1" "$(would --cc=0-{} echo x {cc} ::: 1)"
expect "in any order" "1 2 3" "$(would --shuffle echo {} ::: 3 1 2 | sed 's/.* //' | sort | xargs)"
expect_match "a field that there is not" "no input 1: there are 1" "$(would echo {1} ::: a 2>&1)"
expect_match "no inputs" "there are no inputs" "$(would echo {} 2>&1)"
expect_match "a template that is not closed" "a brace is not closed" "$(would 'echo {' ::: a 2>&1)"

ids=$(flux bulksubmit --wait --log=out.{seq} sh -c 'echo "$0-$1"' {} {1./} ::: a b ::: /x/y)
expect "with --log the ids go there too" "" "$ids"
expect "the jobs ran with their inputs" "a-y b-y" "$(flux jobs -ano '{id}' | xargs -n1 flux job attach | sort | xargs)"
expect "each has its log" 2 "$(cat out.0 out.1 | wc -l)"
expect "their output is shown" "1 2" "$(flux bulksubmit --watch --quiet echo {} ::: 1 2 | sort | xargs)"
flux bulksubmit --wait --quiet sh -c 'exit {}' ::: 0 3 2>/dev/null
expect "the exit code is the highest" 3 "$?"
finish
