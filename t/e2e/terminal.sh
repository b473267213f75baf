#!/usr/bin/env bash
# Pseudo-terminals of tasks: captured ones, the interactive one, and the shell of flux alloc in it.
brokers=2
. "$(dirname "$0")/story.sh"
typed=$(dirname "$0")/terminal/typed.py
tty='test -t 0 && test -t 1 && test -t 2 && echo a terminal || echo none'

expect "a task has no terminal" none "$(flux run sh -c "$tty")"
expect "unless it asks for one" "a terminal" "$(flux run -o pty sh -c "$tty" | tr -d '\r')"
expect "all tasks then, but for --label-io" "0: a terminal 1: a terminal" \
    "$(flux run -l -N2 -n2 -o pty sh -c "$tty" | tr -d '\r' | sort | xargs)"
expect "those that pty.ranks names" "0: none 1: a terminal" \
    "$(flux run -l -n2 -o pty.ranks=1 sh -c "$tty" | tr -d '\r' | sort | xargs)"
expect "it is the one of its session" "$(printf 'pts\npts')" \
    "$(flux run -o pty sh -c 'tty; ps -o tty= -p $$' | tr -d '\r' | sed 's|^/dev/||; s|/.*||')"
expect "standard input is typed there, and ends as ^D" "HELLO" "$(echo hello | flux run -o pty tr a-z A-Z | tr -d '\r' | tail -1)"
expect_match "ranks that are none" "pty.ranks" "$(flux run -o pty.ranks=x true 2>&1)"
expect_match "an interactive one without task 0" "leaves that out" \
    "$(flux run -n2 -o pty.interactive -o pty.ranks=1 true 2>&1)"

text=$("$typed" flux run -o pty.interactive sh -c 'stty size; read word; echo "got <$word>"; exit 7' <<'STEPS'
see 24 80
type tree\r
see got <tree>
STEPS
)
expect "the task's exit code" 7 "$?"
expect_match "what is typed is shown once, by the task's terminal" '^tree' "$text"
expect "and is not kept" "" "$(flux job attach --read-only "$(flux job last)" 2>/dev/null)"

"$typed" flux run -o pty.interactive sh -c 'echo ready; trap "echo interrupted; exit 3" INT; read never' >out <<'STEPS'
see ready
type \x03
see interrupted
STEPS
expect "^C is a key like others" 3 "$?"

"$typed" flux run -o pty.interactive sh -c 'trap "stty size" WINCH; echo ready; while ! read word; do :; done' >out <<'STEPS'
see ready
size 33 99
see 33 99
type go\r
STEPS
expect "the terminal's size is passed on" 0 "$?"

"$typed" sh -c 'stty -g; flux run -o pty.interactive sh -c "stty raw -echo; kill -9 \$\$"; stty -g' >out </dev/null
expect "our terminal is as it was, whatever the task did to its own" 1 "$(tr -d '\r' <out | grep -E '^[0-9a-f:]{20,}$' | sort -u | wc -l)"

"$typed" sh -c 'flux run -o pty.interactive seq 100000' </dev/null | tr -d '\r' >out
expect "much output arrives whole" "100000 100000" "$(grep -c '^[0-9]*$' out) $(grep '^[0-9]*$' out | tail -1)"

id=$(flux submit -o pty.interactive -o pty.capture sh -c 'echo first; read word; echo "got $word"')
"$typed" flux job attach "$id" >out <<'STEPS'
see first
type second\r
see got second
STEPS
expect "who comes later sees what was shown" 0 "$?"
expect "and captured output can be had afterwards" "got second" "$(flux job attach "$id" | tr -d '\r' | tail -1)"

id=$(flux submit -o pty.interactive sh -c 'read word; seq 300000')
"$typed" sh -c "flux job attach $id | head -n1000 >/dev/null" >out <<'STEPS'
type go\r
STEPS
flux job status "$id"
expect "who goes away holds nothing up" 0 "$?"

SHELL=/bin/sh "$typed" flux alloc -N2 >out <<'STEPS'
see [$#] 
type echo level $(flux getattr instance-level) size $(flux getattr size) on $(tty)\r
see level 1 size 2 on /dev/pts
type exit 5\r
STEPS
expect "the shell of an allocation runs in it" 5 "$?"
finish
