// Requests that are almost right: no broker and no module dies of one, each is answered, and the jobs beside
// them run as if nobody had asked.
#include <vector>

#include "sim/jobs.hpp"
#include "sim/workload.hpp"

namespace flux::sim {

namespace {

enum class Answer {
    at_once,
    when_it_happens, // which may be never
    stream,
};

struct Sensible {
    const char *topic;
    const char *payload;
    Answer answer = Answer::at_once;
};

// What people, commands and libraries ask for, each as it should be asked.
const Sensible outside[] = {
    {"broker.ping", R"({"seq":1,"pad":"x"})"},
    {"overlay.health", R"({})"},
    {"overlay.topology", R"({"rank":0})"},
    {"overlay.stats-get", R"({})"},
    {"attr.get", R"({"name":"size"})"},
    {"attr.list", R"({})"},
    {"attr.set", R"({"name":"nonsense","value":"y"})"},
    {"attr.rm", R"({"name":"nonsense"})"},
    {"config.get", R"({})"},
    {"event.subscribe", R"({"topic":"nonsense"})"},
    {"event.unsubscribe", R"({"topic":"nonsense"})"},
    {"event.publish", R"({"topic":"nonsense","flags":0,"payload":"e30="})"},
    {"groups.get", R"({"name":"broker.online"})", Answer::stream},
    {"log.append", R"({"text":"nonsense"})"},
    {"log.dmesg", R"({"follow":false,"nobacklog":false})", Answer::stream},
    {"module.list", R"({"service":"kvs"})"},
    {"module.trace", R"({"peers":["kvs"],"types":["request"],"topic":"*","full":true})", Answer::stream},
    {"module.trace-more", R"({"id":1})"},
    {"overlay.trace", R"({"peers":["1"],"types":["event","control"],"topic":"h*","full":false})",
     Answer::stream},
    {"overlay.trace-more", R"({"id":1})"},
    {"kvs.debug", R"({"op":"setbit","flags":1})"},
    {"service.add", R"({"service":"nonsense"})"},
    {"service.remove", R"({"service":"nonsense"})"},
    {"state-machine.get", R"({})"},
    {"state-machine.monitor", R"({"final":4})", Answer::stream},
    {"state-machine.wait", R"({})", Answer::when_it_happens},
    {"content.load", R"({"hash":"sha1-0000000000000000000000000000000000000000"})"},
    {"content.validate", R"({})"},
    {"content.flush", R"({})"},
    {"content.dropcache", R"({})"},
    {"content.stats-get", R"({})"},
    {"content.checkpoint-get", R"({"key":"nonsense"})"},
    {"kvs.getroot", R"({"namespace":"primary"})"},
    {"kvs.lookup", R"({"key":"nonsense.a","namespace":"primary","flags":0})", Answer::when_it_happens},
    {"kvs.lookup", R"({"key":"nonsense.a","namespace":"primary","flags":6})", Answer::stream},
    {"kvs.commit",
     R"({"namespace":"primary","flags":0,"ops":[{"key":"nonsense.a","flags":0,"dirent":{"ver":1,"type":"val","data":"MQ=="}}]})"},
    {"kvs.fence",
     R"({"name":"nonsense","nprocs":1,"namespace":"primary","flags":0,"ops":[{"key":"nonsense.b","flags":0,"dirent":null}]})",
     Answer::when_it_happens},
    {"kvs.wait-version", R"({"rootseq":3,"namespace":"primary"})", Answer::when_it_happens},
    {"kvs.namespace-create", R"({"namespace":"nonsense","rootref":"","owner":0,"flags":0})"},
    {"kvs.namespace-remove", R"({"namespace":"nonsense"})"},
    {"kvs.namespace-list", R"({})"},
    {"kvs.stats-get", R"({})"},
    {"job-ingest.submit",
     R"({"J":"dmVyc2lvbgBpMQB1c2VyaWQAaTAAbWVjaGFuaXNtAHNub25lAA==.e30=.none","urgency":16,"flags":0})"},
    {"job-ingest.getinfo", R"({})"},
    {"job-info.lookup", R"({"id":1234,"keys":["eventlog","R"],"flags":0})"},
    {"job-info.eventlog-watch", R"({"id":1234,"path":"eventlog","flags":0})", Answer::stream},
    {"job-info.update-lookup", R"({"id":1234,"key":"R","flags":0})"},
    {"job-info.update-watch", R"({"id":1234,"key":"R","flags":0})", Answer::stream},
    {"job-list.list",
     R"({"max_entries":5,"attrs":["all"],"since":0.5,"name":"x","constraint":{"and":[{"states":["running"]}]}})"},
    {"job-list.list-id", R"({"id":1234,"attrs":["all"],"state":64})", Answer::when_it_happens},
    {"job-list.list-attrs", R"({})"},
    {"job-list.job-stats", R"({})"},
    {"job-manager.list", R"({"max_entries":3,"attrs":["userid"]})"},
    {"job-manager.getinfo", R"({})"},
    {"job-manager.getattr", R"({"id":1234,"attrs":["jobspec"]})"},
    {"job-manager.urgency", R"({"id":1234,"urgency":3})"},
    {"job-manager.kill", R"({"id":1234,"signum":15})"},
    {"job-manager.raise", R"({"id":1234,"severity":7,"type":"nonsense","note":"x"})"},
    {"job-manager.killall", R"({"dry_run":true,"userid":7,"signum":15})"},
    {"job-manager.raiseall", R"({"dry_run":true,"userid":7,"states":8,"severity":7,"type":"x","note":"y"})"},
    {"job-manager.memo", R"({"id":1234,"volatile":true,"memo":{"a":"b"}})"},
    {"job-manager.update", R"({"id":1234,"updates":{"attributes.system.duration":100.0}})"},
    {"job-manager.wait", R"({"id":1234})", Answer::when_it_happens},
    {"job-manager.drain", R"({})", Answer::when_it_happens},
    {"job-manager.idle", R"({})", Answer::when_it_happens},
    {"job-manager.queue-list", R"({})"},
    {"job-manager.queue-status", R"({"name":"default"})"},
    {"job-manager.alloc-query", R"({})"},
    {"job-manager.jobtap", R"({"query_only":true,"load":"x.so"})"},
    {"job-manager.history.get", R"({})"},
    {"job-manager.events-journal", R"({"full":true,"allow":{"submit":1},"deny":{"clean":1}})",
     Answer::stream},
    {"resource.status", R"({})"},
    {"resource.sched-status", R"({})"},
    {"resource.journal", R"({})", Answer::stream},
    {"resource.topo-get", R"({})"},
    {"sched.resource-status", R"({})"},
    {"feasibility.check",
     R"({"jobspec":{"version":1,"resources":[{"type":"slot","count":1,"label":"s","with":[{"type":"core","count":1}]}],"tasks":[{"command":["x"],"slot":"s","count":{"per_slot":1}}],"attributes":{"system":{"duration":1}}}})"},
    {"sched-fluxion-resource.match",
     R"({"cmd":"satisfiability","jobid":90001,"jobspec":"version: 1\nresources:\n  - type: node\n    count: 1\n"})"},
    {"sched-fluxion-resource.find", R"({"criteria":"status=up or sched-now=free","format":"rv1_nosched"})"},
    {"sched-fluxion-resource.info", R"({"jobid":90001})"},
    {"sched-fluxion-resource.cancel", R"({"jobid":90001})"},
    {"sched-fluxion-resource.partial-cancel", R"({"jobid":90001,"R":"{}","format":"rv1_nosched"})"},
    {"sched-fluxion-resource.get_property", R"({"sp_resource_path":"/cluster0/node0","sp_key":"x"})"},
    {"sched-fluxion-resource.status", R"({})"},
    {"rexec.exec",
     R"({"flags":7,"cmd":{"cwd":"/","cmdline":["true"],"env":{"A":"b"},"opts":{},"channels":[]}})",
     Answer::stream},
    {"rexec.list", R"({})"},
    {"rexec.kill", R"({"pid":1000000,"signum":15})"},
    {"rexec.write", R"({"matchtag":77,"io":{"stream":"stdin","rank":"0","data":"x"}})"},
};

// What modules and brokers say to each other, and what changes the instance. The owner may say it too, and
// have what comes of it, as long as everything goes on living.
const Sensible inside[] = {
    {"job-manager.sched-hello", R"({"partial-ok":true})", Answer::stream},
    {"job-manager.sched-ready", R"({"mode":"limited","limit":3})"},
    {"job-manager.exec-hello", R"({"service":"nonsense"})"},
    {"job-manager.submit",
     R"({"jobs":[{"id":99,"userid":0,"urgency":16,"flags":0,"t_submit":1.5,"J":"a.b.c","jobspec":{"version":1}}]})"},
    {"job-manager.purge", R"({"age_limit":1000.0,"num_limit":1000,"batch":1})"},
    {"job-manager.purge-id", R"({"jobs":[99]})"},
    {"job-manager.queue-start", R"({"start":false,"all":true,"nocheckpoint":true,"reason":"x"})"},
    {"job-manager.queue-enable", R"({"enable":false,"all":true,"nocheckpoint":true,"reason":"x"})"},
    {"sched.alloc",
     R"({"id":99,"priority":16,"userid":0,"t_submit":1.5,"jobspec":{"version":1,"resources":[{"type":"slot","count":1,"label":"s","with":[{"type":"core","count":1}]}],"tasks":[{"command":["x"],"slot":"s","count":{"per_slot":1}}],"attributes":{"system":{"duration":1}}}})",
     Answer::stream},
    {"sched.cancel", R"({"id":99})"},
    {"sched.free",
     R"({"id":99,"R":{"version":1,"execution":{"R_lite":[{"rank":"0","children":{"core":"0"}}],"nodelist":["node0"],"starttime":0,"expiration":0}},"final":true})"},
    {"sched.expiration", R"({"id":99,"expiration":5.5})"},
    {"sched.prioritize", R"({"jobs":[[99,3]]})"},
    {"job-exec.start", R"({"id":99,"userid":0,"jobspec":{"version":1},"R":{"version":1},"reattach":false})",
     Answer::stream},
    {"job-exec.kill", R"({"id":99,"signum":15})"},
    {"job-exec.expiration", R"({"id":99,"expiration":5.5})"},
    {"job-exec.critical-ranks", R"({"id":99,"ranks":"0"})"},
    {"job-exec.orders",
     R"({"orders":[{"id":99,"type":"to-shell","ranks":"0","message":{"type":"signal","signum":15}}]})",
     Answer::when_it_happens},
    {"job-exec.orders", R"({"orders":[{"id":99,"type":"stored","ranks":{"0":5}}]})", Answer::when_it_happens},
    {"job-exec.link", R"({})", Answer::stream},
    {"resource.acquire", R"({})", Answer::stream},
    {"resource.drain", R"({"targets":"0","reason":"x","overwrite":0})"},
    {"resource.undrain", R"({"targets":"0"})"},
    {"resource.expiration-update", R"({"expiration":5.5})"},
    {"resource.get", R"({})"},
    {"resource.monitor-force-down", R"({"ranks":"0"})"},
    {"resource.monitor-waitup", R"({"up":1})", Answer::when_it_happens},
    {"resource.topo-reduce", R"({"nodes":[{"rank":0,"host":"x","cores":4,"gpus":0}]})",
     Answer::when_it_happens},
    {"kvs.follow", R"({"namespace":"primary"})", Answer::stream},
    {"content.checkpoint-put", R"({"key":"nonsense","value":{"version":1,"rootref":"x"}})"},
    {"groups.join", R"({"name":"nonsense"})"},
    {"groups.leave", R"({"name":"nonsense"})"},
    {"groups.update", R"({"update":{"nonsense":{"join":"0","leave":""}}})", Answer::when_it_happens},
    {"config.load",
     R"({"queues":{"a":{"requires":["b"]}},"job-manager":{"inactive-num-limit":3},"exec":{"kill-timeout":"5s"}})"},
    {"module.load", R"({"path":"/nowhere/x.so","args":[]})"},
    {"module.remove", R"({"name":"nonsense"})"},
    {"overlay.disconnect-subtree", R"({"rank":99})"},
    {"sched-fluxion-resource.match",
     R"({"cmd":"allocate_orelse_reserve","jobid":90001,"jobspec":"version: 1\nresources:\n  - type: node\n    count: 1\n"})"},
    {"sched-fluxion-resource.update", R"({"jobid":90002,"R":"{}"})"},
    {"sched-fluxion-resource.set_property", R"({"sp_resource_path":"/cluster0/node0","sp_keyval":"a=b"})"},
    {"sched-fluxion-resource.remove_property", R"({"resource_path":"/cluster0/node0","key":"a"})"},
    {"sched-fluxion-resource.set_status", R"({"resource_path":"/cluster0/node0","status":"up"})"},
    {"sched-fluxion-resource.add_subgraph", R"({"subgraph":"{}"})"},
    {"sched-fluxion-resource.remove_subgraph", R"({"subgraph_path":"/cluster0/node0"})"},
};

Json anything(Random &random)
{
    switch (random.below(14)) {
    case 0:
        return Json(nullptr);
    case 1:
        return Json(true);
    case 2:
        return Json(int64_t(-1));
    case 3:
        return Json(int64_t(0));
    case 4:
        return Json(INT64_MAX);
    case 5:
        return Json(INT64_MIN);
    case 6:
        return Json(1e300);
    case 7:
        return Json(-0.5);
    case 8:
        return Json("");
    case 9:
        return Json(std::string(size_t(1) << random.below(17), 'x'));
    case 10:
        return Json::array();
    case 11:
        return Json::object();
    case 12:
        return Json("../..%s.\x01,[0-999999999]");
    default: {
        Json deep = Json::array();
        for (size_t levels = random.below(200); levels > 0; levels--)
            deep = random.chance(0.5) ? Json::array().append(deep) : Json {{"and", deep}};
        return deep;
    }
    }
}

// Something inside of it is another thing, is missing, or is there beside.
Json damaged(const Json &value, Random &random)
{
    if (value.is_object() && !value.empty() && random.chance(0.9)) {
        Json out = Json::object();
        size_t at = random.below(value.size()), here = 0;
        for (auto [name, member] : value.members()) {
            if (here++ != at)
                out.set(name, member);
            else if (random.chance(0.8))
                out.set(name, damaged(member, random));
        }
        if (random.chance(0.1))
            out.set("beside", anything(random));
        return out;
    }
    if (value.is_array() && !value.empty() && random.chance(0.7)) {
        Json out = Json::array();
        size_t at = random.below(value.size()), here = 0;
        for (auto element : value.elements())
            out.append(here++ == at ? damaged(element, random) : element);
        return out;
    }
    return anything(random);
}

struct Asker {
    World &world;
    std::vector<Sensible> requests;
    Credentials who;
    std::vector<JobId> *jobs = nullptr; // there are: some requests are about one
    size_t answered = 0, refused = 0;
};

constexpr Duration at_once = 60s; // whatever the links' delays are

Json payload_of(const Sensible &sensible, Asker &asker)
{
    auto &random = asker.world.random();
    Json payload = Json::parse_or_throw(sensible.payload);
    if (payload.contains("id") && asker.jobs && !asker.jobs->empty() && random.chance(0.5))
        payload.set("id", (*asker.jobs)[random.below(asker.jobs->size())].value());
    return random.chance(0.9) ? damaged(payload, random) : payload;
}

Task<> ask(Asker &asker, ClientPtr client, const Sensible &sensible)
{
    auto &world = asker.world;
    Json payload = payload_of(sensible, asker);
    RpcOptions options {.timeout = at_once};
    if (world.random().chance(0.3))
        options.nodeid = uint32_t(world.random().below(world.size() + 1)); // a rank that is not there, too
    bool timed_out = false;
    try {
        if (sensible.answer == Answer::stream) {
            auto answers = client->handle().stream(sensible.topic, payload, options);
            for (int few = 0; few < 3; few++) {
                bool more = bool(co_await answers.next());
                if (!more)
                    break;
            }
        } else {
            co_await client->handle().rpc(sensible.topic, payload, options);
        }
        asker.answered++;
    } catch (const Error &error) {
        asker.refused++;
        timed_out = error.errnum() == ETIMEDOUT;
        world.expect(!error.text().empty(), "{} {} is refused without a word", sensible.topic,
                     payload.dump());
    }
    if (timed_out && sensible.answer == Answer::at_once)
        world.violated(fmt::format("{} {} is not answered", sensible.topic, payload.dump().substr(0, 400)));
}

Task<> ask_a_lot(Asker &asker, uint32_t rank, size_t count)
{
    auto client = asker.world.connect(rank, asker.who);
    for (; count > 0; count--)
        co_await ask(asker, client, asker.requests[asker.world.random().below(asker.requests.size())]);
}

void ask_from_everywhere(World &world, const std::vector<Asker *> &askers)
{
    auto &random = world.random();
    for (size_t clients = 1 + random.below(4); clients > 0; clients--)
        world.spawn("ask", ask_a_lot(*askers[random.below(askers.size())],
                                     uint32_t(random.below(world.size())), 20 + random.below(60)));
}

// Until that many are acknowledged, or submission is disabled, the machine is gone or the like.
Task<> work(World &world, std::vector<JobId> &jobs, std::set<JobId> &acknowledged, size_t count,
            bool refusable)
{
    auto client = world.connect(0);
    try {
        for (; count > 0; count--) {
            JobPlan plan = random_plan(world);
            JobId id = co_await submit(client, plan);
            jobs.push_back(id);
            acknowledged.insert(id);
            co_await world.sleep(seconds(world.random().unit() * 0.2));
        }
    } catch (const Error &) {
        if (!refusable)
            throw;
    }
}

} // namespace

SIM_WORKLOAD(nonsense, 1, 8)
{
    World world(run);
    auto &random = world.random();
    world.boot();
    std::vector<JobId> jobs;
    std::set<JobId> acknowledged;
    Asker owner {world, {std::begin(outside), std::end(outside)}, owner_credentials, &jobs};
    Asker guest {world, owner.requests, guest_credentials, &jobs}; // may ask for anything
    guest.requests.insert(guest.requests.end(), std::begin(inside), std::end(inside));
    world.spawn("submit", work(world, jobs, acknowledged, 1 + random.below(10), false));
    ask_from_everywhere(world, {&owner, &guest});
    world.finish_clients(patience);
    world.expect(owner.refused + guest.refused > 0,
                 "{} pieces of nonsense were answered as if they made sense",
                 owner.answered + guest.answered);
    drain_and_check(world, acknowledged, HeldJobs::release);
    world.shutdown();
}

SIM_WORKLOAD(nonsense_inside, 1, 8)
{
    World world(run);
    auto &random = world.random();
    world.boot();
    std::vector<JobId> jobs;
    std::set<JobId> acknowledged;
    Asker asker {world,
                 {std::begin(inside), std::end(inside)},
                 owner_credentials}; // of real jobs the scheduler believes what it is told
    world.spawn("submit", work(world, jobs, acknowledged, 1 + random.below(5), true));
    ask_from_everywhere(world, {&asker});
    world.finish_clients(patience);
    world.crash();
    world.boot(); // nothing that was stored keeps it from starting again
    world.shutdown();
}

} // namespace flux::sim
