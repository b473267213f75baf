#!/usr/bin/env bash
# A mistake gets one sentence with the thing, the value and the remedy, a non-zero exit, and changes nothing.
. "$(dirname "$0")/story.sh"

# mistake PATTERN COMMAND...: it fails, and says something that matches
mistake() {
    local text
    text=$("${@:2}" 2>&1 >/dev/null </dev/null)
    expect "exit code of: ${*:2}" 1 "$?"
    expect_match "what is said about: ${*:2}" "$1" "$text"
}

# commands and options
mistake 'no command sumbit \(did you mean submit\?\)' flux sumbit true
mistake 'no command frobnicate; flux help' flux frobnicate
mistake 'flux kvs has no command gte \(did you mean get\?\)' flux kvs gte a
mistake 'unknown option --fromat \(did you mean --format\?\)' flux jobs --fromat=x
mistake 'argument is missing: flux getattr NAME' flux getattr
mistake "'c' is one argument too many" flux setattr a b c
mistake 'Try flux job info --help' flux job info
mistake "needs a number, not '4x'" flux submit -n4x true
mistake 'no help about jbos \(did you mean jobs\?\)' flux help jbos

mistake '"spiral" is none of block, cyclic, hostfile and manual' flux submit --taskmap=spiral true
mistake 'cyclic:0: the stride must be a positive number' flux submit --taskmap=cyclic:0 true
mistake 'No such file or directory: choose another place' flux shutdown --dump=/nowhere/at/all/kvs.tar
mistake 'kvs.what: the suffix says no archive format' flux shutdown --dump=kvs.what
expect "the instance goes on" 0 "$(flux getattr rank)"

# no instance
mistake 'FLUX_URI is not set; start one with flux start' env FLUX_URI= flux getattr size
mistake 'instance' env FLUX_URI=local:///nowhere/at/all flux getattr size
mistake 'ssh://host/path' env FLUX_URI=ssh://host/path flux getattr size

# names and values
mistake 'no-such-attribute' flux getattr no-such-attribute
mistake '"xyz" is not a job id' flux job attach xyz
mistake 'no job f2' flux jobs f2
mistake '--rank: idset "1-"' flux exec -r 1- true
mistake '--exclude: idset "1-"' flux exec -x 1- true
mistake '--cc: idset' flux submit --cc=a-b true
mistake '--flags: unknown job flag "waitble" \(use' flux submit --flags=waitble true
mistake '--timeout: duration "5x": unknown unit "x" \(use' flux job wait-event -t 5x f1 start
mistake 'hostlist' flux hostlist 'a[1-'
mistake '--time-limit: duration "1y": unknown unit "y".*bare number is minutes' flux submit -t 1y true
mistake '--requires: constraint "\("' flux submit --requires='(' true
mistake '--urgency: ' flux submit --urgency=99 true
mistake 'is no signal' flux job kill -s NOPE f1
mistake 'not SCHEME:VALUE' flux submit --dependency=nothing true
mistake 'is no time: give' flux jobs --since=soon
mistake 'neither a state nor a result \(did you mean failed\?\)' flux jobs -f faield
mistake 'jobs have no field nmae \(did you mean name\?\)' flux jobs -o '{nmae}'
mistake 'brace is not closed' flux jobs -o '{name'
mistake 'neither a format.*--format=help' flux jobs -o lnog
mistake 'there is no limit nofiles \(did you mean nofile\?\)' flux submit --rlimit=nofiles=1 true
mistake "uses NOT_SET, which is not set" flux submit --env='A=$NOT_SET' true
mistake 'no user nobody-of-that-name' flux jobs -u nobody-of-that-name
mistake 'is none of always, never, auto' flux dmesg --color=perhaps
mistake 'cannot open /nowhere' flux submit --add-file=/nowhere true

# what cannot be
mistake 'ntasks' flux submit -n0 true
mistake 'nodes=3 is more than --ntasks=2' flux submit -N3 -n2 true
mistake 'a command to run is missing' flux submit -n1
mistake 'needs --nodes|--nodes' flux submit -x true
mistake 'do not go together|exclude|cannot be' flux submit -n1 --tasks-per-node=2 true
mistake 'exclude each other' flux submit --cc=1 --bcc=1 true
mistake 'unsatisfiable|never|only|has' flux run -n 10000 true
mistake 'say which jobs' flux cancel
mistake 'not both' flux cancel --all f1
mistake '99' flux resource drain 99 nowhere
mistake 'single queue without a name' flux queue stop nope
mistake "'soon' is not KEY=VALUE" flux update f1 soon
mistake 'is not KEY=VALUE' flux kvs put nothing
mistake 'nope does not exist' flux kvs get nope

