// Standard input: whoever sends some is told when it is read, also by tasks that end with it.
#include <list>

#include "sim/jobs.hpp"
#include "sim/workload.hpp"

namespace flux::sim {

namespace {

// Where the job's input goes: topic and rank of its first shell, once its tasks run.
Task<std::pair<std::string, uint32_t>> find_input(ClientPtr client, JobId id)
{
    Json args {{"id", id.value()}, {"path", "guest.exec.eventlog"}, {"flags", 0}};
    auto stream =
        client->handle().stream("job-info.eventlog-watch", args, {}, "job-info.eventlog-watch-cancel");
    std::pair<std::string, uint32_t> found;
    while (auto message = co_await stream.next()) {
        auto event = value_or_throw(Event::parse(message->json().get<std::string>("event")));
        if (event.name == "shell.init")
            found = {event.context.get<std::string>("service") + ".stdin",
                     event.context.get<uint32_t>("leader-rank")};
        if (event.name == "shell.start")
            break;
    }
    co_return found;
}

Task<> feed(World &world, std::set<JobId> &acknowledged, uint32_t rank)
{
    auto &random = world.random();
    auto client = world.connect(rank);
    JobPlan plan;
    plan.nnodes = plan.ntasks = 1 + random.below(world.size());
    plan.command = {"read"};
    auto id = co_await submit(client, plan);
    acknowledged.insert(id);
    auto [topic, leader] = co_await find_input(client, id);
    std::list<Rpc> sent;
    Json line {{"stream", "stdin"}, {"rank", "all"}, {"data", "line\n"}};
    for (size_t n = random.below(5); n > 0; n--) {
        sent.emplace_back(client->handle(), Message::request(topic, line), RpcOptions {.nodeid = leader});
        if (random.chance(0.5))
            co_await world.sleep(seconds(random.unit() * 0.01));
    }
    Json end {{"stream", "stdin"}, {"rank", "all"}, {"eof", true}};
    sent.emplace_back(client->handle(), Message::request(topic, end), RpcOptions {.nodeid = leader});
    for (auto &answer : sent)
        co_await answer;
}

} // namespace

SIM_WORKLOAD(input, 1, 6)
{
    World world(run);
    auto &random = world.random();
    world.boot();
    std::set<JobId> acknowledged;
    for (size_t n = 1 + random.below(3); n > 0; n--)
        world.spawn("feed", feed(world, acknowledged, uint32_t(random.below(world.size()))));
    world.finish_clients(patience);
    drain_and_check(world, acknowledged);
    world.shutdown();
}

} // namespace flux::sim
