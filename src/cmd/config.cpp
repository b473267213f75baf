// flux config: the instance's configuration.
#include "common/config/config.hpp"
#include "cmd/commands.hpp"
#include "cmd/environment.hpp"
#include "cmd/print.hpp"
#include "common/types/duration.hpp"

namespace flux::cmd {

namespace {

Json at_path(Json value, std::string_view path)
{
    while (value && !path.empty()) {
        std::string_view key = path.substr(0, path.find('.'));
        path.remove_prefix(std::min(path.size(), key.size() + 1));
        value = value[key];
    }
    return value;
}

std::string text_of(const Json &value)
{
    return value.is_string() ? std::string(value.string_view()) : value.dump();
}

// The value as --type wants it shown. EINVAL when it is of another type.
std::string typed(const std::string &name, const Json &value, const std::string &type)
{
    auto wrong = [&] {
        return Error(EINVAL, "{} is {} {}, not {}", name, value.type_name(), value.dump(), type);
    };
    if (type.starts_with("fsd")) {
        auto seconds = value.is_string() ? parse_duration(value.string_view())
                                         : Expected<double>(std::unexpected(wrong()));
        if (!seconds)
            throw wrong();
        return type == "fsd"           ? format_duration(*seconds)
               : type == "fsd-integer" ? fmt::format("{}", int64_t(*seconds))
                                       : fmt::format("{:f}", *seconds);
    }
    static const std::vector<std::string> types {"string", "integer", "real", "boolean", "object", "array"};
    if (std::find(types.begin(), types.end(), type) == types.end())
        throw UsageError(fmt::format("--type: '{}' is none of {}, fsd, fsd-integer, fsd-real", type,
                                     fmt::join(types, ", ")));
    if (type != value.type_name())
        throw wrong();
    return text_of(value);
}

int run_config_get(const Args &args, Session &flux)
{
    Json config = args.has("config-path") ? load_config(args.value("config-path")) : flux.rpc("config.get");
    if (args.size() == 0) {
        print("{}\n", config.dump());
        return 0;
    }
    Json value = at_path(config, args[0]);
    if (!value && args.has("default")) {
        print("{}\n", args.value("default"));
        return 0;
    }
    if (!value && args.has("quiet"))
        return 1;
    if (!value)
        throw Error(ENOENT, "{} is not set in the configuration", args[0]);
    print("{}\n", args.has("type") ? typed(args[0], value, args.value("type")) : text_of(value));
    return 0;
}

// VALUE as --type says; without it as the value that is there, else JSON if it is that, else a string.
Json value_from(const std::string &name, const std::string &text, std::string type, const Json &existing)
{
    static const std::vector<std::string> types {"string", "integer", "real", "boolean",
                                                 "object", "array",   "fsd"};
    if (!type.empty() && std::find(types.begin(), types.end(), type) == types.end())
        throw UsageError(fmt::format("--type: '{}' is none of {}{}", type, fmt::join(types, ", "),
                                     did_you_mean(type, types)));
    if (type.empty() && existing)
        type = existing.type_name();
    auto parsed = Json::parse("[" + text + "]");
    Json value = parsed && parsed->size() == 1 ? (*parsed)[size_t(0)] : Json();
    if (type.empty())
        return value ? value : Json(text);
    if (type == "fsd" && !parse_duration(text))
        throw UsageError(fmt::format("{}: {}", name, parse_duration(text).error().text()));
    if (type == "string" || type == "fsd")
        return Json(text);
    if (type == "real" && value.is_integer())
        return Json(double(value.as<int64_t>()));
    if (!value || type != value.type_name())
        throw UsageError(fmt::format("{}: '{}' is no {}{}", name, text, type,
                                     existing ? "; --type says of which type it shall be" : ""));
    return value;
}

int run_config_set(const Args &args, Session &flux)
{
    Json config = flux.rpc("config.get", {}, {.nodeid = 0}).copy();
    config.set_path(args[0], value_from(args[0], args[1], args.value("type"), at_path(config, args[0])));
    flux.rpc("config.load", config, {.nodeid = 0});
    return 0;
}

int run_config_unset(const Args &args, Session &flux)
{
    Json config = flux.rpc("config.get", {}, {.nodeid = 0}).copy();
    size_t dot = args[0].rfind('.');
    Json parent = dot == std::string::npos ? config : at_path(config, args[0].substr(0, dot));
    std::string key = dot == std::string::npos ? args[0] : args[0].substr(dot + 1);
    if (!parent.is_object() || !parent.contains(key))
        throw Error(ENOENT, "{} is not set in the configuration", args[0]);
    parent.erase(key);
    flux.rpc("config.load", config, {.nodeid = 0});
    return 0;
}

int run_config_load(const Args &args, Session &flux)
{
    Json config = args.size() ? load_config(args[0]) : parse_config(read_stdin(), "standard input");
    flux.rpc("config.load", config);
    return 0;
}

int run_config_reload(const Args &args, Session &flux)
{
    if (args.has("follower-noop") && flux.attribute("rank") != "0")
        return 0;
    flux.rpc("config.reload");
    return 0;
}

int run_config_builtin(const Args &args, Session &)
{
    auto here = Installation::find();
    std::vector<std::pair<std::string, std::string>> table {
        {"exec_path", here.exec},  {"module_path", here.modules},
        {"man_path", here.man},    {"shell_path", find_program("flux-shell", here.exec)},
        {"libexecdir", here.exec},
    };
    std::vector<std::string> names;
    for (const auto &[name, value] : table) {
        names.push_back(name);
        if (name == args[0]) {
            print("{}\n", value);
            return 0;
        }
    }
    throw Error(ENOENT, "there is no builtin value {}{}; these are {}", args[0], did_you_mean(args[0], names),
                fmt::join(names, ", "));
}

const Command config_get {
    .name = "get",
    .args = "[NAME]",
    .summary = "Show the configuration, or what it has under a period-delimited name",
    .options = {{"-d,--default=VALUE", "what to show when it is not set"},
                {"-q,--quiet", "no message when it is not set"},
                {"-t,--type=TYPE", "fail unless it is of this type; fsd shows a duration"},
                {"-c,--config-path=PATH", "of this file or directory instead of the instance's"}},
    .max_args = 1,
    .run = run_config_get,
};
const Command config_builtin {
    .name = "builtin",
    .args = "NAME",
    .summary = "Show a path of this installation (exec_path, module_path, ...)",
    .min_args = 1,
    .max_args = 1,
    .run = run_config_builtin,
};

const Command config_set {
    .name = "set",
    .args = "NAME VALUE",
    .summary = "Change one value of the configuration that the instance runs with",
    .options = {{"-t,--type=TYPE", "string, integer, real, boolean, object, array or fsd"}},
    .min_args = 2,
    .max_args = 2,
    .run = run_config_set,
};
const Command config_unset {
    .name = "unset",
    .args = "NAME",
    .summary = "Take one value out of it",
    .min_args = 1,
    .max_args = 1,
    .run = run_config_unset,
};
const Command config_load {
    .name = "load",
    .args = "[PATH]",
    .summary = "Replace it by standard input (TOML or JSON), or by PATH: a file, or a directory of *.toml",
    .max_args = 1,
    .run = run_config_load,
};
const Command config_reload {
    .name = "reload",
    .summary = "Read it again from the files that the instance was started with",
    .options = {{"--follower-noop", "on another broker than rank 0, do nothing"}},
    .max_args = 0,
    .run = run_config_reload,
};

} // namespace

const Command config {
    .name = "config",
    .summary = "Look at the configuration, and change it",
    .subcommands = {&config_builtin, &config_get, &config_load, &config_reload, &config_set, &config_unset},
};

} // namespace flux::cmd
