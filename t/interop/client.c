/* An existing Flux client library (pkg-config flux-core) speaks to the broker of this project through FLUX_URI: pings
 * it, reads attributes, gets events, puts, gets and watches KVS keys, submits jobs, watches their event logs, lists
 * them and waits for them. Every answer is checked; the first that is not as it should be ends the program.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flux/core.h>
#include <jansson.h>

#define WAIT_S 60.

#define CHECK(condition)                                                                               \
    do {                                                                                               \
        if (!(condition)) {                                                                            \
            fprintf(stderr, "FAILED %s:%d: %s (errno %d: %s)\n", __FILE__, __LINE__, #condition, errno, \
                    strerror(errno));                                                                  \
            exit(1);                                                                                   \
        }                                                                                              \
    } while (0)

static void ping(flux_t *h)
{
    int seq, userid, rank;
    const char *pad, *route;
    flux_future_t *f = flux_rpc_pack(h, "kvs.ping", 0, 0, "{s:i s:s}", "seq", 42, "pad", "some padding");
    CHECK(f);
    CHECK(flux_rpc_get_unpack(f, "{s:i s:s s:s s:i s:i}", "seq", &seq, "pad", &pad, "route", &route, "userid",
                              &userid, "rank", &rank) == 0);
    CHECK(seq == 42 && strcmp(pad, "some padding") == 0);
    CHECK(userid == (int)getuid() && rank == 0 && strlen(route) > 0);
    flux_future_destroy(f);
}

static void attributes(flux_t *h)
{
    uint32_t rank, size;
    const char *version;
    CHECK(flux_get_rank(h, &rank) == 0 && rank == 0);
    CHECK(flux_get_size(h, &size) == 0 && size >= 1);
    CHECK((version = flux_attr_get(h, "version")) != NULL && version[0]);
    CHECK(flux_attr_get(h, "no.such.attribute") == NULL && errno == ENOENT);
    CHECK(flux_attr_set(h, "size", "17") < 0);
    CHECK(flux_attr_get(h, "hostlist") != NULL);
}

static void errors(flux_t *h)
{
    flux_future_t *f = flux_rpc(h, "no-such-service.method", NULL, FLUX_NODEID_ANY, 0);
    CHECK(f);
    CHECK(flux_rpc_get(f, NULL) < 0 && errno == ENOSYS);
    CHECK(strstr(future_strerror(f, errno), "no-such-service"));
    flux_future_destroy(f);

    CHECK((f = flux_rpc(h, "attr.get", "{\"name\":\"size\"}", 12345, 0)));
    CHECK(flux_rpc_get(f, NULL) < 0 && errno == EHOSTUNREACH);
    flux_future_destroy(f);

    CHECK((f = flux_rpc(h, "attr.get", "this is no JSON", FLUX_NODEID_ANY, 0)));
    CHECK(flux_rpc_get(f, NULL) < 0 && errno == EPROTO);
    flux_future_destroy(f);
}

static void events(flux_t *h)
{
    struct flux_match match = FLUX_MATCH_EVENT;
    const char *topic, *payload;
    int x, seq;
    flux_future_t *f;
    flux_msg_t *msg;

    match.topic_glob = "interop.*";
    CHECK(flux_event_subscribe(h, "interop") == 0);
    CHECK((f = flux_event_publish_pack(h, "interop.one", 0, "{s:i}", "x", 7)));
    CHECK(flux_event_publish_get_seq(f, &seq) == 0 && seq > 0);
    flux_future_destroy(f);
    CHECK((msg = flux_recv(h, match, 0)));
    CHECK(flux_event_unpack(msg, &topic, "{s:i}", "x", &x) == 0);
    CHECK(strcmp(topic, "interop.one") == 0 && x == 7);
    flux_msg_destroy(msg);

    /* one sent as a message, without a payload */
    CHECK((msg = flux_event_encode("interop.two", NULL)));
    CHECK(flux_send(h, msg, 0) == 0);
    flux_msg_destroy(msg);
    CHECK((msg = flux_recv(h, match, 0)));
    CHECK(flux_event_decode(msg, &topic, &payload) == 0);
    CHECK(strcmp(topic, "interop.two") == 0 && payload == NULL);
    flux_msg_destroy(msg);
    CHECK(flux_event_unsubscribe(h, "interop") == 0);

    match.topic_glob = "heartbeat.pulse";
    CHECK(flux_event_subscribe(h, "heartbeat.pulse") == 0);
    CHECK((msg = flux_recv(h, match, 0)));
    flux_msg_destroy(msg);
    CHECK(flux_event_unsubscribe(h, "heartbeat.pulse") == 0);
}

