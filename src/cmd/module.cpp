// flux module: the modules of a broker.
#include <filesystem>

#include "cmd/commands.hpp"
#include "cmd/print.hpp"
#include "cmd/trace.hpp"

namespace flux::cmd {

namespace {

Json load_request(const Args &args)
{
    Json request {{"path", args[0]}, {"args", Json::array_of(args.from(1))}};
    if (args.has("name"))
        request.set("name", args.value("name"));
    if (args.has("exec"))
        request.set("exec", true);
    return request;
}

// "kvs" of "/usr/lib/flux/modules/kvs.so".
std::string module_name(const Args &args)
{
    if (args.has("name"))
        return args.value("name");
    return std::filesystem::path(args[0]).stem().string();
}

int run_module_load(const Args &args, Session &flux)
{
    flux.rpc("module.load", load_request(args));
    return 0;
}

void remove_module(Session &flux, const std::string &name, bool cancel)
{
    Json request {{"name", name}};
    if (cancel)
        request.set("cancel", true);
    flux.rpc("module.remove", request);
}

int run_module_remove(const Args &args, Session &flux)
{
    try {
        remove_module(flux, module_name(args), args.has("cancel"));
    } catch (const Error &error) {
        if (error.errnum() != ENOENT || !args.has("force"))
            throw;
    }
    return 0;
}

int run_module_reload(const Args &args, Session &flux)
{
    bool removed = false;
    try {
        remove_module(flux, module_name(args), false);
        removed = true;
    } catch (const Error &error) {
        if (error.errnum() != ENOENT || !args.has("force"))
            throw;
    }
    try {
        return run_module_load(args, flux);
    } catch (const Error &error) {
        if (!removed)
            throw;
        throw Error(error.errnum(), "{}; it is not loaded any more: flux module load {} loads it", error.text(),
                    args[0]);
    }
}

std::string_view status_letter(int64_t status) // as the broker numbers the states of a module
{
    switch (status) {
    case 0:
        return "I"; // initializing
    case 1:
        return "R"; // running
    case 2:
        return "F"; // finalizing
    case 3:
        return "X"; // exited
    default:
        return "?";
    }
}

int run_module_list(const Args &args, Session &flux)
{
    bool longer = args.has("long");
    std::vector<std::vector<std::string>> rows {{"Module", "Idle", "S", "Sendq", "Recvq", "Service"}};
    if (longer)
        rows[0].push_back("Path");
    Json answer = flux.rpc("module.list");
    for (auto entry : answer["mods"].elements()) {
        int64_t idle = entry.value<int64_t>("idle", 0);
        auto name = entry.get<std::string>("name");
        std::string services;
        for (const auto &service : entry["services"].elements())
            if (service.string_view() != name)
                services += (services.empty() ? "" : ",") + service.as<std::string>();
        rows.push_back({name, idle < 100 ? fmt::format("{}", idle) : "idle",
                        std::string(status_letter(entry.value<int64_t>("status", 1))),
                        fmt::format("{}", entry.value<int64_t>("sendqueue", 0)),
                        fmt::format("{}", entry.value<int64_t>("recvqueue", 0)), services});
        if (longer)
            rows.back().push_back(entry.value<std::string>("path", ""));
    }
    write_out(render_table(rows, {1, 3, 4}));
    return 0;
}

int show_statistics(const Args &args, const Json &statistics)
{
    Json value = statistics;
    if (args.has("parse")) {
        std::string path = args.value("parse");
        for (size_t begin = 0; begin <= path.size();) {
            size_t end = std::min(path.find('.', begin), path.size());
            value = value[std::string_view(path).substr(begin, end - begin)];
            begin = end + 1;
        }
        if (!value)
            throw Error(ENOENT, "the statistics have no {}", path);
    }
    double scale = args.number("scale", 1);
    if (args.value("type") == "int" && value.is_number())
        print("{}\n", int64_t(value.as<double>() * scale));
    else if (args.has("type") && value.is_number())
        print("{:f}\n", value.as<double>() * scale);
    else
        print("{}\n", value.is_object() ? value.dump_indented(1) : value.dump());
    return 0;
}

int run_module_stats(const Args &args, Session &flux)
{
    const std::string &name = args[0];
    if (args.has("clear-all")) {
        flux.handle().publish(name + ".stats-clear");
        return 0;
    }
    if (args.has("clear")) {
        flux.rpc(name + ".stats-clear");
        return 0;
    }
    if (args.has("rusage")) {
        std::string who = args.value("rusage");
        Json request {{"who", who == "true" ? "self" : who}};
        return show_statistics(args, flux.rpc(name + ".rusage", request));
    }
    return show_statistics(args, flux.rpc(name + ".stats-get"));
}

// "0x1f", "017", "31"
uint32_t flag_mask(const Args &args, const char *option)
{
    std::string text = args.value(option);
    char *end = nullptr;
    errno = 0;
    unsigned long long mask = std::strtoull(text.c_str(), &end, 0);
    if (text.empty() || !std::isdigit(static_cast<unsigned char>(text[0])) || *end || errno ||
        mask > UINT32_MAX)
        throw UsageError(
            fmt::format("--{}={}: a mask of 32 bits was expected: decimal, 0x for hexadecimal, 0 for octal",
                        option, text));
    return uint32_t(mask);
}

int run_module_debug(const Args &args, Session &flux)
{
    static constexpr std::pair<const char *, const char *> ops[] = {
        {"set", "set"}, {"setbit", "setbit"}, {"clearbit", "clrbit"}};
    auto change = [&](const Json &request) {
        return flux.rpc(args[0] + ".debug", request).get<uint32_t>("flags");
    };
    uint32_t flags = change(args.has("clear") ? Json {{"op", "clr"}} : Json::object());
    for (auto [option, op] : ops)
        if (args.has(option))
            flags = change(Json {{"op", op}, {"flags", flag_mask(args, option)}});
    if (args.in_order().empty())
        print("0x{:x}\n", flags);
    return 0;
}

int run_module_trace(const Args &args, Session &flux)
{
    return show_trace(args, flux, "module", args.positional(), args.value("topic"));
}

const Command module_debug {
    .name = "debug",
    .args = "MODULE",
    .summary = "Show or change a module's debug flags",
    .options = {{"-C,--clear", "all flags to 0"},
                {"-S,--set=MASK", "the flags to MASK: decimal, 0x for hexadecimal, 0 for octal"},
                {"-s,--setbit=MASK", "those of MASK to 1"},
                {"-c,--clearbit=MASK", "those of MASK to 0"}},
    .min_args = 1,
    .max_args = 1,
    .run = run_module_debug,
};

const Command module_trace {
    .name = "trace",
    .args = "[MODULE...]",
    .summary = "Show messages that modules receive and send",
    .options =
        [] {
            auto options = trace_options();
            options.insert(options.begin() + 1, {"-T,--topic=GLOB", "only with topics that match"});
            return options;
        }(),
    .run = run_module_trace,
};

const Command module_load {
    .name = "load",
    .args = "MODULE [ARG...]",
    .summary = "Load a module, by its name in FLUX_MODULE_PATH or its path",
    .options = {{"-n,--name=NAME", "the name under which it is registered"},
                {"--exec", "run it as a process of its own"}},
    .min_args = 1,
    .run = run_module_load,
};

const Command module_remove {
    .name = "remove",
    .args = "MODULE",
    .summary = "Unload a module",
    .options = {{"-f,--force", "it is no error if it is not loaded"},
                {"-n,--name=NAME", "the name under which it is registered"},
                {"--cancel", "stop it even if it does not react"}},
    .min_args = 1,
    .max_args = 1,
    .run = run_module_remove,
};

const Command module_unload = [] {
    Command out = module_remove;
    out.name = "unload";
    return out;
}();

const Command module_reload {
    .name = "reload",
    .args = "MODULE [ARG...]",
    .summary = "Unload a module and load it again",
    .options = {{"-f,--force", "it is no error if it is not loaded"},
                {"-n,--name=NAME", "the name under which it is registered"},
                {"--exec", "run it as a process of its own"}},
    .min_args = 1,
    .run = run_module_reload,
};

const Command module_list {
    .name = "list",
    .summary = "List the loaded modules",
    .options = {{"-l,--long", "show paths too"}},
    .max_args = 0,
    .run = run_module_list,
};

const Command module_stats {
    .name = "stats",
    .args = "SERVICE",
    .summary = "Show a module's statistics",
    .options = {{"-p,--parse=NAME", "only the member at this path of period-delimited keys"},
                {"-t,--type=int|double", "how to show a number"},
                {"-s,--scale=N", "multiply a number by N"},
                {"-R,--rusage[=WHO]", "the resources it used (self, children, thread)"},
                {"-c,--clear", "start counting again"},
                {"-C,--clear-all", "the same on all brokers"}},
    .min_args = 1,
    .max_args = 1,
    .run = run_module_stats,
};

} // namespace

const Command module {
    .name = "module",
    .summary = "Load, unload and inspect the broker's modules",
    .subcommands = {&module_list, &module_load, &module_reload, &module_remove, &module_unload, &module_stats,
                    &module_debug, &module_trace},
};

} // namespace flux::cmd
