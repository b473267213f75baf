#!/usr/bin/env bash
# flux batch and flux alloc: scripts and programs in an instance of their own.
brokers=2
. "$(dirname "$0")/story.sh"
cd "$FLUX_STORY_DIR" || exit 1

cat >job.sh <<'SCRIPT'
#!/bin/sh
# flux: -N2 --output=job.out
# flux: --job-name=directed
echo "size $(flux getattr size) level $(flux getattr instance-level) args $*"
flux run -N2 -n2 sh -c 'echo task $FLUX_TASK_RANK'
exit 4
SCRIPT
id=$(flux batch job.sh one two)
flux job status "$id" 2>/dev/null
expect "the job's exit code is the script's" 4 "$?"
expect "the script ran in an instance of two brokers" "size 2 level 1 args one two" "$(head -1 job.out)"
expect "and ran tasks in it" "task 0 task 1" "$(tail -n +2 job.out | sort | xargs)"
expect "a directive names the job" directed "$(flux jobs -no '{name}' "$id")"
id=$(flux batch --job-name=mine job.sh)
expect "the command line wins" mine "$(flux jobs -no '{name}' "$id")"
flux job status "$id" 2>/dev/null
id=$(flux batch -n1 --output=kvs --wrap echo wrapped)
expect "a wrapped command" wrapped "$(flux job attach "$id")"
id=$(flux batch -n1 --wrap echo to a file)
flux job status "$id"
expect "the default output" "to a file" "$(cat "flux-$id.out")"
rm job.sh
expect "a program in an instance" 1 "$(flux alloc -n1 flux getattr instance-level)"
expect "tasks hear by PMI how deep an instance of theirs would be" "1 2" \
    "$(xargs <<<"$(flux run flux pmi get flux.instance-level; flux alloc -n1 flux run flux pmi get flux.instance-level)")"
expect "as many tasks as nodes" 1 "$(flux jobs -ano '{ntasks}' -c1)"
text=$(printf 'no interpreter\n' | flux batch -n1 2>&1)
expect_match "a script without an interpreter" "does not begin with #!" "$text"
text=$(printf '#!/bin/sh\ntrue\n# flux: -n1\n' | flux batch -n1 2>&1 || printf '#!/bin/sh\n# flux: -n1\ntrue\n# flux: -N1\n' | flux batch 2>&1)
expect_match "a directive that comes too late" "line 4" "$(printf '#!/bin/sh\n# flux: -n1\ntrue\n# flux: -N1\n' | flux batch 2>&1)"
expect_match "a directive with an option that is not there" "in a directive.*--nodse" \
    "$(printf '#!/bin/sh\n# flux: --nodse=1\ntrue\n' | flux batch 2>&1)"
id=$(flux batch -n1 --output=kvs --wrap sh -c 'echo one; echo "two  words"')
expect "wrapped words stay words" "one two  words" "$(flux job attach "$id" | tr '\n' ' ' | sed 's/ $//')"

flux queue stop --quiet
flux alloc -n1 2>/dev/null &
alloc=$!
submitted() { flux jobs -no '{name}' | grep -q '^alloc$'; }
eventually "the allocation is asked for" submitted
kill -TERM "$alloc"
wait "$alloc"
expect "who no longer waits for an allocation has none" CANCELED "$(flux queue drain; flux jobs -a -c1 -no '{result}')"
flux queue start --quiet
finish
