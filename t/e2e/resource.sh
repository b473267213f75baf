#!/usr/bin/env bash
# flux resource and flux hostlist: what there is, in whose hands it is, and taking it out of use.
brokers=3
. "$(dirname "$0")/story.sh"

cores=$(flux resource list -s all -no '{ncores}')
expect "the sum in a line" "3 Nodes, $cores Cores, 0 GPUs" "$(flux resource info)"
expect "all is free" 3 "$(flux resource list -s free -no '{nnodes}')"
expect "states share a line when none is shown" 1 "$(flux resource list -no '{nnodes}' | wc -l)"
expect "only some ranks" 2 "$(flux resource list -i 0-1 -s all -no '{nnodes}')"
expect "R names all ranks" 0-2 "$(flux resource R | grep -o '"rank":"[^"]*"' | cut -d'"' -f4)"
id=$(flux submit -N1 --exclusive sleep 1000)
flux job wait-event -t 60 "$id" start >/dev/null
expect "a job has a node" 1 "$(flux resource list -s allocated -no '{nnodes}')"
busy=$(flux resource list -s allocated -no '{ranks}')

flux resource drain 2 fan broken
expect "drained, and why" "2 fan broken" "$(flux resource drain -no '{ranks} {reason}' | xargs)"
expect_match "not to be used" ' 1 ' "$(flux resource status -s drained -n)"
expect_match "uptime counts it" "1 drained" "$(flux uptime)"
flux resource drain 2 again 2>/dev/null
expect "drained is drained" 1 "$?"
flux resource drain -u 2 again
expect "with -u the reason stays" "fan broken" "$(flux resource drain -no '{reason}')"
flux resource drain -f 2 again
expect "with -f it is replaced" "again" "$(flux resource drain -no '{reason}')"
flux resource undrain 2
expect "back in use" 3 "$(flux resource status -s avail -no '{nnodes}')"
flux resource undrain 2 2>/dev/null
expect "undrain of what is not drained" 1 "$?"
flux resource undrain -u 2 && flux resource undrain -f 2
expect "which --update and --force allow" 0 "$?"
expect_match "one of them" "exclude each other" "$(flux resource undrain -u -f 2 2>&1)"
flux resource drain "$busy" soon
expect "a drained node with a job is draining" draining "$(flux resource drain -no '{state}')"
flux cancel "$id"
flux job wait-event -t 60 "$id" clean >/dev/null
eventually "and drained once it has ended" sh -c '[ "$(flux resource drain -no "{state}")" = drained ]'
flux resource undrain "$busy"
flux resource drain 7 nowhere 2>/dev/null
expect "a rank that is not there" 1 "$?"

host=$(hostname)
expect "hosts of the instance" 3 "$(flux hostlist -c instance)"
expect "each once" "$host" "$(flux hostlist -u instance)"
expect "each once, said otherwise" "a[1-2]" "$(flux hostlist --unique a2 a1 a2)"
flux hostlist --nope a1 2>/dev/null
expect "a mistake in the options" 2 "$?"
expect "expanded" "a1 a2 a3" "$(flux hostlist -e 'a[1-3]')"
expect "joined" "a[1-4]" "$(flux hostlist a1 'a[2-4]')"
expect "without some" "a[1,3]" "$(flux hostlist -x a2 'a[1-3]')"
expect "by position" "a3" "$(flux hostlist -n -1 'a[1-3]')"
expect "in both" "a2" "$(flux hostlist -i 'a[1-2]' 'a[2-3]')"
expect "in the first only" "a1" "$(flux hostlist -m 'a[1-2]' 'a[2-3]')"
expect "in one only" "a[1,3]" "$(flux hostlist -X 'a[1-2]' 'a[2-3]')"
expect "positions" "1 2" "$(flux hostlist -F 'a[2-3]' 'a[1-3]')"
expect "from standard input" "b[1-2]" "$(printf 'b1\nb2\n' | flux hostlist)"
flux hostlist -q -i a1 a2
expect "an empty list, quietly" 1 "$?"
finish