static void commit(flux_t *h, flux_kvs_txn_t *txn)
{
    flux_future_t *f;
    int sequence;
    CHECK((f = flux_kvs_commit(h, NULL, 0, txn)));
    CHECK(flux_future_wait_for(f, WAIT_S) == 0);
    CHECK(flux_future_get(f, NULL) == 0);
    CHECK(flux_kvs_commit_get_sequence(f, &sequence) == 0 && sequence > 0);
    flux_future_destroy(f);
    flux_kvs_txn_destroy(txn);
}

static void kvs(flux_t *h)
{
    flux_kvs_txn_t *txn;
    flux_future_t *f;
    const flux_kvsdir_t *dir;
    const char *value, *ns, *target;
    int number, version;

    CHECK((txn = flux_kvs_txn_create()));
    CHECK(flux_kvs_txn_pack(txn, 0, "interop.number", "i", 42) == 0);
    CHECK(flux_kvs_txn_put(txn, 0, "interop.text", "hello") == 0);
    CHECK(flux_kvs_txn_symlink(txn, 0, "interop.link", NULL, "interop.text") == 0);
    CHECK(flux_kvs_txn_mkdir(txn, 0, "interop.dir") == 0);
    commit(h, txn);

    CHECK((f = flux_kvs_lookup(h, NULL, 0, "interop.number")));
    CHECK(flux_kvs_lookup_get_unpack(f, "i", &number) == 0 && number == 42);
    flux_future_destroy(f);
    CHECK((f = flux_kvs_lookup(h, NULL, 0, "interop.link")));
    CHECK(flux_kvs_lookup_get(f, &value) == 0 && strcmp(value, "hello") == 0);
    flux_future_destroy(f);
    CHECK((f = flux_kvs_lookup(h, NULL, FLUX_KVS_READLINK, "interop.link")));
    CHECK(flux_kvs_lookup_get_symlink(f, &ns, &target) == 0 && strcmp(target, "interop.text") == 0);
    flux_future_destroy(f);
    CHECK((f = flux_kvs_lookup(h, NULL, FLUX_KVS_READDIR, "interop")));
    CHECK(flux_kvs_lookup_get_dir(f, &dir) == 0 && flux_kvsdir_get_size(dir) == 4);
    CHECK(flux_kvsdir_exists(dir, "number") && flux_kvsdir_issymlink(dir, "link"));
    flux_future_destroy(f);
    CHECK((f = flux_kvs_lookup(h, NULL, 0, "interop.nothing")));
    CHECK(flux_kvs_lookup_get(f, &value) < 0 && errno == ENOENT);
    flux_future_destroy(f);

    CHECK((txn = flux_kvs_txn_create()));
    CHECK(flux_kvs_txn_put(txn, FLUX_KVS_APPEND, "interop.text", " world") == 0);
    CHECK(flux_kvs_txn_unlink(txn, 0, "interop.dir") == 0);
    commit(h, txn);
    CHECK((f = flux_kvs_lookup(h, NULL, 0, "interop.text")));
    CHECK(flux_kvs_lookup_get(f, &value) == 0 && strcmp(value, "hello world") == 0);
    flux_future_destroy(f);
    CHECK(flux_kvs_get_version(h, NULL, &version) == 0 && version > 0);
    CHECK(flux_kvs_wait_version(h, NULL, version) == 0);

    CHECK((f = flux_kvs_namespace_create(h, "interop-ns", getuid(), 0)));
    CHECK(flux_future_get(f, NULL) == 0);
    flux_future_destroy(f);
    CHECK((f = flux_kvs_lookup(h, "interop-ns", 0, "nothing")));
    CHECK(flux_kvs_lookup_get(f, &value) < 0 && errno == ENOENT);
    flux_future_destroy(f);
    CHECK((f = flux_kvs_namespace_remove(h, "interop-ns")));
    CHECK(flux_future_get(f, NULL) == 0);
    flux_future_destroy(f);
}

