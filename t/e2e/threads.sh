#!/usr/bin/env bash
# Every module on a thread of its own: jobs run, modules are replaced under them, messages cross in order.
brokers=3
start_options=--conf=modules.threads=\"all\"
. "$(dirname "$0")/story.sh"

threads() { cat /proc/"$(flux getattr broker.pid)"/task/*/comm; }
for module in kvs job-manager sched job-exec; do
    expect_match "$module has a thread of its own" "^$module\$" "$(threads)"
done
expect "a job on three nodes" "0 1 2" "$(flux run -N3 -n3 flux getattr rank | sort | xargs)"
flux submit --cc=1-60 true >/dev/null
flux submit --cc=1-60 --setattr=system.exec.test.run_duration=0.001s true >/dev/null
flux queue drain
expect "all of many jobs are completed" 121 "$(flux jobs -a -c 0 -no '{status}' | grep -c COMPLETED)"

flux submit --cc=1-40 true >/dev/null
flux module reload sched
flux module reload job-info
flux module reload job-list
flux queue drain
expect "so are those during which modules are replaced" 161 "$(flux jobs -a -c 0 -no '{status}' | grep -c COMPLETED)"
expect_match "the replaced one has a thread again" '^sched$' "$(threads)"

for n in $(seq 20); do echo "log.$n=$n"; done | xargs flux kvs put
expect "the KVS keeps what many threads bring" 210 "$(flux kvs dir log | awk -F' = ' '{ sum += $2 } END { print sum }')"
text=$(flux module load sched 2>&1)
expect_match "loading twice is refused" "already loaded" "$text"
expect "a module that is removed has no thread" 0 "$(flux module remove job-list && threads | grep -c '^job-list$')"
finish
