"""An existing Flux Python package speaks to the broker of this project through FLUX_URI: the same ground as client.c."""

import sys
import time

import flux
import flux.job
import flux.kvs
from flux.job import JobID, JobspecV1

FAILED_RESULT = 2


def check(condition, what):
    if not condition:
        sys.exit(f"FAILED: {what}")


def ping(handle):
    answer = handle.rpc("kvs.ping", {"seq": 5, "pad": "x"}, 0).get()
    check(answer["seq"] == 5 and answer["pad"] == "x" and answer["rank"] == 0, f"ping answered {answer}")


def attributes(handle):
    check(int(handle.attr_get("size")) >= 1, "attribute size")
    check(handle.get_rank() == 0, "rank")
    try:
        handle.attr_get("no.such.attribute")
        check(False, "a missing attribute was found")
    except OSError:
        pass
    try:
        handle.rpc("no-such-service.method").get()
        check(False, "a missing service answered")
    except OSError as error:
        check("no-such-service" in str(error), f"the text of ENOSYS: {error}")


def events(handle):
    seen = []

    def pulse(h, watcher, message, arg):
        seen.append(message.topic)
        h.reactor_stop()

    handle.event_subscribe("heartbeat.pulse")
    watcher = handle.msg_watcher_create(pulse, topic_glob="heartbeat.pulse")
    watcher.start()
    handle.reactor_run()
    watcher.stop()
    handle.event_unsubscribe("heartbeat.pulse")
    check(seen == ["heartbeat.pulse"], f"events {seen}")


def kvs(handle):
    flux.kvs.put(handle, "py.a.b", {"n": [1, 2.5, None]})
    flux.kvs.put(handle, "py.text", "hello")
    flux.kvs.commit(handle)
    check(flux.kvs.get(handle, "py.a.b") == {"n": [1, 2.5, None]}, "a value is read back")
    check(flux.kvs.exists(handle, "py.text") and not flux.kvs.exists(handle, "py.nothing"), "exists")
    check(flux.kvs.isdir(handle, "py.a"), "a directory")
    check(sorted(flux.kvs.get_dir(handle, "py").files()) == ["text"], "files of a directory")
    check(sorted(key for key, dirs, files in flux.kvs.walk("py", topdown=True, flux_handle=handle)) == ["", "a"], "walk")

    values = []

    def changed(future, arg):
        values.append(future.get())
        if len(values) < 3:
            flux.kvs.put(handle, "py.watched", len(values))
            flux.kvs.commit(handle)
            future.reset()
        else:
            future.cancel()
            handle.reactor_stop()

    flux.kvs.put(handle, "py.watched", 0)
    flux.kvs.commit(handle)
    flux.kvs.kvs_watch_async(handle, "py.watched").then(changed, None)
    handle.reactor_run()
    check(values == [0, 1, 2], f"a watch saw {values}")


def jobs(handle):
    spec = JobspecV1.from_command(["echo", "hello"], num_tasks=1, cores_per_task=1)
    spec.environment = {"PATH": "/usr/bin:/bin"}
    spec.cwd = "/"
    good = flux.job.submit(handle, spec, waitable=True)
    names = [event.name for event in flux.job.event_watch(handle, good)]
    check(names == ["submit", "validate", "depend", "priority", "alloc", "start", "finish", "release", "free", "clean"],
          f"the job's events {names}")
    check(flux.job.wait(handle, good).success, "job wait")

    spec = JobspecV1.from_command(["false"])
    spec.environment = {"PATH": "/usr/bin:/bin"}
    bad = flux.job.submit(handle, spec, waitable=True)
    waited = flux.job.wait(handle)
    check(JobID(waited.jobid) == JobID(bad) and not waited.success and waited.errstr, f"wait for any: {waited}")
    info = flux.job.result(handle, bad)
    check(info.returncode == 1 and info.result == "FAILED", f"result {info.result} {info.returncode}")

    listed = {job.id: job for job in flux.job.JobList(handle, ids=[good, bad]).jobs()}
    check(listed[JobID(good)].result == "COMPLETED" and listed[JobID(bad)].returncode == 1, "job list")
    check(flux.job.job_kvs(handle, good).exists("R"), "the job's KVS directory")
    check(flux.job.job_output(handle, good).stdout == "hello\n", "the job's output")

    held = flux.job.submit(handle, spec, urgency=0, waitable=True)
    flux.job.cancel(handle, held, "no longer wanted")
    check(not flux.job.wait(handle, held).success, "a cancelled job")


def resources(handle):
    status = flux.resource.list.resource_list(handle).get()
    check(status.all.nnodes >= 1 and status.free.ncores >= 1 and status.down.nnodes == 0, "resource list")


def main():
    start = time.monotonic()
    handle = flux.Flux()
    for part in (ping, attributes, events, kvs, jobs, resources):
        part(handle)
        print(f"ok {part.__name__}", flush=True)
    print(f"all in {time.monotonic() - start:.1f} s")


if __name__ == "__main__":
    import flux.resource

    main()