mistake 'unknown job id ƒ2' flux job urgency f2 5
mistake 'there is no job ƒ2; flux jobs -a lists them' flux job attach f2
mistake 'there is no job ƒ2' flux job wait-event -p exec f2 done
mistake 'there is no job ƒ2' flux job info f2 R
mistake 'a topic that is not empty' flux event pub ''
mistake "payload: invalid JSON.*near 'word'; --raw" flux event pub topic word
mistake '"sha1-xyz": hexadecimal' flux content load sha1-xyz
mistake "the context 'a=1' is no JSON object" flux kvs eventlog append key name a=1
mistake '--at: invalid JSON' flux kvs get --at=x key
mistake '--cwd needs a directory' flux run --cwd= true
mistake '"none" is none of self, children, thread' flux module stats --rusage=none kvs
mistake 'say what to end' flux housekeeping kill
mistake '--all and --jobid exclude each other' flux housekeeping kill --all --jobid=f2
mistake 'no housekeeping runs for job ƒ2' flux housekeeping kill --jobid=f2
mistake 'no housekeeping runs on 0' flux housekeeping kill --targets=0
mistake "'x' is no signal" flux housekeeping kill --all --signal=x
text=$(flux submit --cc=1-1000 -N5 true 2>&1)
expect "the lines that a thousand refused copies make" 2 "$(wc -l <<<"$text")"
expect_match "how many copies were refused" 'and 999 more jobs for the same reason' "$text"
mistake 'module nope was not found: looked in [^:]*/modules(:|$)' flux module load nope
expect "the places where a module is looked for twice" "" "$(flux module load nope 2>&1 | sed 's/.*looked in //' | tr : '\n' | sort | uniq -d)"

# a jobspec with one thing wrong names the field
spec=$(flux submit --dry-run true)
mistake 'no jobspec' sh -c 'echo not json | flux job submit'
bad() { printf '%s' "$spec" | python3 -c "import json,sys; j=json.load(sys.stdin); $1; print(json.dumps(j))" >"$FLUX_STORY_DIR/spec"; }
bad 'j["version"]=99'
mistake 'version' flux job submit "$FLUX_STORY_DIR/spec"
bad 'j["resources"][0]["with"][0]["count"]=-1'
mistake 'resources\[0\]\.with\[0\]\.count' flux job submit "$FLUX_STORY_DIR/spec"
bad 'del j["tasks"]'
mistake 'tasks' flux job submit "$FLUX_STORY_DIR/spec"
bad 'j["tasks"][0]["command"]=[]'
mistake 'tasks\[0\]\.command' flux job submit "$FLUX_STORY_DIR/spec"
bad 'j["attributes"]["system"]["duration"]="long"'
mistake 'duration' flux job submit "$FLUX_STORY_DIR/spec"

# values that are too large
mistake 'column|range|large|number' flux submit -n 99999999999999999999 true
mistake 'up to 1G' flux ping -p 100G kvs
mistake 'has 20000000 bytes' sh -c 'head -c 20000000 /dev/zero >"$0/big"; flux submit --add-file="$0/big" true' "$FLUX_STORY_DIR"

mistake 'TARGETS is empty' flux resource drain '' why
mistake 'TARGETS is empty' flux resource undrain ''
mistake "'99999999999999999999' is no version" flux kvs wait 99999999999999999999
mistake 'count must not be negative' flux event sub --count=-1
mistake '"extra" is not KEY=VALUE; it is not loaded any more: flux module load sched loads it' flux module reload sched extra
flux module load sched

# a module that is not there
flux module remove job-ingest
flux module remove job-list
missing='no job-list module is loaded.*; flux module load job-list loads it'
mistake "$missing" flux jobs
flux module load job-list
flux module load job-ingest
flux jobs >/dev/null
expect "what it says helps" 0 "$?"

# bytes that are no message end that connection only
printf 'GET / HTTP/1.1\r\n\r\n' | timeout 5 python3 -c '
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(os.environ["FLUX_URI"].removeprefix("local://"))
s.sendall(sys.stdin.buffer.read())
s.recv(1)
sys.exit(len(s.recv(1)))' 2>/dev/null
expect "a stranger's bytes end its connection" 0 "$?"
expect "and the broker lives" 1 "$(flux getattr size)"
expect "no mistake has become a job" "" "$(flux jobs -ano '{name}' | grep -v '^true$')"
finish
