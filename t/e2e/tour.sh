#!/usr/bin/env bash
# The commands around an instance: each explains itself, says what it is about, starts quickly.
. "$(dirname "$0")/story.sh"

commands=$(flux help | sed -n 's/^  \([a-z]*\)  *[A-Z].*/\1/p')
expect_match "flux help lists some" "submit.*resource" "$(xargs <<<"$commands")"
for command in $commands; do
    expect_match "flux $command --help" "^Usage: flux $command" "$(flux "$command" --help)"
    expect_match "flux help $command" "^flux-$command\(1\)" "$(flux help "$command")"
done
expect "completion is a script" 0 "$(flux completion bash | bash -n; echo $?)"
complete_words() {
    bash -c 'source <(flux completion bash); COMP_WORDS=(flux "$@"); COMP_CWORD=$#; _flux 2>/dev/null; echo "${COMPREPLY[*]}"' _ "$@"
}
expect "that knows commands" "submit" "$(complete_words subm)"
expect "subcommands" "eventlog" "$(complete_words kvs eve)"
expect "options of subcommands" "--waitcreate" "$(complete_words kvs get --waitc)"

expect_match "uptime" "run .*owner .*depth 0,  size 1" "$(flux uptime)"
expect_match "startlog" "running" "$(flux startlog)"
expect "no crash before this start" 0 "$(flux startlog --check; echo $?)"
expect_match "version" "broker:" "$(flux version)"
flux logger -s warning -n tour two words
expect_match "the log" 'tour.warning\[0\]: two words' "$(flux dmesg)"
flux dmesg --clear
expect "an empty log" "" "$(flux dmesg | grep tour)"
flux event sub -c 1 tour >"$FLUX_STORY_DIR/event" &
subscriber=$!
eventually "the event arrives" sh -c "flux event pub -s tour.first '{\"x\":1}'; grep -q . '$FLUX_STORY_DIR/event'"
wait "$subscriber"
expect "with its payload" 'tour.first	{"x":1}' "$(cat "$FLUX_STORY_DIR/event")"
expect "pings" 3 "$(flux ping -c 3 -b kvs | grep -c 'kvs.ping pad=0')"
expect "attributes" 1 "$(flux lsattr -v | grep -c '^size  *1$')"
flux setattr tour yes 2>/dev/null || flux setattr -f tour yes
expect "an attribute that was set" yes "$(flux getattr tour)"
expect "configuration" "{}" "$(flux config get | tr -d ' \n')"
expect "of a file" 3 "$(printf '[a]\nb = 3\n' >"$FLUX_STORY_DIR/c.toml"; flux config get -c "$FLUX_STORY_DIR/c.toml" a.b)"
expect "with a default" 7 "$(flux config get -d 7 a.c)"
mkdir -p "$FLUX_STORY_DIR/xdg/flux"
printf '[formats.mine]\ndescription = "my own"\nformat = "{name}"\n' >"$FLUX_STORY_DIR/xdg/flux/flux-jobs.toml"
expect_match "formats of one's own" "mine +my own" "$(XDG_CONFIG_HOME=$FLUX_STORY_DIR/xdg flux jobs -o help)"
printf '#!/bin/sh\necho "found $*"\n' >"$FLUX_STORY_DIR/flux-mine"
chmod +x "$FLUX_STORY_DIR/flux-mine"
expect "programs of one's own" "found a b" "$(FLUX_EXEC_PATH=$FLUX_STORY_DIR:${FLUX_EXEC_PATH:-} flux mine a b)"
finish
