#include "sim/faults.hpp"

#include <cmath>

namespace flux::sim {

namespace {

// Waiting times as chance makes them: many short ones, a few long.
Duration draw(World &world, double mean)
{
    return seconds(-mean * std::log(1 - world.random().unit()));
}

uint32_t any_but_root(World &world)
{
    return 1 + uint32_t(world.random().below(world.size() - 1));
}

} // namespace

Task<> kill_brokers(World &world, const bool &over, FaultTimes times)
{
    while (!over && world.size() > 1) {
        co_await world.sleep(draw(world, times.between));
        auto rank = any_but_root(world);
        if (!over && world.is_up(rank))
            world.kill(rank);
    }
}

Task<> restart_ended(World &world, const bool &over, FaultTimes times)
{
    while (!over) {
        co_await world.sleep(draw(world, times.repair));
        for (uint32_t rank = 1; rank < world.size() && !over; rank++) {
            if (world.is_up(rank) && world.node(rank).exit_status())
                world.kill(rank);
            if (!world.is_up(rank) && world.random().chance(0.5))
                world.start(rank);
        }
    }
}

Task<> break_links(World &world, const bool &over, FaultTimes times)
{
    while (!over && world.size() > 1) {
        co_await world.sleep(draw(world, times.between));
        if (!over)
            world.network().break_link(any_but_root(world));
    }
}

Task<> stall_links(World &world, const bool &over, FaultTimes times)
{
    while (!over && world.size() > 1) {
        co_await world.sleep(draw(world, times.between));
        if (!over)
            world.network().stall_link(any_but_root(world), draw(world, times.repair));
    }
}

Task<> fill_disk(World &world, const bool &over, FaultTimes times)
{
    while (!over) {
        co_await world.sleep(draw(world, times.between));
        world.stores().failure = over ? 0 : world.random().chance(0.8) ? ENOSPC : EIO;
        co_await world.sleep(draw(world, times.repair));
        world.stores().failure = 0;
    }
}

Task<> remove_module(ClientPtr client, std::string name)
{
    co_await client->handle().rpc("module.remove", Json::make("name", name), {.nodeid = client->rank()});
}

Task<> load_module(ClientPtr client, std::string name)
{
    Json args {{"path", name}, {"args", Json::array()}};
    co_await client->handle().rpc("module.load", args, {.nodeid = client->rank()});
}

void heal(World &world, Duration within)
{
    world.stores().failure = 0;
    auto deadline = world.loop().now() + within;
    auto whole = [&] {
        for (uint32_t rank = 0; rank < world.size(); rank++)
            if (!world.is_up(rank) || world.node(rank).exit_status() ||
                world.node(rank).broker().state() != "run" ||
                (rank > 0 && !world.network().is_linked(rank))) // broken, and not noticed yet
                return false;
        return world.node(0).broker().groups().members("broker.online").count() == world.size();
    };
    while (!whole() && world.loop().now() < deadline) {
        for (uint32_t rank = 0; rank < world.size(); rank++) {
            if (world.is_up(rank) && world.node(rank).exit_status())
                world.kill(rank);
            if (!world.is_up(rank))
                world.start(rank);
        }
        world.run_until(whole, 5s);
    }
    if (whole())
        return;
    for (uint32_t rank = 0; rank < world.size(); rank++)
        if (world.is_up(rank) && world.node(rank).broker().state() != "run")
            world.violated(fmt::format("broker {} is in state {} although nothing fails any more", rank,
                                       world.node(rank).broker().state()));
    world.violated(fmt::format("broker.online is {} although nothing fails any more",
                               world.node(0).broker().groups().members("broker.online").format()));
    throw Stuck();
}

} // namespace flux::sim
