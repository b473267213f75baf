#!/usr/bin/env bash
# An instance of one broker: attributes, modules, events, KVS.
. "$(dirname "$0")/story.sh"

expect "the size attribute" 1 "$(flux getattr size)"
expect "a ping is answered" 1 "$(flux ping -c 1 kvs | grep -c 'kvs.ping')"
modules=$(grep -vc "^#" "$FLUX_BUILD_BIN/../etc/flux/modules")
expect "every default module is loaded" "$modules" "$(flux module list | tail -n +2 | wc -l)"

flux kvs put a.b=42 c=foo
expect "a value is read back" 42 "$(flux kvs get a.b)"
flux kvs link a.b d
expect "a symlink is followed" 42 "$(flux kvs get d)"
flux kvs copy a e
expect "a copied directory" "e.b" "$(flux kvs dir e | cut -d' ' -f1)"
flux kvs unlink a.b
flux kvs get a.b 2>/dev/null
expect "an unlinked key is gone" 1 "$?"

expect "kvs unloads" 0 "$(flux module remove job-exec; echo $?)"
expect_match "it is gone from the list" "^$((modules - 1))$" "$(flux module list | tail -n +2 | wc -l)"
expect "it loads again" 0 "$(flux module load job-exec; echo $?)"
expect_match "what the broker's process used" '^[1-9][0-9]+$' "$(flux module stats --rusage=self -p maxrss kvs)"
finish
