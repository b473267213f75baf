#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/job/jobspec.hpp"
#include "common/job/jobspec_builder.hpp"

using namespace flux;

namespace {

Json load(const std::filesystem::path &path)
{
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return Json::parse_or_throw(text.str());
}

Jobspec example(const char *name)
{
    return value_or_throw(Jobspec::parse(load(fmt::format("data/rfc/{}.json", name))));
}

// A valid jobspec with one value changed (or removed, when value is absent).
std::string error_with(const char *pointer, Json value)
{
    Json json = load("data/rfc/spec_25_use_case_2.4.json");
    json_t *at = json.raw();
    std::string path = pointer, key;
    for (size_t start = 0; start != std::string::npos;) {
        size_t dot = path.find('/', start);
        key = path.substr(start, dot == std::string::npos ? dot : dot - start);
        if (dot == std::string::npos)
            break;
        at = json_is_array(at) ? json_array_get(at, std::stoul(key)) : json_object_get(at, key.c_str());
        start = dot + 1;
    }
    if (value)
        json_object_set(at, key.c_str(), value.raw());
    else
        json_object_del(at, key.c_str());
    auto parsed = Jobspec::parse(json);
    if (!parsed)
        return parsed.error().text();
    auto v1 = parsed->check_v1();
    return v1 ? "" : v1.error().text();
}

} // namespace

TEST(Jobspec, EveryExampleOfTheRfcsIsAccepted)
{
    int seen = 0;
    for (const auto &entry : std::filesystem::directory_iterator("data/rfc")) {
        std::string name = entry.path().filename();
        if (!name.starts_with("spec_14_") && !name.starts_with("spec_25_"))
            continue;
        auto jobspec = Jobspec::parse(load(entry.path()));
        ASSERT_TRUE(jobspec) << name << ": " << jobspec.error().text();
        if (name.starts_with("spec_25_")) {
            auto v1 = jobspec->check_v1();
            EXPECT_TRUE(v1) << name << ": " << v1.error().text();
        } else {
            EXPECT_TRUE(jobspec->version() == 1 || !jobspec->check_v1()) << name;
        }
        seen++;
    }
    EXPECT_EQ(seen, 25);
}

TEST(Jobspec, AV1ShapeCountsSlotsCoresAndGpus)
{
    auto jobspec = example("spec_25_use_case_2.4");
    auto shape = value_or_throw(jobspec.shape());
    EXPECT_EQ(shape.nnodes, 4u);
    EXPECT_EQ(shape.nslots, 16u);
    EXPECT_EQ(shape.slots_per_node, 4u);
    EXPECT_EQ(shape.ncores(), 16u);
    EXPECT_EQ(shape.ngpus(), 16u);
    EXPECT_EQ(shape.slot_label, "default");
    EXPECT_EQ(value_or_throw(jobspec.ntasks()), 16u);
    EXPECT_EQ(jobspec.duration(), 3600);
    EXPECT_EQ(jobspec.cwd(), "/home/flux");
    EXPECT_EQ(jobspec.name(), "myapp");
    EXPECT_EQ(jobspec.environment()["HOME"].string_view(), "/home/flux");
    EXPECT_EQ(jobspec.attribute("system.environment.HOME").string_view(), "/home/flux");
    EXPECT_FALSE(jobspec.attribute("system.nothing.here"));
    auto slots_only = example("spec_25_use_case_2.2");
    EXPECT_EQ(value_or_throw(slots_only.shape()).nnodes, 0u);
    EXPECT_EQ(value_or_throw(slots_only.shape()).ncores(), 20u);
    EXPECT_EQ(value_or_throw(example("spec_25_use_case_2.1").ntasks()), 5u);
}

TEST(Jobspec, TasksOfRicherShapesAreCountedWhereTheyAreFixed)
{
    EXPECT_EQ(value_or_throw(example("spec_14_use_case_2.4").ntasks()), 11u);
    EXPECT_FALSE(example("spec_14_use_case_1.2").shape());
    EXPECT_FALSE(example("spec_14_use_case_1.2").ntasks());
    auto squares = example("spec_14_use_case_1.8");
    bool found = false;
    for (const auto &vertex : squares.resources())
        for (const auto &inner : vertex.with)
            found |= inner.count.ids().has_value();
    EXPECT_TRUE(found || squares.resources()[0].count.ids());
}

