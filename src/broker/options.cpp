#include "broker/options.hpp"

#include <cstdlib>

namespace flux {

const char *const broker_usage = R"(Usage: flux broker [OPTIONS] [INITIAL-PROGRAM [ARGS...]]
Run one broker of a Flux instance.

  -S, --setattr=ATTR=VAL     set a broker attribute
  -c, --config-path=PATH     read the configuration from a directory of *.toml files, or from one file
      --conf=VALUE           more configuration: TABLE.KEY=VALUE, TOML, JSON or a file's path
  -v, --verbose              say on stderr which rank this is and where it listens
  -h, --help                 show this help
)";

namespace {

void set_attribute(Attributes &attributes, std::string_view text)
{
    auto equals = text.find('=');
    if (equals == 0)
        throw Error(EINVAL, "--setattr={}: expected ATTR=VALUE", text);
    if (equals == text.npos)
        attributes.set(std::string(text), "");
    else
        attributes.set(std::string(text.substr(0, equals)), std::string(text.substr(equals + 1)));
}

} // namespace

Options parse_options(const std::vector<std::string> &args)
{
    Options options;
    if (const char *directory = std::getenv("FLUX_CONF_DIR"))
        options.config_path = directory;
    size_t at = 0;
    // The value of an option in any of its spellings: -Svalue, -S value, --long=value, --long value.
    auto value = [&](std::string_view short_name, std::string_view long_name) -> std::optional<std::string> {
        std::string_view arg = args[at];
        if (arg == short_name || arg == long_name) {
            if (at + 1 == args.size())
                throw Error(EINVAL, "option {} needs a value", arg);
            return args[++at];
        }
        if (arg.starts_with(long_name) && arg.substr(long_name.size()).starts_with('='))
            return std::string(arg.substr(long_name.size() + 1));
        if (!short_name.empty() && arg.starts_with(short_name) && !arg.starts_with("--"))
            return std::string(arg.substr(short_name.size()));
        return std::nullopt;
    };
    for (; at < args.size(); at++) {
        if (args[at] == "--") {
            at++;
            break;
        }
        if (!args[at].starts_with('-'))
            break;
        if (auto attribute = value("-S", "--setattr"))
            set_attribute(options.attributes, *attribute);
        else if (auto path = value("-c", "--config-path"))
            options.config_path = *path;
        else if (auto conf = value("", "--conf"))
            options.conf.push_back(*conf);
        else if (args[at] == "-v" || args[at] == "--verbose")
            options.verbose = true;
        else if (args[at] == "-h" || args[at] == "--help")
            options.help = true;
        else
            throw Error(EINVAL, "unknown option {}: see flux broker --help", args[at]);
    }
    options.initial_program.assign(args.begin() + long(std::min(at, args.size())), args.end());
    return options;
}

} // namespace flux