/* A watch sees what is there, then each change, until it is cancelled. */
static void kvs_watch(flux_t *h)
{
    flux_future_t *watch;
    int number;

    CHECK((watch = flux_kvs_lookup(h, NULL, FLUX_KVS_WATCH | FLUX_KVS_WAITCREATE, "interop.watched")));
    for (int i = 0; i < 5; i++) {
        flux_kvs_txn_t *txn = flux_kvs_txn_create();
        CHECK(txn && flux_kvs_txn_pack(txn, 0, "interop.watched", "i", i) == 0);
        commit(h, txn);
        CHECK(flux_future_wait_for(watch, WAIT_S) == 0);
        CHECK(flux_kvs_lookup_get_unpack(watch, "i", &number) == 0 && number == i);
        flux_future_reset(watch);
    }
    CHECK(flux_kvs_lookup_cancel(watch) == 0);
    CHECK(flux_future_wait_for(watch, WAIT_S) == 0);
    CHECK(flux_kvs_lookup_get(watch, NULL) < 0 && errno == ENODATA);
    flux_future_destroy(watch);
}

static flux_jobid_t submit(flux_t *h, const char *command, int flags)
{
    char *jobspec;
    flux_jobid_t id;
    flux_future_t *f;
    CHECK(asprintf(&jobspec,
                   "{\"version\":1,\"resources\":[{\"type\":\"slot\",\"count\":1,\"label\":\"task\",\"with\":"
                   "[{\"type\":\"core\",\"count\":1}]}],\"tasks\":[{\"command\":[\"%s\"],\"slot\":\"task\","
                   "\"count\":{\"per_slot\":1}}],\"attributes\":{\"system\":{\"duration\":0,\"cwd\":\"/\","
                   "\"environment\":{\"PATH\":\"/usr/bin:/bin\"}}}}",
                   command) > 0);
    CHECK((f = flux_job_submit(h, jobspec, FLUX_JOB_URGENCY_DEFAULT, flags)));
    CHECK(flux_future_wait_for(f, WAIT_S) == 0);
    CHECK(flux_job_submit_get_id(f, &id) == 0);
    flux_future_destroy(f);
    free(jobspec);
    return id;
}

/* The events of a job's life, in their order, each in an answer of its own, and then the end of the log. */
static void follow(flux_t *h, flux_jobid_t id)
{
    static const char *expected[] = {"submit", "validate", "depend",  "priority", "alloc",
                                     "start",  "finish",   "release", "free",     "clean"};
    flux_future_t *f;
    const char *event;
    char name[64];
    CHECK((f = flux_job_event_watch(h, id, "eventlog", 0)));
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        CHECK(flux_future_wait_for(f, WAIT_S) == 0);
        CHECK(flux_job_event_watch_get(f, &event) == 0);
        snprintf(name, sizeof name, "\"name\":\"%s\"", expected[i]);
        if (!strstr(event, name)) {
            fprintf(stderr, "FAILED: expected the event %s, found %s", expected[i], event);
            exit(1);
        }
        flux_future_reset(f);
    }
    CHECK(flux_job_event_watch_cancel(f) == 0);
    CHECK(flux_future_wait_for(f, WAIT_S) == 0);
    CHECK(flux_job_event_watch_get(f, &event) < 0 && errno == ENODATA);
    flux_future_destroy(f);
}

