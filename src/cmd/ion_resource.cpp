// flux ion-resource: the scheduler's resource graph from outside: matches beside the queues' jobs, searches,
// and changes.
#include <chrono>

#include "cmd/command.hpp"
#include "cmd/print.hpp"
#include "common/graph/formats/formats.hpp"

namespace flux::cmd {

namespace {

constexpr int exit_malformed = 2;
constexpr int exit_not_found = 3;
constexpr size_t width = 80;

// A file that is not what it should be, before anybody was asked.
class Malformed : public Error {
public:
    using Error::Error;
};

int exit_code(const Error &error)
{
    switch (error.errnum()) {
    case ENOENT:
        return exit_not_found;
    case EBUSY:
    case ENODEV:
        return error.errnum();
    default:
        return 1;
    }
}

// The command with the exit codes that scripts know.
template <int (*run)(const Args &, Session &)>
int with_exit_codes(const Args &args, Session &flux)
{
    try {
        return run(args, flux);
    } catch (const UsageError &) {
        throw;
    } catch (const Malformed &error) {
        warn("flux-ion-resource: ERROR: {}", error.what());
        return exit_malformed;
    } catch (const Error &error) {
        warn("flux-ion-resource: ERROR: {}", error.what());
        return exit_code(error);
    }
}

std::string topic(std::string_view method)
{
    return fmt::format("sched-fluxion-resource.{}", method);
}

// As text with the separators that scripts look for.
std::string text_of(const Json &json)
{
    return json.dump(JSON_ENCODE_ANY);
}

void print_heading()
{
    print("{:20}{:20}{:20}{:20}\n", "JOBID", "STATUS", "AT", "OVERHEAD (Secs)");
}

void print_row(const Json &job)
{
    auto at = job.get<int64_t>("at");
    print("{:20}{:20}{:20}{:20}\n", std::to_string(job.get<int64_t>("jobid")), job.get<std::string>("status"),
          at == 0 ? "Now" : std::to_string(at), fmt::format("{:.6f}", job.get<double>("overhead")));
}

void print_resources(std::string_view R)
{
    while (R.ends_with('\n'))
        R.remove_suffix(1);
    print("{}\nMATCHED RESOURCES:\n{}\n", std::string(width, '='), R);
}

void print_match(const Json &job)
{
    print_heading();
    print_row(job);
    print_resources(job.get<std::string>("R"));
}

int run_match(const Args &args, Session &flux)
{
    auto jobspec = graph::parse_yaml(read_file(args[1]));
    if (!jobspec)
        throw Malformed(EINVAL, "{}: {}", args[1], jobspec.error().text());
    auto begin = std::chrono::steady_clock::now();
    auto id = flux.rpc(topic("next_jobid")).get<int64_t>("jobid");
    Json job = flux.rpc(topic("match"), Json {{"cmd", args[0]}, {"jobid", id}, {"jobspec", jobspec->dump()}});
    if (args.has("verbose"))
        warn("answered after {:.6f} s",
             std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    print_match(job);
    return 0;
}

// A file with R, checked for being JSON so that the mistake is told of the file.
std::string read_json_file(const std::string &path)
{
    auto json = Json::parse(read_file(path));
    if (!json)
        throw Malformed(EINVAL, "{}: {}", path, json.error().text());
    return json->dump();
}

int64_t job_number(const Args &args, size_t index)
{
    return int64_t(args.job_id(index).value());
}

int run_update(const Args &args, Session &flux)
{
    print_match(
        flux.rpc(topic("update"), Json {{"jobid", job_number(args, 1)}, {"R", read_json_file(args[0])}}));
    return 0;
}

int run_info(const Args &args, Session &flux)
{
    Json job = flux.rpc(topic("info"), Json {{"jobid", job_number(args, 0)}});
    print_heading();
    print_row(job);
    return 0;
}

int run_cancel(const Args &args, Session &flux)
{
    flux.rpc(topic("cancel"), Json {{"jobid", job_number(args, 0)}});
    return 0;
}

int run_partial_cancel(const Args &args, Session &flux)
{
    flux.rpc(topic("partial-cancel"), Json {{"jobid", job_number(args, 0)}, {"R", read_json_file(args[1])}});
    return 0;
}

int run_stats(const Args &, Session &flux)
{
    print("{}\n", text_of(flux.rpc(topic("stats-get"))));
    return 0;
}

int run_stats_cancel(const Args &, Session &flux)
{
    flux.rpc(topic("stats-clear"));
    return 0;
}

int run_find(const Args &args, Session &flux)
{
    std::string criteria = args.joined(0);
    Json request {{"criteria", criteria}};
    if (args.has("format"))
        request.set("format", args.value("format"));
    Json R = flux.rpc(topic("find"), request)["R"];
    std::string text = R.is_null() ? "" : R.is_string() ? std::string(R.string_view()) : text_of(R);
    if (args.has("quiet")) {
        if (!text.empty())
            print("{}{}", text, text.ends_with('\n') ? "" : "\n");
        return 0;
    }
    print("CRITERIA\n'{}'\n", criteria);
    print_resources(text);
    return 0;
}

int run_status(const Args &, Session &flux)
{
    print("{}\n", text_of(flux.rpc(topic("status"))));
    return 0;
}

int run_set_status(const Args &args, Session &flux)
{
    flux.rpc(topic("set_status"), Json {{"resource_path", args[0]}, {"status", args[1]}});
    return 0;
}

// All arguments but the last one.
Json paths_of(const Args &args)
{
    const auto &words = args.positional();
    return Json::array_of(std::vector<std::string>(words.begin(), words.end() - 1));
}

int run_set_property(const Args &args, Session &flux)
{
    flux.rpc(topic("set_property"),
             Json {{"sp_resource_path", paths_of(args)}, {"sp_keyval", args[args.size() - 1]}});
    return 0;
}

int run_remove_property(const Args &args, Session &flux)
{
    flux.rpc(topic("remove_property"),
             Json {{"resource_path", paths_of(args)}, {"key", args[args.size() - 1]}});
    return 0;
}

int run_get_property(const Args &args, Session &flux)
{
    Json values =
        flux.rpc(topic("get_property"), Json {{"gp_resource_path", args[0]}, {"gp_key", args[1]}})["values"];
    std::string list;
    for (auto value : values.elements())
        list += fmt::format("{}'{}'", list.empty() ? "" : ", ", value.string_view());
    print("{} = [{}]\n", args[1], list);
    return 0;
}

int64_t number(const Args &args, size_t index, const char *what)
{
    auto value = Json::parse(args[index]);
    if (!value || !value->is_integer())
        throw UsageError(fmt::format("{} '{}' is not a number", what, args[index]));
    return value->as<int64_t>();
}

int run_ns_info(const Args &args, Session &flux)
{
    Json request {{"rank", number(args, 0, "RANK")}, {"type-name", args[1]}, {"id", number(args, 2, "ID")}};
    print("{}\n", flux.rpc(topic("ns-info"), request).get<int64_t>("id"));
    return 0;
}

int run_params(const Args &, Session &flux)
{
    print("{}\n", text_of(flux.rpc(topic("params"))["params"]));
    return 0;
}

int run_add_subgraph(const Args &args, Session &flux)
{
    flux.rpc(topic("add_subgraph"), Json {{"subgraph", read_json_file(args[0])}});
    return 0;
}

int run_remove_subgraph(const Args &args, Session &flux)
{
    flux.rpc(topic("remove_subgraph"), Json {{"subgraph_path", args[0]}});
    return 0;
}

const Option verbose {"-v,--verbose", "tell on standard error how long the answer took"};

const Command match {.name = "match",
                     .args = "OPERATION JOBSPEC",
                     .summary = "Match a jobspec (YAML): allocate, allocate_with_satisfiability, "
                                "allocate_orelse_reserve, without_allocating, without_allocating_future, "
                                "satisfiability",
                     .options = {verbose},
                     .min_args = 2,
                     .max_args = 2,
                     .run = with_exit_codes<run_match>};
const Command update {.name = "update",
                      .args = "RV1FILE JOBID",
                      .summary = "Take the resources of R for a job that has them already",
                      .min_args = 2,
                      .max_args = 2,
                      .run = with_exit_codes<run_update>};
const Command info {.name = "info",
                    .args = "JOBID",
                    .summary = "Show a job's state and time",
                    .min_args = 1,
                    .max_args = 1,
                    .run = with_exit_codes<run_info>};
const Command stats {.name = "stats",
                     .summary = "Show the graph's size and how long matches took",
                     .max_args = 0,
                     .run = with_exit_codes<run_stats>};
const Command stats_cancel {.name = "stats-cancel",
                            .summary = "Begin to count matches anew",
                            .max_args = 0,
                            .run = with_exit_codes<run_stats_cancel>};
const Command cancel {.name = "cancel",
                      .args = "JOBID",
                      .summary = "Give back what a job has that was matched here",
                      .min_args = 1,
                      .max_args = 1,
                      .run = with_exit_codes<run_cancel>};
const Command partial_cancel {.name = "partial-cancel",
                              .args = "JOBID RV1EXECFILE",
                              .summary = "Give back a part of it",
                              .min_args = 2,
                              .max_args = 2,
                              .run = with_exit_codes<run_partial_cancel>};
const Command find {.name = "find",
                    .args = "CRITERIA...",
                    .summary = "Find resources, such as \"status=up and sched-now=free\"",
                    .options = {{"--format=FORMAT", "simple, pretty_simple, rlite, rv1, rv1_nosched, "
                                                    "rv1_shorthand, jgf or jgf_shorthand"},
                                {"-q,--quiet", "only what was found, without a heading"}},
                    .min_args = 1,
                    .run = with_exit_codes<run_find>};
const Command status {.name = "status",
                      .summary = "Show all resources, those that are down and those that are allocated",
                      .max_args = 0,
                      .run = with_exit_codes<run_status>};
const Command set_status {.name = "set-status",
                          .args = "PATH up|down",
                          .summary = "Set a vertex up or down",
                          .min_args = 2,
                          .max_args = 2,
                          .run = with_exit_codes<run_set_status>};
const Command set_property {.name = "set-property",
                            .args = "PATH... KEY=VALUE",
                            .summary = "Give vertices a property",
                            .min_args = 2,
                            .run = with_exit_codes<run_set_property>};
const Command remove_property {.name = "remove-property",
                               .args = "PATH... KEY",
                               .summary = "Take a property from vertices",
                               .min_args = 2,
                               .run = with_exit_codes<run_remove_property>};
const Command get_property {.name = "get-property",
                            .args = "PATH KEY",
                            .summary = "Show the value of a vertex's property",
                            .min_args = 2,
                            .max_args = 2,
                            .run = with_exit_codes<run_get_property>};
const Command ns_info {.name = "ns-info",
                       .args = "RANK TYPE ID",
                       .summary = "Show the id that a resource has in the enclosing instance",
                       .min_args = 3,
                       .max_args = 3,
                       .run = with_exit_codes<run_ns_info>};
const Command params {.name = "params",
                      .summary = "Show the configuration that holds",
                      .max_args = 0,
                      .run = with_exit_codes<run_params>};
const Command add_subgraph {.name = "add-subgraph",
                            .args = "JGFFILE",
                            .summary = "Add vertices to the graph",
                            .min_args = 1,
                            .max_args = 1,
                            .run = with_exit_codes<run_add_subgraph>};
const Command remove_subgraph {.name = "remove-subgraph",
                               .args = "PATH",
                               .summary = "Remove a vertex that nobody uses, with all below it",
                               .min_args = 1,
                               .max_args = 1,
                               .run = with_exit_codes<run_remove_subgraph>};

const Command ion_resource {.name = "ion-resource",
                            .summary = "Match, find and change resources of the scheduler's graph",
                            .subcommands = {&match, &update, &info, &cancel, &partial_cancel, &find, &status,
                                            &set_status, &set_property, &remove_property, &get_property,
                                            &ns_info, &params, &add_subgraph, &remove_subgraph, &stats,
                                            &stats_cancel}};

} // namespace

} // namespace flux::cmd

int main(int argc, char **argv)
{
    return flux::cmd::run_program(flux::cmd::ion_resource, "ion-resource", {argv + 1, argv + argc});
}
