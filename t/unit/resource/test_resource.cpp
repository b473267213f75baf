#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "modules/resource/eventlog.hpp"
#include "modules/resource/inventory.hpp"

using namespace flux;

namespace {

Json config(std::string_view text)
{
    return Json::parse_or_throw(text);
}

int errnum_of(std::string_view text, Hostlist hosts = {})
{
    try {
        given_inventory({config(text), {}, hosts});
    } catch (const Error &error) {
        return error.errnum();
    }
    return 0;
}

Hostlist hosts(std::string_view text)
{
    return value_or_throw(Hostlist::parse(text));
}

Idset ids(std::string_view text)
{
    return value_or_throw(Idset::parse(text));
}

struct File {
    explicit File(std::string_view text)
        : path((std::filesystem::temp_directory_path() / fmt::format("flux-resource-{}", getpid())).string())
    {
        std::ofstream(path) << text;
    }
    ~File() { std::filesystem::remove(path); }
    std::string path;
};

} // namespace

TEST(Inventory, entries_of_the_configuration_update_their_hosts)
{
    auto given = given_inventory({config(R"({"resource": {"config": [
        {"hosts": "test[1-3]", "cores": "0-7"},
        {"hosts": "test[2,3]", "gpus": "0-1"},
        {"hosts": "test1", "properties": ["batch"]}]}})"),
                                  {},
                                  hosts("test[3,2,1]")});
    ASSERT_TRUE(given);
    EXPECT_EQ(given->method, "configuration");
    EXPECT_EQ(given->R.ncores(), 24u);
    EXPECT_EQ(given->R.ngpus(), 4u);
    EXPECT_EQ(given->R.find(0)->hostname(), "test3") << "ranks are places in the list of brokers";
    EXPECT_TRUE(given->R.has_property(2, "batch"));
}

TEST(Inventory, hosts_of_queues_are_told_by_a_property)
{
    auto R =
        given_inventory({config(R"({"resource": {"config": [{"hosts": "a[0-3]", "cores": "0"}]}})"), {}, {}})
            ->R;
    auto memberships = [&](const char *queues) {
        return queue_memberships(config(fmt::format(R"({{"queues": {}}})", queues)), R);
    };
    auto found = memberships(
        R"({"batch": {"hosts": "all"}, "debug": {"hosts": "a[1,3]"}, "other": {"requires": ["x"]}})");
    EXPECT_EQ(found, (ResourceSet::Properties {{"+batch", ids("0-3")}, {"+debug", ids("1,3")}}));
    EXPECT_TRUE(memberships("{}").empty());
    auto refusal = [&](const char *queues) {
        try {
            memberships(queues);
        } catch (const Error &error) {
            return error.text();
        }
        return std::string("none");
    };
    EXPECT_EQ(refusal(R"({"b": {"hosts": "a[0-4]"}})"),
              "queues.b.hosts = \"a[0-4]\": this instance has no host a4");
    EXPECT_EQ(refusal(R"({"b": {"hosts": ""}})"), "queues.b.hosts = \"\": a queue needs at least one host");
    EXPECT_NE(refusal(R"({"b": {"hosts": 3}})").find("queues.b.hosts = 3: "), std::string::npos);
    EXPECT_NE(refusal(R"({"b|c": {"hosts": "a0"}})").find("property \"+b|c\""), std::string::npos);
}

TEST(Inventory, properties_are_taken_over_when_the_nodes_are_the_same)
{
    auto sources = [](const char *entries) {
        return InventorySources {
            config(fmt::format(R"({{"resource": {{"config": {}}}}})", entries)), {}, hosts("a[0-1]")};
    };
    auto before = *given_inventory(sources(R"([{"hosts": "a[0-1]", "cores": "0-1", "properties": ["x"]}])"));
    auto now = configured_properties(
        sources(R"([{"hosts": "a[0-1]", "cores": "0-1"}, {"hosts": "a1", "properties": ["y"]}])"), before);
    ASSERT_TRUE(now);
    EXPECT_EQ(*now, (ResourceSet::Properties {{"y", ids("1")}}));
    EXPECT_FALSE(configured_properties(sources(R"([{"hosts": "a[0-1]", "cores": "0-2"}])"), before));
    EXPECT_FALSE(configured_properties({Json::object(), {}, hosts("a[0-1]")}, before));
}

TEST(Inventory, a_file_of_R_and_an_amendment_are_read)
{
    File R(R"({"version":1,"execution":{"R_lite":[{"rank":"0-1","children":{"core":"0-3"}}],"starttime":0,
        "expiration":0,"nodelist":["a[0-1]"]}})");
    auto given = given_inventory({Json {{"resource", Json {{"path", R.path}}}}, {}, hosts("a[1,0]")});
    ASSERT_TRUE(given);
    EXPECT_EQ(given->R.find(0)->hostname(), "a1");
    File broken("{\"version\": 2}");
    EXPECT_EQ(errnum_of(Json {{"resource", Json {{"path", broken.path}}}}.dump()), EINVAL);
    EXPECT_EQ(errnum_of(R"({"resource": {"path": "/nonexistent/R"}})"), ENOENT);
}

