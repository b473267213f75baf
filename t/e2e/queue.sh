#!/usr/bin/env bash
# flux queue: closing and opening, what is said about it, and waiting for jobs to end.
. "$(dirname "$0")/story.sh"

expect "open at first" "Job submission is enabled
Scheduling is started" "$(flux queue status)"
expect "the list" "y y" "$(flux queue list -no '{enabled.ascii} {started.ascii}')"
expect "what the queue has" "1 1" "$(flux queue list -no '{resources.all.nnodes} {resources.free.nnodes}')"
flux queue disable --quiet -m 'back at noon'
expect_match "who submits is told the reason" "back at noon" "$(flux submit true 2>&1)"
expect_match "and so is who asks" "disabled: back at noon" "$(flux queue status)"
expect_match "uptime says so" "submit disabled" "$(flux uptime)"
flux queue enable --quiet
flux queue stop --quiet
id=$(flux submit true)
flux queue idle
expect "nothing starts while stopped" SCHED "$(flux jobs -no '{state}' "$id")"
expect "flux jobs says why it waits" "the queue is stopped" "$(flux jobs -no '{contextual_info}' "$id")"
flux queue start --quiet
flux queue drain --timeout=1m
expect "drained means that it has ended" INACTIVE "$(flux jobs -no '{state}' "$id")"
flux submit sleep 1000 >/dev/null
flux queue drain --timeout=0.05 2>/dev/null
expect "a time to wait at most" 1 "$?"
flux cancel --all --quiet
flux queue status nope 2>/dev/null
expect "a queue that is not there" 1 "$?"
flux queue stop nope 2>/dev/null
expect "nothing is done to another one" "y" "$(flux queue list -no '{started.ascii}')"
finish
