#include "cmd/named_formats.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "cmd/environment.hpp"
#include "cmd/print.hpp"
#include "common/config/config.hpp"

namespace flux::cmd {

namespace {

std::vector<NamedFormat> with_configured(const FormatFamily &family)
{
    std::vector<NamedFormat> out = family.formats;
    Json config = command_config(family.command);
    Json formats = family.table.empty() ? config["formats"] : config.at(family.table, "formats");
    for (auto [name, entry] : formats.members()) {
        if (family.find(name))
            throw Error(EINVAL,
                        "flux-{}.toml: the format {} is built in and cannot be changed; choose another name",
                        family.command, name);
        out.push_back({std::string(name), entry.value<std::string>("description", ""),
                       entry.get<std::string>("format")});
    }
    return out;
}

void show_formats(const std::vector<NamedFormat> &formats)
{
    std::vector<std::vector<std::string>> rows {{"NAME", "DESCRIPTION"}};
    for (const auto &format : formats)
        rows.push_back({format.name, format.description});
    print("Formats that can be named with --format:\n\n");
    write_out(render_table(rows));
}

void show_config(const FormatFamily &family, const NamedFormat &format)
{
    print("[{}{}formats.{}]\ndescription = {}\nformat = {}\n", family.table, family.table.empty() ? "" : ".",
          format.name, Json(format.description).dump(), Json(format.format).dump());
}

} // namespace

Json command_config(std::string_view command)
{
    Json out = Json::object();
    for (const auto &directory : config_directories())
        for (const char *extension : {"json", "toml"}) {
            std::string path = fmt::format("{}/flux-{}.{}", directory, command, extension);
            if (std::error_code unreadable; std::filesystem::exists(path, unreadable))
                merge_config(out, path);
        }
    return out;
}

std::vector<std::string> config_directories()
{
    std::vector<std::string> out;
    std::string list = environment_value("XDG_CONFIG_DIRS");
    if (list.empty())
        list = "/etc/xdg";
    for (size_t begin = 0; begin <= list.size();) {
        size_t end = std::min(list.find(':', begin), list.size());
        if (end > begin)
            out.insert(out.begin(), list.substr(begin, end - begin) + "/flux");
        begin = end + 1;
    }
    if (auto home = environment_value("XDG_CONFIG_HOME"); !home.empty())
        out.push_back(home + "/flux");
    else if (auto user = environment_value("HOME"); !user.empty())
        out.push_back(user + "/.config/flux");
    return out;
}

const NamedFormat *FormatFamily::find(std::string_view name) const
{
    auto found = std::find_if(formats.begin(), formats.end(),
                              [&](const NamedFormat &format) { return format.name == name; });
    return found == formats.end() ? nullptr : &*found;
}

std::optional<std::string> choose_format(const Args &args, const FormatFamily &family)
{
    std::string text = args.value("format");
    if (text.empty())
        text = environment_value(std::string(family.variable).c_str());
    if (text.empty())
        text = "default";
    if (text.find('{') != std::string::npos)
        return text;
    auto formats = with_configured(family);
    if (text == "help") {
        show_formats(formats);
        return std::nullopt;
    }
    constexpr std::string_view get_config = "get-config=";
    bool wants_config = text.starts_with(get_config);
    std::string name = wants_config ? text.substr(get_config.size()) : text;
    std::vector<std::string> names;
    for (const auto &format : formats) {
        names.push_back(format.name);
        if (format.name != name)
            continue;
        if (!wants_config)
            return format.format;
        show_config(family, format);
        return std::nullopt;
    }
    throw UsageError(fmt::format("--format: '{}' is neither a format with {{fields}} nor the name of one{}; "
                                 "--format=help lists them",
                                 name, did_you_mean(name, names)));
}

} // namespace flux::cmd
