// flux getattr, setattr, lsattr: the broker's attributes.
#include <algorithm>

#include "cmd/commands.hpp"
#include "cmd/print.hpp"

namespace flux::cmd {

namespace {

int run_getattr(const Args &args, Session &flux)
{
    print("{}\n", flux.attribute(args[0]));
    return 0;
}

int run_setattr(const Args &args, Session &flux)
{
    Json request {{"name", args[0]}, {"value", args[1]}};
    if (args.has("force"))
        request.set("force", true);
    flux.rpc("attr.set", request);
    return 0;
}

Task<std::vector<std::vector<std::string>>> fetch_values(Handle &handle, std::vector<std::string> names)
{
    std::vector<std::vector<std::string>> rows;
    for (const auto &name : names) {
        Json request {{"name", name}};
        std::string value = "-"; // what a name without a value shows
        try {
            Message answer = co_await handle.rpc("attr.get", request);
            value = answer.json().get<std::string>("value");
        } catch (const Error &error) {
            if (error.errnum() != ENOENT)
                throw;
        }
        rows.push_back({name, value});
    }
    co_return rows;
}

int run_lsattr(const Args &args, Session &flux)
{
    auto names = flux.rpc("attr.list").get<std::vector<std::string>>("names");
    std::sort(names.begin(), names.end());
    if (args.has("values")) {
        write_out(render_table(flux.run(fetch_values(flux.handle(), names))));
        return 0;
    }
    for (const auto &name : names)
        print("{}\n", name);
    return 0;
}

} // namespace

const Command getattr {
    .name = "getattr",
    .args = "NAME",
    .summary = "Show a broker attribute",
    .min_args = 1,
    .max_args = 1,
    .run = run_getattr,
};

const Command setattr {
    .name = "setattr",
    .args = "NAME VALUE",
    .summary = "Set a broker attribute",
    .options = {{"-f,--force", "set it even if it cannot be updated at run time (for tests)"}},
    .min_args = 2,
    .max_args = 2,
    .run = run_setattr,
};

const Command lsattr {
    .name = "lsattr",
    .summary = "List the broker attributes",
    .options = {{"-v,--values", "show their values too"}},
    .max_args = 0,
    .run = run_lsattr,
};

} // namespace flux::cmd
