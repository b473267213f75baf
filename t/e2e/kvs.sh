#!/usr/bin/env bash
# flux kvs and flux content: every subcommand, what it prints, and how it fails.
brokers=2
. "$(dirname "$0")/story.sh"

flux kvs put a.b=42 a.c="two words" list=1
expect "values in the order asked" "42
1" "$(flux kvs get a.b list)"
expect "with labels" "a.b=42" "$(flux kvs get -l a.b)"
expect "without a newline" "42" "$(flux kvs get -r a.b; echo -n)"
expect "as tree object" '{"data":"NDI=","type":"val","ver":1}' "$(flux kvs get -t a.b | jq -cS . 2>/dev/null || flux kvs get -t a.b)"
expect "a directory, with values" "a.b = 42
a.c = two words" "$(flux kvs dir -R a)"
expect "without" "a.b
a.c" "$(flux kvs dir -d a)"
expect "cut to a width" "a.c = two..." "$(flux kvs dir -w 12 a | tail -1)"
expect "names" "b
c" "$(flux kvs ls -1 a)"
flux kvs link a.b d
expect "marked by kind" "a.
d@
list" "$(flux kvs ls -1 -F a d list -d)"
expect "where a link points" a.b "$(flux kvs readlink d)"
flux kvs mkdir empty
expect "an empty directory" "" "$(flux kvs ls empty)"
flux kvs copy a copied
flux kvs move copied moved
expect "moved" 42 "$(flux kvs get moved.b)"
flux kvs get copied.b 2>/dev/null
expect "and gone from where it was" 1 "$?"
flux kvs unlink a 2>/dev/null
expect "a directory with entries stays" 42 "$(flux kvs get a.b)"
flux kvs unlink -R a moved
expect "unless -R" "" "$(flux kvs ls -1 | grep -E '^(a|moved)$')"
expect "a key that is not there is no error with -f" 0 "$(flux kvs unlink -f nothing; echo $?)"

printf 'a\0b' | flux kvs put -r bytes=-
expect "bytes of any kind" "a0b" "$(flux kvs get -r bytes | tr '\0' 0)"
flux kvs put -A list=2
expect "appended" 12 "$(flux kvs get list)"
version=$(flux kvs version)
expect "the version grows" $((version + 1)) "$(flux kvs put -s x=1)"
expect "it can be waited for on another broker" 1 "$(on_rank 1 flux kvs wait $((version + 1)) && on_rank 1 flux kvs get x)"
expect "the root as blobref" "$(flux kvs getroot | grep -o 'sha1-[0-9a-f]*')" "$(flux kvs getroot -b)"
expect "a snapshot is read later" 1 "$(root=$(flux kvs getroot); flux kvs put x=2; flux kvs get -a "$root" x)"
flux kvs sync
expect "sync succeeds" 0 "$?"

flux kvs get -W later >"$FLUX_STORY_DIR/later" &
waiter=$!
flux kvs put later=came
wait "$waiter"
expect "who waits for a key gets it" came "$(cat "$FLUX_STORY_DIR/later")"

flux kvs eventlog append diary one
flux kvs eventlog append diary two
flux kvs eventlog get -u -w -c 3 diary >"$FLUX_STORY_DIR/events" &
watcher=$!
eventually "who watches a log has what is there" grep -q two "$FLUX_STORY_DIR/events"
flux kvs eventlog append diary three
wait "$watcher"
expect "and each event once" "one two three" "$(grep -o '"name":"[a-z]*"' "$FLUX_STORY_DIR/events" | cut -d'"' -f4 | xargs)"
flux kvs put growing=1
flux kvs get -w -A -c 2 growing >"$FLUX_STORY_DIR/growing" &
watcher=$!
eventually "the watcher of appends has the value" grep -q 1 "$FLUX_STORY_DIR/growing"
flux kvs put --append growing=2
wait "$watcher"
expect "then only what is appended" "1 2" "$(xargs <"$FLUX_STORY_DIR/growing")"
expect "a large value comes in parts" 3000000 \
    "$(head -c 3000000 /dev/zero | tr '\0' z | flux kvs put --raw big=- && flux kvs get -S --raw big | wc -c)"
flux kvs get --raw big >/dev/full 2>/dev/null
expect "output that is lost is a failure" 1 "$?"

flux kvs put counter=0
on_rank 1 flux kvs get -W -w -c 3 counter >"$FLUX_STORY_DIR/counts" &
watcher=$!
eventually "the watcher has the first value" grep -q 0 "$FLUX_STORY_DIR/counts"
flux kvs put counter=1
eventually "and the second" grep -q 1 "$FLUX_STORY_DIR/counts"
flux kvs put counter=2
wait "$watcher"
expect "a watcher on another broker sees each value" "0 1 2" "$(xargs <"$FLUX_STORY_DIR/counts")"

flux kvs namespace create mine other
flux kvs put -N mine k=v
expect "a namespace of its own" v "$(FLUX_KVS_NAMESPACE=mine flux kvs get k)"
expect_match "is listed" '^mine ' "$(flux kvs namespace list)"
flux kvs copy -S mine -D other k k2
expect "copied between namespaces" v "$(flux kvs get -N other k2)"
flux kvs namespace remove mine other
flux kvs namespace create primary 2>/dev/null
expect "a name that is taken" 1 "$?"

flux kvs eventlog append log one '{"a":1}'
flux kvs eventlog append log two
expect "events" "one a=1 two" "$(flux kvs eventlog get log | cut -d' ' -f2- | xargs)"
expect "in their own form" '"name":"one"' "$(flux kvs eventlog get -u log | head -1 | grep -o '"name":"one"')"
expect "one that is waited for" two "$(flux kvs eventlog wait-event log two | cut -d' ' -f2)"
flux kvs eventlog wait-event -t 0.01 log three 2>/dev/null
expect "one that does not come" 1 "$?"

ref=$(echo hello | flux content store)
expect "a blob has the hash of its content" sha1-f572d396fae9206628714fb2ce00f72e94f2258f "$ref"
expect "and can be loaded from anywhere" hello "$(on_rank 1 flux content load "$ref")"
expect_match "nothing is behind the cache without a statedir" "no statedir" "$(flux content load -b "$ref" 2>&1)"
expect "in parts" 3 "$(printf 'abcde' | flux content store --chunksize=2 | tee "$FLUX_STORY_DIR/refs" | wc -l)"
expect "that join again" abcde "$(flux content load <"$FLUX_STORY_DIR/refs")"
flux content load sha1-0000000000000000000000000000000000000000 2>/dev/null
expect "one that is not there" 1 "$?"
flux content load nonsense 2>/dev/null
expect "what is no blobref" 1 "$?"
flux content dropcache
expect "the cache can be emptied" hello "$(flux content load "$ref")"
finish
