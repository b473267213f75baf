#!/usr/bin/env bash
# flux archive: files that one node stores and others extract as they were.
brokers=2
. "$(dirname "$0")/story.sh"
cd "$FLUX_STORY_DIR"
mkdir -p src/data/deep out
echo hello >src/small
printf '\377\000\001' >src/binary
: >src/empty
head -c 3000000 /dev/urandom >src/data/large
truncate -s 5M src/data/sparse
printf end | dd of=src/data/sparse bs=1 seek=4000000 conv=notrunc status=none
ln -s ../small src/data/link
printf '#!/bin/sh\necho staged\n' >src/data/deep/program
chmod 755 src/data/deep/program
sums() { (cd "$1" && find . -type f -exec md5sum {} + | sort); }

flux archive create -C src .
expect "what is stored is listed" "binary data data/deep data/deep/program data/large data/link data/sparse empty small" "$(flux archive list | xargs)"
expect_match "with its size" '^-0755 +22 data/deep/program$' "$(flux archive list --long '*program')"
expect_match "a link with where it leads" 'data/link -> ../small' "$(flux archive list -l)"
expect_match "or as it is" '"encoding":"blobvec"' "$(flux archive list --raw data/large)"
expect "what is a hole is not stored" 1 "$(flux archive list --raw data/sparse | grep -o sha1 | wc -l)"
on_rank 1 flux archive extract --waitcreate=10s -C out
expect "another node has the same" "$(sums src)" "$(sums out)"
expect "with types, modes, links" "$(cd src; find . -mindepth 1 -printf '%y %m %l %p\n' | sort)" "$(cd out; find . -mindepth 1 -printf '%y %m %l %p\n' | sort)"
expect "and times" "$(stat -c %Y src/data/large)" "$(stat -c %Y out/data/large)"
[ "$(stat -c %b out/data/sparse)" -lt 4000 ]
expect "holes are holes" 0 "$?"
expect_match "files that are there stay" "binary exists: --overwrite" "$(flux archive extract -C out 2>&1)"
echo other >out/small
flux archive extract -C out --overwrite small
expect "unless that is meant" hello "$(cat out/small)"
expect "only what matches" "data/large" "$(flux archive extract -t '*large')"
expect_match "an archive that exists stays" "archive.main exists: --overwrite replaces it" "$(flux archive create src/small 2>&1)"
flux archive create --append -C src/data/deep program
expect "or gets more" 2 "$(flux archive list | grep -c program)"
flux archive create --overwrite --preserve --chunksize=1000000 -C src small data/large
expect "or is another" "small data/large" "$(flux archive list | xargs)"
expect "in pieces as wanted" 3 "$(flux archive list --raw data/large | grep -o sha1 | wc -l)"
expect_match "its blobs are on record" 'sha1.*sha1' "$(flux kvs get --treeobj archive.main_blobs)"
flux archive create -n text --small-file-threshold=0 src/small
expect_match "names are names" "src/small" "$(flux archive list -n text)"
expect_match "a name with a period" "a name without" "$(flux archive list -n a.b 2>&1)"
expect_match "a way out of the directory" "leads out of the directory" "$(cd out; flux archive create -n x ../src 2>&1)"
expect_match "an absolute path loses its slash" "^tmp/|^[^/].*small$" "$(flux archive create -n abs "$PWD/src/small"; flux archive list -n abs)"
mkfifo pipe
expect_match "what is no file" "pipe: it is neither a file" "$(flux archive create -n x pipe 2>&1)"
expect_match "what there is not" "cannot archive nosuch" "$(flux archive create -n x nosuch 2>&1)"
expect "then nothing is stored" 1 "$(flux archive list -n x >/dev/null 2>&1; echo $?)"

# Archives that want too much.
mkdir evil
flux kvs put 'archive.evil=[{"path":"../escaped","mode":33188,"data":"x","encoding":"utf-8","size":1}]'
expect_match "a path out of the directory" "leads out of a directory" "$(flux archive extract -n evil -C evil 2>&1)"
flux kvs put "archive.evil=[{\"path\":\"way\",\"mode\":41471,\"data\":\"$PWD/out\"},{\"path\":\"way/escaped\",\"mode\":33188,\"data\":\"x\",\"encoding\":\"utf-8\",\"size\":1}]"
expect_match "by a link" "written outside of" "$(flux archive extract -n evil -C evil 2>&1)"
expect "nothing is there" "" "$(find . -name escaped)"
flux kvs put archive.evil=nonsense
expect_match "no archive" "archive.evil is no archive" "$(flux archive list -n evil 2>&1)"
flux archive remove -n evil
flux archive remove
expect_match "it is gone" "archive.main" "$(flux archive list 2>&1)"
expect_match "and cannot go again" "archive.main" "$(flux archive remove 2>&1)"
flux archive remove --force
expect "unless that is meant" 0 "$?"
expect "its blobs too" 1 "$(flux kvs get --treeobj archive.main_blobs >/dev/null 2>&1; echo $?)"
finish
