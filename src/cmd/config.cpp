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

int run_get(const Args &args, Session &flux)
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

int run_builtin(const Args &args, Session &)
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

const Command get {
    .name = "get",
    .args = "[NAME]",
    .summary = "Show the configuration, or what it has under a period-delimited name",
    .options = {{"-d,--default=VALUE", "what to show when it is not set"},
                {"-q,--quiet", "no message when it is not set"},
                {"-t,--type=TYPE", "fail unless it is of this type; fsd shows a duration"},
                {"-c,--config-path=PATH", "of this file or directory instead of the instance's"}},
    .max_args = 1,
    .run = run_get,
};
const Command builtin {
    .name = "builtin",
    .args = "NAME",
    .summary = "Show a path of this installation (exec_path, module_path, ...)",
    .min_args = 1,
    .max_args = 1,
    .run = run_builtin,
};

} // namespace

const Command config {
    .name = "config",
    .summary = "Look at the configuration",
    .subcommands = {&builtin, &get},
};

} // namespace flux::cmd