TEST(Jobspec, AFaultNamesItsPlaceWhatWasExpectedAndWhatWasFound)
{
    EXPECT_EQ(error_with("resources/0/with/0/with/1/count", 0),
              "resources[0].with[0].with[1].count: expected a positive integer, found 0");
    EXPECT_EQ(error_with("resources/0/with/0/label", Json()), "resources[0].with[0].label: missing");
    EXPECT_EQ(
        error_with("resources/0/colour", "red"),
        "resources[0]: unknown key \"colour\" (known are type, count, unit, exclusive, with, label, id)");
    EXPECT_EQ(error_with("tasks/0/slot", "other"), "tasks[0].slot: no slot is labelled \"other\"");
    EXPECT_EQ(error_with("tasks/0/command", Json::array()),
              "tasks[0].command: expected a program and its arguments, found an empty list");
    EXPECT_EQ(error_with("tasks/0/count", Json {{"per_slot", 2}}),
              "tasks[0].count.per_slot: expected 1, found 2");
    EXPECT_EQ(error_with("attributes/system/duration", -1),
              "attributes.system.duration: expected a number of seconds >= 0, found -1");
    EXPECT_EQ(error_with("attributes/system/duration", Json()), "attributes.system.duration: missing");
    EXPECT_EQ(error_with("attributes/system/environment", Json {{"A", 1}}),
              "attributes.system.environment.A: expected a string or null, found 1");
    EXPECT_EQ(
        error_with("attributes/system/constraints", Json {{"colour", Json::array()}}),
        "attributes.system.constraints: unknown constraint operator \"colour\" (use hostlist, properties, "
        "ranks, and, or, not)");
    EXPECT_EQ(error_with("version", Json()), "version: missing");
    EXPECT_EQ(error_with("extra", 1),
              "jobspec: unknown key \"extra\" (known are version, resources, tasks, attributes)");
    EXPECT_EQ(error_with("resources/0/with/0/type", "core"),
              "tasks[0].slot: no slot is labelled \"default\"");
    EXPECT_EQ(error_with("resources/0/count", "2-4"),
              "resources[0].count: expected a fixed count, found 2-4");
    EXPECT_EQ(error_with("resources", Json::array()),
              "resources: expected a list of resources, found an empty one");
    EXPECT_EQ(error_with("unchanged_attribute/x", Json()), "");
    EXPECT_FALSE(Jobspec::parse(Json()));
    EXPECT_FALSE(Jobspec::parse(Json("x")));
}

TEST(Jobspec, PerResourceTasksNeedThatResourceInTheSlot)
{
    auto counted = [](const char *type) {
        return Json {{"per_resource", Json {{"type", type}, {"count", 2}}}};
    };
    EXPECT_EQ(error_with("tasks/0/count", counted("gpu")),
              "tasks[0].count: per_resource is not allowed in version 1");
    EXPECT_EQ(error_with("tasks/0/count", counted("fpga")),
              "tasks[0].count.per_resource.type: slot \"default\" holds no resource of type \"fpga\"");
}

TEST(Jobspec, VertexAndTaskWriteBackWhatWasRead)
{
    for (auto name :
         {"spec_14_use_case_1.2", "spec_14_use_case_1.8", "spec_25_use_case_2.4", "spec_14_use_case_2.4"}) {
        auto jobspec = example(name);
        Json resources = Json::array(), tasks = Json::array();
        for (const auto &vertex : jobspec.resources())
            resources.append(vertex.to_json());
        for (const auto &task : jobspec.tasks())
            tasks.append(task.to_json());
        EXPECT_EQ(tasks, jobspec.json()["tasks"]) << name;
        Json again = jobspec.json().shallow_copy();
        again.set("resources", resources);
        auto reread = value_or_throw(Jobspec::parse(again));
        EXPECT_EQ(reread.resources()[0].to_json(), jobspec.resources()[0].to_json()) << name;
    }
}

TEST(Dependency, UrisBecomeObjects)
{
    EXPECT_EQ(value_or_throw(parse_dependency_uri("afterany:ƒ2oLkTLb")).dump(),
              R"({"scheme":"afterany","value":"ƒ2oLkTLb"})");
    EXPECT_EQ(value_or_throw(parse_dependency_uri("string:foo?type=out&scope=user;x=")).dump(),
              R"({"scheme":"string","value":"foo","type":"out","scope":"user","x":""})");
    for (auto text : {"", "afterany", ":x", "a:b?x", "a:b?=1", "a:b?value=1", "a:b?x=1&x=2", "a:\xff"})
        EXPECT_FALSE(parse_dependency_uri(text)) << text;
    for (auto name : {"1", "2", "3_A", "3_B", "3_C"})
        for (auto item : load(fmt::format("data/rfc/spec_26_example_{}.json", name)).elements())
            EXPECT_TRUE(validate_dependency(item));
    EXPECT_FALSE(validate_dependency(Json {{"scheme", "x"}}));
}

namespace {

JobShape shape_of(const Expected<JobspecBuilder> &builder, uint64_t expected_tasks)
{
    if (!builder)
        throw builder.error();
    auto jobspec = value_or_throw(Jobspec::parse(builder->json()));
    auto v1 = jobspec.check_v1();
    EXPECT_TRUE(v1) << v1.error().text();
    auto tasks = jobspec.ntasks();
    EXPECT_EQ(tasks ? *tasks : 0, expected_tasks);
    return value_or_throw(jobspec.shape());
}

} // namespace