TEST(Inventory, what_is_wrong_in_the_configuration_is_named)
{
    EXPECT_EQ(errnum_of(R"({"resource": {"config": [{"cores": "0"}]}})"), EINVAL);
    EXPECT_EQ(errnum_of(R"({"resource": {"config": [{"hosts": "a", "cores": "x"}]}})"), EINVAL);
    EXPECT_EQ(errnum_of(R"({"resource": {"config": [{"hosts": "a"}]}})"), EINVAL);
    EXPECT_EQ(errnum_of(R"({"resource": {"config": [{"hosts": "a", "core": "0"}]}})"), EINVAL);
    EXPECT_EQ(errnum_of(R"({"resource": {"config": []}})"), EINVAL);
    EXPECT_EQ(errnum_of(R"({"fake-resources": {"nnodes": 0}})"), EINVAL);
    EXPECT_EQ(errnum_of(R"({"fake-resources": {"nnodes": 1, "amend-r": "x"}})"), ENOTSUP);
    EXPECT_EQ(errnum_of("{}"), 0);
}

TEST(Inventory, fake_nodes_have_names_of_their_own)
{
    auto given =
        given_inventory({config(R"({"fake-resources": {"nnodes": 1000, "gpus-per-node": 2}})"), {}, {}});
    ASSERT_TRUE(given && given->fake);
    EXPECT_EQ(given->R.ncores(), 64000u);
    EXPECT_EQ(given->R.find(999)->hostname(), "fake999");
}

TEST(Inventory, fake_nodes_can_be_any_machines)
{
    ResourceSet machine;
    machine.add_node(0, "big", ids("0-7"), ids("0"));
    machine.add_node(7, "small", ids("2-3"));
    Json fake {{"fake-resources", Json {{"R", machine.to_json()}}}};
    auto given = given_inventory({fake, {}, {}});
    ASSERT_TRUE(given && given->fake);
    EXPECT_EQ(given->R.summary(), machine.summary());
    EXPECT_THROW(given_inventory({config(R"({"fake-resources": {"R": {"version": 2}}})"), {}, {}}), Error);
}

TEST(Inventory, targets_are_ranks_or_hosts_of_the_instance)
{
    auto R = given_inventory({config(R"({"fake-resources": {"nnodes": 4}})"), {}, {}})->R;
    EXPECT_EQ(parse_targets("1-2", R), ids("1-2"));
    EXPECT_EQ(parse_targets("fake[0,3]", R), ids("0,3"));
    EXPECT_THROW(parse_targets("4", R), Error);
    EXPECT_THROW(parse_targets("fake4", R), Error);
    EXPECT_EQ(excluded_ranks(config(R"({"resource": {"exclude": "fake0"}})"), R), ids("0"));
    EXPECT_THROW(excluded_ranks(config(R"({"resource": {"exclude": "9"}})"), R), Error);
}

TEST(Verification, its_modes_say_what_drains_a_node)
{
    auto R =
        given_inventory(
            {config(R"({"fake-resources": {"nnodes": 1, "cores-per-node": 4, "gpus-per-node": 1}})"), {}, {}})
            ->R;
    auto reason = [&](std::string_view text, std::string host, NodeInventory found, bool in_job = false) {
        return Verification(config(text), in_job).mismatch(R, 0, host, found);
    };
    EXPECT_EQ(reason("{}", "fake0", {8, 0}), "") << "more cores are allowed, gpus ignored";
    EXPECT_EQ(reason("{}", "fake0", {2, 0}), "missing core[2-3]");
    EXPECT_NE(reason("{}", "other", {4, 0}), "");
    EXPECT_EQ(reason("{}", "other", {1, 0}, true), "") << "a job's R is not verified";
    EXPECT_EQ(reason(R"({"resource": {"verify": {}}})", "fake0", {5, 0}), "extra core4, missing gpu0");
    EXPECT_EQ(reason(R"({"resource": {"verify": true, "noverify": true}})", "x", {1, 9}), "");
    EXPECT_EQ(reason(R"({"resource": {"verify": {"default": "allow-missing", "core": "ignore"}}})", "fake0",
                     {9, 2}),
              "extra gpu1");
    EXPECT_THROW(Verification(config(R"({"resource": {"verify": {"cores": "strict"}}})"), false), Error);
    EXPECT_THROW(Verification(config(R"({"resource": {"verify": {"core": "lax"}}})"), false), Error);
}

TEST(DrainedNodes, are_the_same_after_a_replay_even_when_hosts_have_moved)
{
    auto before = hosts("a[0-3]"), after = hosts("a[3,0-2]");
    DrainedNodes drained;
    std::vector<Event> log {
        drain_event(1, ids("0-2"), before, "bad", Overwrite::nothing),
        undrain_event(2, ids("1"), before, {}, Overwrite::nothing),
        drain_event(3, ids("2"), before, "worse", Overwrite::reason),
        drain_event(4, ids("0"), before, "late", Overwrite::nothing),
    };
    for (auto &event : log)
        drained.replay(value_or_throw(Event::parse(event.encode())), after);
    EXPECT_EQ(drained.ranks(), ids("1,3")) << "a0 and a2";
    EXPECT_EQ(drained.at(3), (Drain {1, "worse"}));
    EXPECT_EQ(drained.at(1), (Drain {1, "bad"}));
    drained.replay(drain_event(5, ids("0"), hosts("gone"), "x", Overwrite::nothing), after);
    EXPECT_EQ(drained.ranks(), ids("1,3"));
    EXPECT_EQ(drained.to_json().size(), 2u);
}

TEST(Journal, says_so_when_it_has_forgotten)
{
    Journal journal(3);
    for (int i = 0; i < 5; i++)
        journal.append(Json {{"timestamp", double(i)}, {"name", "online"}});
    auto all = journal.since(0);
    ASSERT_EQ(all.size(), 4u);
    EXPECT_EQ(all[0].dump(), R"({"timestamp":1.0,"name":"truncate"})");
    EXPECT_EQ(all[1].get<double>("timestamp"), 2);
    EXPECT_EQ(journal.since(4).size(), 1u);
    EXPECT_TRUE(journal.since(journal.end()).empty());
}
