# A first tour, for the shell of an instance with four brokers: flux start -s4 sh -x doc/examples/tour.sh
flux run -N4 hostname                             # a job on four nodes, and its output
flux submit --cc=1-10 --wait --progress true      # ten jobs at once
flux run sh -c 'exit 3'                           # one that fails
flux jobs -a -c 5                                 # what ran, and how it ended
flux run -N2 -n2 flux start flux resource list    # an instance inside a job, with two of the nodes
flux kvs put greeting=hello && flux kvs get greeting
flux submit -N4 -x -t 1m --job-name=first sleep 3 # uses everything,
flux submit -N1 -x --job-name=second true         # so this one waits, and is told why
flux job wait-event -q "$(flux job last)" priority && sleep 2
flux jobs
flux queue drain
flux resource list
flux overlay status
flux dmesg | tail -n 3
