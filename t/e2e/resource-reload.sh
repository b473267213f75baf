#!/usr/bin/env bash
# flux resource reload and acquire-mute: another R while the instance runs.
brokers=3
. "$(dirname "$0")/story.sh"
R=$FLUX_STORY_DIR/R
write() { # RANKS CORES HOSTS
    printf '{"version":1,"execution":{"R_lite":[{"rank":"%s","children":{"core":"%s"}}],"starttime":0,"expiration":0,"nodelist":["%s"]}}' \
        "$1" "$2" "$3" >"$R"
}
info() { flux resource info; }

write 0-1 0-1 'x[0-1]'
cd "$FLUX_STORY_DIR"
flux resource reload R
expect "the inventory is what the file says" "2 Nodes, 4 Cores, 0 GPUs" "$(info)"
expect_match "the journal tells it" 'resource-define.*method="*reload' "$(flux resource eventlog | tail -1)"
flux module reload sched
eventually "sched is back" flux submit true
expect_match "and gives out no more" "never satisfiable.*3 nodes" "$(flux submit -N3 true 2>&1)"
write 0-2 0-1 'x[0-2]'
flux resource reload "$R"
flux run -N3 -n6 true
expect "a rank that is new is given out at once" 0 "$?"
expect "the log asks for nothing" 0 "$(flux dmesg | grep -c 'has other resources now')"
write 0-2 0-3 'x[0-2]'
flux resource reload R
expect_match "other cores are told" "rank 0-2 has other resources now.*reload sched" "$(flux dmesg | grep 'other resources')"
flux module reload sched
eventually "and given out then" flux run -N3 -n12 true

write 0-3 0-3 'x[0-3]'
expect_match "ranks that are no brokers are refused" "R has rank 3, this instance has 3 brokers: force" "$(flux resource reload R 2>&1)"
expect "then nothing has changed" "3 Nodes, 12 Cores, 0 GPUs" "$(info)"
flux resource reload --force R
expect "or left out" "3 Nodes, 12 Cores, 0 GPUs" "$(info)"
write 7 0-3 'x7'
expect_match "of which nothing may be left" "has nothing for this instance" "$(flux resource reload -f R 2>&1)"
echo nonsense >R
expect_match "a file that is no R" "R is no R \(RFC 20\)" "$(flux resource reload R 2>&1)"
expect_match "a file that there is not" "cannot read the resource set .*/none: No such" "$(flux resource reload none 2>&1)"

mkdir xml
for rank in 0 2; do # as hwloc writes it
    cat >xml/$rank.xml <<'XML'
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE topology SYSTEM "hwloc2.dtd">
<topology version="2.0">
  <object type="Machine" os_index="0" cpuset="0x00000003" complete_cpuset="0x00000003" allowed_cpuset="0x00000003" nodeset="0x00000001" complete_nodeset="0x00000001" allowed_nodeset="0x00000001" gp_index="1">
    <object type="NUMANode" os_index="0" cpuset="0x00000003" complete_cpuset="0x00000003" nodeset="0x00000001" complete_nodeset="0x00000001" gp_index="2" local_memory="1073741824"/>
    <object type="Core" os_index="0" cpuset="0x00000001" complete_cpuset="0x00000001" nodeset="0x00000001" complete_nodeset="0x00000001" gp_index="3">
      <object type="PU" os_index="0" cpuset="0x00000001" complete_cpuset="0x00000001" nodeset="0x00000001" complete_nodeset="0x00000001" gp_index="4"/>
    </object>
    <object type="Core" os_index="1" cpuset="0x00000002" complete_cpuset="0x00000002" nodeset="0x00000001" complete_nodeset="0x00000001" gp_index="5">
      <object type="PU" os_index="1" cpuset="0x00000002" complete_cpuset="0x00000002" nodeset="0x00000001" complete_nodeset="0x00000001" gp_index="6"/>
    </object>
  </object>
</topology>
XML
done
flux resource reload --xml xml
expect "topologies are read, of the ranks that have one" "2 Nodes, 4 Cores, 0 GPUs" "$(info)"
expect "with their brokers' hosts" "0,2" "$(flux resource list -s all -no '{ranks}')"
echo nonsense >xml/1.xml
expect_match "what is none is named" "xml/1.xml" "$(flux resource reload -x xml 2>&1)"
mkdir empty
expect_match "an empty directory" "empty holds no topology RANK.xml" "$(flux resource reload -x empty 2>&1)"
expect_match "and none" "cannot read the directory .*/nodir" "$(flux resource reload -x nodir 2>&1)"

down() { flux resource list -s down -no '{ranks}'; }
flux module reload sched
eventually "sched is back" flux submit true
flux resource acquire-mute
flux resource drain 2
expect "a muted resource module knows what is drained" 2 "$(flux resource drain -no '{ranks}')"
job=$(flux submit -N2 true)
flux job wait-event -t 20 "$job" clean >/dev/null
expect "and does not tell the scheduler" 0 "$?"
flux module reload sched
eventually "until it acquires anew" flux submit true
expect "and hears what is" 2 "$(down)"
finish
