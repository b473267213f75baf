#!/usr/bin/env bash
# flux dump and restore: the KVS as an archive, garbage collection at the end of an instance, looking into what one left.
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory" || exit 1
FLUX_STORY=outside
. "$(dirname "$0")/story.sh"

cat >fill.sh <<'FILL'
flux kvs put a.small=1 a.b.c=two other=x
head -c 3000000 /dev/urandom | tee large | flux kvs put --raw a.large=-
flux kvs link a.small link
flux kvs link --target-namespace=far there away
for i in $(seq 200); do echo "many.k$i=$i"; done | xargs flux kvs put
flux kvs put 'odd/name=yes'
FILL
flux start sh -c '. ./fill.sh "$0"; flux dump -q kvs.tgz; flux dump -q - >kvs.tar; flux dump -v kvs.zip 2>keys
    flux restore -q --key=back kvs.tgz; flux kvs get back.a.b.c back.many.k77; flux kvs get --raw back.a.large | cmp - large && echo same
    flux kvs readlink back.away; flux kvs get back.odd/name
    flux restore -q --size-limit=2M --key=less kvs.zip; flux kvs get less.a.large
    flux dump nope.what; flux restore --checkpoint kvs.tgz; flux restore kvs.tgz' "$directory" >out 2>err
expect "what was dumped comes back" "two 77 same far::there yes" "$(xargs <out)"
expect "the archive is one for everybody" "two" "$(tar xOf kvs.tgz a/b/c)"
expect "links are links" 2 "$(tar tvf kvs.tar | grep -c '^l')"
expect "all keys are listed" 1 "$(grep -cx many.k200 keys)"
expect_match "what is too long is left out" "a/large: 3000000 bytes are more than --size-limit" "$(cat err)"
expect_match "and is not there" "less.a.large does not exist" "$(cat err)"
expect_match "a suffix that says nothing" "nope.what: the suffix says no archive format" "$(cat err)"
expect_match "a checkpoint beside a KVS" "the KVS is loaded" "$(cat err)"
expect_match "no place to restore to" "--key=NAME.*--checkpoint" "$(cat err)"
flux start -Scontent.restore=kvs.tgz sh -c 'flux kvs get a.b.c; flux kvs get --raw a.large | cmp - large && echo same' >out
expect "an instance can begin with it" "two same" "$(xargs <out)"
expect_match "or not, if it is damaged" "ended with status" "$(head -c 100 kvs.tgz >cut.tgz; flux start -Scontent.restore=cut.tgz true 2>&1)"

# garbage collection
mkdir state
flux start -Sstatedir="$directory/state" sh -c 'for i in 1 2 3; do head -c 2000000 /dev/urandom | flux kvs put --raw waste=-; done
    flux kvs put waste=none kept=yes; id=$(flux submit true); flux job wait-event $id clean >/dev/null
    echo blob | flux content store | tee ref | xargs flux content load --bypass-cache; flux shutdown --gc --background; sleep 60' >out 2>err
expect "content load --bypass-cache" blob "$(cat out)"
expect "a dump is there, and a link to it" 1 "$(tar tf state/dump/RESTORE | grep -c '^kept$')"
before=$(stat -c %s state/content.sqlite)
flux start -Sstatedir="$directory/state" sh -c 'flux kvs get kept; flux jobs -ano "{name} {status}"' >out
expect "the next instance has all" "yes true COMPLETED" "$(xargs <out)"
expect "the link is gone" "" "$(find state/dump -name RESTORE)"
expect "and what was no longer used too" 1 "$(($(stat -c %s state/content.sqlite) < before / 4))"
flux start -Sstatedir="$directory/state" -Scontent.dump=auto sh -c 'flux shutdown --skip-gc --background; sleep 60' 2>err
expect "--skip-gc" "" "$(find state/dump -name RESTORE)"
flux start -Sstatedir="$directory/state" --conf=kvs.gc-threshold=1 sh -c 'flux shutdown </dev/null' 2>err
expect_match "a question, and nobody to answer" "beyond kvs.gc-threshold 1.*--yes or --no" "$(cat err)"
flux start -Sstatedir="$directory/state" --conf=kvs.gc-threshold=1 sh -c 'flux shutdown -y --background; sleep 60' 2>err
expect "answered" 1 "$(find state/dump -name RESTORE | wc -l)"
ln -sfn missing state/dump/RESTORE
expect_match "a link to nowhere ends it before anything is lost" "points to missing" "$(flux start -Sstatedir="$directory/state" true 2>&1)"
rm state/dump/RESTORE

# recovery
flux start --recovery=state sh -c 'flux kvs get kept; flux resource list -s up -no {nnodes}' >out 2>err
expect "a statedir, without resources" "yes 0" "$(xargs <out)"
flux start --test-size=1 -r"$directory/kvs.tgz" flux kvs get a.b.c >out 2>err || flux start --test-size=1 --recovery="$directory/kvs.tgz" flux kvs get a.b.c >out
expect "a dump" two "$(cat out)"
expect_match "nothing" "neither a statedir nor an archive" "$(flux start --recovery=nowhere true 2>&1)"
flux start sh -c 'id=$(flux batch -n1 --dump=inner.tgz --output=none --wrap flux kvs put in=side); flux job status $id'
expect "a batch job's KVS" side "$(tar xOf inner.tgz in)"
flux start sh -c 'flux alloc -n1 --dump true; flux job last' >out
expect "under its default name" 1 "$(find . -name 'flux-*-dump.tgz' | wc -l)"
finish
