#!/usr/bin/env bash
# Jobs that wait for other jobs, for a time, or for a person.
. "$(dirname "$0")/story.sh"

events() { flux job eventlog "$1" | cut -d' ' -f2 | xargs; }

first=$(flux submit --urgency=hold true)
ok=$(flux submit --dependency=afterok:"$first" true)
any=$(flux submit --dependency=afterany:"$first" true)
started=$(flux submit --dependency=afterstart:"$first" true)
notok=$(flux submit --dependency=afternotok:"$first" true)
expect "all of them wait" 4 "$(flux jobs -no '{id} {dependencies}' | grep -c after-)"
flux job urgency "$first" default
for id in "$ok" "$any" "$started" "$notok"; do flux job wait-event "$id" clean >/dev/null; done
expect_match "afterok was let go" "dependency-add dependency-remove depend" "$(events "$ok")"
expect_match "afterany was let go" "dependency-remove depend .* finish" "$(events "$any")"
expect_match "afterstart was let go" "dependency-remove depend .* finish" "$(events "$started")"
expect "afternotok cannot be met any more" "submit validate dependency-add exception clean" "$(events "$notok")"
expect_match "and says so" "can never be met" "$(flux job eventlog "$notok")"

text=$(flux submit --dependency=afternotok:"$first" true 2>&1)
expect_match "a dependency that can never be met is refused" "can never be met" "$text"
text=$(flux submit --dependency=afterwards:"$first" true 2>&1)
expect_match "a scheme that is not known is refused" '"afterwards" is not supported' "$text"
text=$(flux submit --dependency=afterok:x"$(printf 'é%.0s' {1..40})" true 2>&1)
expect_match "what is no job is named, in whole letters" 'dependency afterok:xéé.*"xé+" is not a job id' "$text"
text=$(flux submit --dependency=afterok:fzzz true 2>&1)
expect_match "so is a job that there is not" "there is no job" "$text"

later=$(flux submit --dependency=begin-time:"$(date -d '+1 sec' +%s.%N)" true)
flux job wait-event "$later" clean >/dev/null
expect_match "a begin time is waited for" "dependency-remove depend" "$(events "$later")"

one=$(flux submit --job-name=single --dependency=singleton: sleep 100)
two=$(flux submit --job-name=single --dependency=singleton: true)
flux job wait-event "$one" start >/dev/null
expect_match "the second of a singleton waits" "single.*singleton" "$(flux jobs -no '{name} {id} {dependencies}' "$two")"
flux cancel "$one"
flux job wait-event "$two" clean >/dev/null
expect_match "until the first is gone" " CD " "$(flux jobs -a | grep "$two")"

# A job that gets another name is no longer among those of the old one.
first=$(flux submit --urgency=hold --job-name=old true)
two=$(flux submit --job-name=old --dependency=singleton: true)
flux update "$first" attributes.system.job.name=new
flux job wait-event "$two" clean >/dev/null
expect_match "a singleton does not wait for a job of another name" " CD " "$(flux jobs -a | grep "$two")"
three=$(flux submit --job-name=new --dependency=singleton: true)
flux update "$first" attributes.system.job.name=old
four=$(flux submit --job-name=old --dependency=singleton: true)
flux job wait-event "$three" clean >/dev/null
expect "but for one that has come to its name" 1 "$(flux jobs -no '{dependencies}' "$four" | grep -c singleton)"
flux cancel "$first"
flux job wait-event "$four" clean >/dev/null
finish
