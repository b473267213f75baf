// flux jobtap: the plugins of the job manager.
#include "cmd/commands.hpp"
#include "cmd/print.hpp"

namespace flux::cmd {

namespace {

int run_jobtap_list(const Args &args, Session &flux)
{
    Json answer = flux.rpc("job-manager.jobtap", Json {{"query_only", true}});
    for (auto plugin : answer["plugins"].elements()) {
        std::string_view name = plugin.string_view();
        if (args.has("all") || !name.starts_with('.'))
            print("{}\n", name);
    }
    return 0;
}

int run_jobtap_query(const Args &args, Session &flux)
{
    print("{}\n", flux.rpc("job-manager.jobtap-query", Json {{"name", args[0]}}).dump());
    return 0;
}

const Command jobtap_list {
    .name = "list",
    .summary = "Show which are loaded",
    .options = {{"-a,--all", "those that are built in too"}},
    .max_args = 0,
    .run = run_jobtap_list,
};
const Command jobtap_query {
    .name = "query",
    .args = "PLUGIN",
    .summary = "Show what is to be known of one, as JSON",
    .min_args = 1,
    .max_args = 1,
    .run = run_jobtap_query,
};

} // namespace

const Command jobtap {
    .name = "jobtap",
    .summary = "Look at the plugins of the job manager",
    .subcommands = {&jobtap_list, &jobtap_query},
};

} // namespace flux::cmd