static void jobs(flux_t *h)
{
    flux_jobid_t good = submit(h, "true", FLUX_JOB_WAITABLE), bad = submit(h, "false", FLUX_JOB_WAITABLE);
    flux_future_t *f;
    flux_jobid_t id;
    bool success;
    const char *errstr;
    char *text;
    int state, listed = 0;

    follow(h, good);
    follow(h, bad);

    CHECK((f = flux_job_wait(h, good)));
    CHECK(flux_job_wait_get_status(f, &success, &errstr) == 0 && success);
    CHECK(flux_job_wait_get_id(f, &id) == 0 && id == good);
    flux_future_destroy(f);
    CHECK((f = flux_job_wait(h, FLUX_JOBID_ANY))); /* whichever is left */
    CHECK(flux_job_wait_get_status(f, &success, &errstr) == 0 && !success && strlen(errstr) > 0);
    CHECK(flux_job_wait_get_id(f, &id) == 0 && id == bad);
    flux_future_destroy(f);
    CHECK((f = flux_job_wait(h, FLUX_JOBID_ANY)));
    CHECK(flux_job_wait_get_status(f, &success, &errstr) < 0 && errno == ECHILD);
    flux_future_destroy(f);

    int result;
    CHECK((f = flux_job_result(h, bad, 0)));
    CHECK(flux_future_wait_for(f, WAIT_S) == 0);
    CHECK(flux_job_result_get_unpack(f, "{s:i}", "result", &result) == 0 && result == FLUX_JOB_RESULT_FAILED);
    flux_future_destroy(f);

    CHECK((f = flux_rpc_pack(h, "job-list.list", FLUX_NODEID_ANY, FLUX_RPC_STREAMING,
                             "{s:i s:[ss] s:{s:[{s:[i]} {s:[i]}]}}", "max_entries", 0, "attrs", "state", "name",
                             "constraint", "and", "userid", getuid(), "states", FLUX_JOB_STATE_INACTIVE)));
    for (;;) {
        json_t *list;
        CHECK(flux_future_wait_for(f, WAIT_S) == 0);
        if (flux_rpc_get_unpack(f, "{s:o}", "jobs", &list) < 0)
            break;
        for (size_t i = 0; i < json_array_size(list); i++) {
            CHECK(json_unpack(json_array_get(list, i), "{s:I s:i s:s}", "id", &id, "state", &state, "name",
                              &errstr) == 0);
            CHECK(state == FLUX_JOB_STATE_INACTIVE && strlen(errstr) > 0);
            listed += id == good || id == bad;
        }
        flux_future_reset(f);
    }
    CHECK(errno == ENODATA && listed == 2);
    flux_future_destroy(f);

    flux_jobid_t held = submit(h, "true", FLUX_JOB_WAITABLE);
    CHECK((f = flux_job_set_urgency(h, held, FLUX_JOB_URGENCY_HOLD)));
    flux_future_wait_for(f, WAIT_S); /* too late is an answer, too */
    flux_future_destroy(f);
    CHECK((f = flux_job_cancel(h, held, "no longer wanted")));
    flux_future_wait_for(f, WAIT_S);
    flux_future_destroy(f);
    CHECK((f = flux_job_wait(h, held)));
    CHECK(flux_job_wait_get_status(f, &success, &errstr) == 0);
    flux_future_destroy(f);
    CHECK(flux_job_id_encode(held, "f58", NULL, 0) < 0);
    CHECK((text = malloc(64)) && flux_job_id_encode(held, "f58", text, 64) == 0);
    CHECK(flux_job_id_parse(text, &id) == 0 && id == held);
    free(text);
}

/* A service of this client: the broker brings a request to it and the answer back. */
static void service(flux_t *h)
{
    flux_future_t *f;
    flux_msg_t *request;
    struct flux_match match = FLUX_MATCH_REQUEST;
    const char *topic;
    int n;
    CHECK((f = flux_service_register(h, "interop-echo")));
    CHECK(flux_future_get(f, NULL) == 0);
    flux_future_destroy(f);
    flux_t *other = flux_open(NULL, 0);
    CHECK(other);
    CHECK((f = flux_rpc_pack(other, "interop-echo.twice", FLUX_NODEID_ANY, 0, "{s:i}", "n", 21)));
    CHECK((request = flux_recv(h, match, 0)));
    CHECK(flux_request_unpack(request, &topic, "{s:i}", "n", &n) == 0 && strcmp(topic, "interop-echo.twice") == 0);
    CHECK(flux_respond_pack(h, request, "{s:i}", "n", 2 * n) == 0);
    CHECK(flux_rpc_get_unpack(f, "{s:i}", "n", &n) == 0 && n == 42);
    flux_msg_destroy(request);
    flux_future_destroy(f);
    flux_close(other);
    CHECK((f = flux_service_unregister(h, "interop-echo")));
    CHECK(flux_future_get(f, NULL) == 0);
    flux_future_destroy(f);
}

static const struct {
    const char *name;
    void (*run)(flux_t *h);
} parts[] = {
    {"ping", ping}, {"attributes", attributes}, {"errors", errors}, {"events", events}, {"kvs", kvs},
    {"kvs_watch", kvs_watch}, {"jobs", jobs}, {"service", service},
};

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    flux_error_t error;
    flux_t *h = flux_open_ex(NULL, 0, &error);
    if (!h) {
        fprintf(stderr, "FAILED flux_open: %s\n", error.text);
        return 1;
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        parts[i].run(h);
        printf("ok %s\n", parts[i].name);
    }
    flux_close(h);
    return 0;
}
