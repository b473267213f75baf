#!/usr/bin/env bash
# What goes into tasks and what comes out of them: terminal, files, templates, limits.
. "$(dirname "$0")/story.sh"
transcript=$(cd "$(dirname "$0")" && pwd)/transcript/run.py
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

expect "standard input reaches every task" "0: hi 1: hi" "$(echo hi | flux run -n2 -l cat | sort | xargs)"
expect "and can be a file" "from a file" "$(echo from a file >in; flux run --input=in cat)"
id=$(flux submit cat)
flux job wait-event -p guest.exec.eventlog "$id" shell.init >/dev/null
echo later | flux job attach "$id" >out
expect "it may be given to a running job" later "$(cat out)"
expect_match "and is on record" '"data":"(bGF0ZXIK|later\\n)"' "$(flux kvs get "$(flux job id --to=kvs "$id").guest.input")"

flux run -n2 --output='out.{{id}}' echo one
expect "a file by job" "one one" "$(cat out.ƒ* | xargs)"
flux run -n2 --output='{{taskid}}.txt' sh -c 'echo $FLUX_TASK_RANK'
expect "a file for each task" "0 1" "$(cat 0.txt 1.txt | xargs)"
flux run --output=both sh -c 'echo a; echo b >&2'
expect "standard error goes along" "a b" "$(sort both | xargs)"
flux run --output=both --error=err sh -c 'echo a; echo b >&2'
expect "or a way of its own" "a b" "$(cat both err | xargs)"
flux run -o output.mode=append --output=both echo c
expect "a file may be appended to" "a c" "$(xargs <both)"
flux run -n2 -l --output=labels echo x
expect "and have labels" "0: x 1: x" "$(sort labels | xargs)"

id=$(flux submit flux kvs put a.b=42)
flux job wait-event "$id" clean >/dev/null
expect "what a task puts into its KVS namespace stays with the job" 42 \
    "$(flux kvs get "$(flux job id --to=kvs "$id").guest.a.b")"
text=$(flux run --output=/no/such/place/x true 2>&1)
expect_match "a file that cannot be made is named" "/no/such/place/x" "$text"
expect "output has a limit" 1000 "$(flux run -o output.limit=1000 sh -c 'head -c 5000 /dev/zero | tr "\0" x' 2>/dev/null | wc -c)"
expect "bytes that are no text come through" "ff00fe" \
    "$(flux run sh -c "printf '\377\0\376'" | od -An -tx1 | tr -d ' \n')"
number() { seq 1 "$1"; } # of lines, each of its own
expect "much output comes through whole and in order" "$(number 400000 | cksum)" "$(flux run seq 1 400000 | cksum)"
expect "and much input" "$(number 1500000 | cksum)" "$(number 1500000 | flux run cksum)"
expect "to every task" "$(number 300000 | cksum | sed p)" "$(number 300000 | flux run -n2 cksum)"
expect "who does not read it is not given it for ever" 0 "$(number 300000 | flux run true; echo $?)"
expect_match "other jobs go on beside one that writes on and on" "^beside" "$(
    id=$(flux submit yes)
    flux job wait-event -p guest.exec.eventlog "$id" shell.start >/dev/null
    flux run echo beside
    flux cancel "$id"
    flux job wait-event "$id" clean >/dev/null)"
cat >"$FLUX_STORY_DIR/late" <<'END'
job J {} sleep 100
! flux job wait-event -p exec {J_F58} shell.start >/dev/null
! kill -STOP $(ps -o ppid= $(flux job hostpids {J_F58} | cut -d: -f2))
> {UID}-shell-{J_F58}.stdin [nodeid=0 tag=5] {"stream":"stdin","rank":"all","eof":true}
! kill -KILL $(ps -o ppid= $(flux job hostpids {J_F58} | cut -d: -f2))
< {UID}-shell-{J_F58}.stdin [tag=5 errnum=38] "~.*"
END
expect "input that nobody took when the job ended is answered as if its service were gone" "ok late" \
    "$(python3 "$transcript" "$FLUX_STORY_DIR/late" | grep -E "^(ok|FAILED)")"
expect "a large line comes through" 300000 "$(flux run sh -c 'head -c 300000 /dev/zero | tr "\0" x' | wc -c)"
finish