TEST(JobspecBuilder, PerTaskOptionsMakeTheShapesOfTheRfc)
{
    auto plain = shape_of(JobspecBuilder::for_tasks({.command = {"a"}}), 1);
    EXPECT_EQ(plain.nnodes, 0u);
    EXPECT_EQ(plain.nslots, 1u);
    auto many = shape_of(
        JobspecBuilder::for_tasks({.command = {"a"}, .ntasks = 10, .cores_per_task = 2, .gpus_per_task = 1}),
        10);
    EXPECT_EQ(many.ncores(), 20u);
    EXPECT_EQ(many.ngpus(), 10u);
    auto nodes = shape_of(JobspecBuilder::for_tasks({.command = {"a"}, .ntasks = 16, .nnodes = 4}), 16);
    EXPECT_EQ(nodes.slots_per_node, 4u);
    EXPECT_FALSE(nodes.node_exclusive);
    auto whole = shape_of(JobspecBuilder::for_tasks({.command = {"a"}, .nnodes = 4}), 4);
    EXPECT_TRUE(whole.node_exclusive);
    EXPECT_EQ(whole.nslots, 4u);
    auto uneven = shape_of(JobspecBuilder::for_tasks({.command = {"a"}, .ntasks = 5, .nnodes = 4}), 5);
    EXPECT_EQ(uneven.slots_per_node, 2u);
}

TEST(JobspecBuilder, PerResourceOptionsCountTasksByResource)
{
    EXPECT_EQ(shape_of(JobspecBuilder::for_tasks({.command = {"a"}, .cores = 8}), 8).ncores(), 8u);
    auto spread = shape_of(
        JobspecBuilder::for_tasks({.command = {"a"}, .nnodes = 2, .cores = 8, .tasks_per_node = 3}), 6);
    EXPECT_EQ(spread.cores_per_slot, 4u);
    auto gpus = shape_of(
        JobspecBuilder::for_tasks({.command = {"a"}, .nnodes = 2, .tasks_per_node = 1, .gpus_per_node = 2}),
        2);
    EXPECT_EQ(gpus.ngpus(), 4u);
    EXPECT_TRUE(gpus.node_exclusive);
    shape_of(JobspecBuilder::for_tasks({.command = {"a"}, .cores = 4, .tasks_per_core = 2}), 8);
}

TEST(JobspecBuilder, OptionsThatDoNotGoTogetherAreRefused)
{
    std::vector<TaskRequest> requests {
        {},
        {.command = {"a"}, .ntasks = 0},
        {.command = {"a"}, .ntasks = 2, .nnodes = 3},
        {.command = {"a"}, .exclusive = true},
        {.command = {"a"}, .ntasks = 2, .cores = 3},
        {.command = {"a"}, .nnodes = 2, .cores = 3},
        {.command = {"a"}, .tasks_per_node = 2},
        {.command = {"a"}, .cores = 1, .gpus_per_node = 2},
        {.command = {"a"}, .cores = 1, .tasks_per_node = 2, .tasks_per_core = 2},
    };
    for (const auto &request : requests) {
        auto result = JobspecBuilder::for_tasks(request);
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().errnum(), EINVAL);
    }
    EXPECT_FALSE(JobspecBuilder::for_slots({.command = {"a"}}));
    EXPECT_FALSE(JobspecBuilder::for_slots({.command = {"a"}, .nslots = 2, .nnodes = 3}));
}

TEST(JobspecBuilder, AnInstanceHasOneBrokerPerNode)
{
    auto shape =
        shape_of(JobspecBuilder::for_slots({.command = {"flux", "broker"}, .nslots = 8, .nnodes = 4}), 4);
    EXPECT_EQ(shape.nslots, 8u);
    EXPECT_TRUE(shape_of(JobspecBuilder::for_slots({.command = {"flux"}, .nnodes = 2}), 2).node_exclusive);
}

TEST(JobspecBuilder, AttributesLandWhereTheManualSays)
{
    auto builder = value_or_throw(JobspecBuilder::for_tasks({.command = {"/bin/true"}}));
    builder.duration(60).cwd("/tmp").name("n").queue("q").bank("b").shell_option("verbose", 1);
    builder.attribute("foo.bar", 1).attribute("user.x", "y").attribute(".top", true);
    builder.add_dependency(value_or_throw(parse_dependency_uri("afterok:f1")));
    builder.environment(Json {{"A", "1"}}).file("script.sh", Json {{"mode", 33152}});
    auto jobspec = value_or_throw(Jobspec::parse(builder.json()));
    EXPECT_EQ(jobspec.duration(), 60);
    EXPECT_EQ(jobspec.name(), "n");
    EXPECT_EQ(jobspec.queue(), "q");
    EXPECT_EQ(jobspec.bank(), "b");
    EXPECT_EQ(jobspec.shell_options().dump(), R"({"verbose":1})");
    EXPECT_EQ(jobspec.attribute("system.foo.bar").as<int>(), 1);
    EXPECT_EQ(jobspec.attribute("user.x").string_view(), "y");
    EXPECT_TRUE(jobspec.attribute("top").as<bool>());
    EXPECT_EQ(jobspec.dependencies().size(), 1u);
    EXPECT_TRUE(jobspec.system("files").contains("script.sh"));
}
