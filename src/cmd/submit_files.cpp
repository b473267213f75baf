// Files that travel in the jobspec (RFC 14 attributes.system.files, RFC 37).
#include <filesystem>
#include <sys/stat.h>

#include "cmd/print.hpp"
#include "cmd/submit_options.hpp"
#include "common/base/encoding.hpp"

namespace flux::cmd {

namespace {

constexpr int default_permissions = 0600;
constexpr size_t max_file = 16u << 20; // bytes; what is larger belongs into a file system that all nodes see

struct Named {
    std::string name;
    int permissions = default_permissions;
    std::string argument;
};

// "[NAME[:PERMS]=]ARG". A path may have '=' in it: what comes before one is a name only if it has no slash.
Named take_apart(const std::string &text)
{
    Named out {.argument = text};
    size_t equals = text.find('=');
    size_t newline = text.find('\n');
    if (equals == std::string::npos || equals > newline || text.find('/') < equals)
        return out;
    out.name = text.substr(0, equals);
    out.argument = text.substr(equals + 1);
    size_t colon = out.name.rfind(':');
    if (colon == std::string::npos)
        return out;
    std::string mode = out.name.substr(colon + 1);
    char *end = nullptr;
    long permissions = std::strtol(mode.c_str(), &end, 8);
    if (mode.empty() || *end || permissions < 0 || permissions > 07777)
        throw UsageError(
            fmt::format("--add-file={}: '{}' are no permissions in octal, like 0700", text, mode));
    out.permissions = int(permissions);
    out.name.resize(colon);
    return out;
}

} // namespace

Json file_entry(std::string_view content, int permissions)
{
    Json entry {{"mode", S_IFREG | permissions}, {"size", content.size()}};
    if (content.empty())
        return entry;
    bool has_nul = content.find('\0') != std::string_view::npos;
    if (Json text = has_nul ? Json() : Json::steal(json_stringn(content.data(), content.size())))
        entry.set("data", text).set("encoding", "utf-8");
    else
        entry.set("data", base64_encode(content)).set("encoding", "base64");
    return entry;
}

void add_file(JobspecBuilder &builder, const std::string &text)
{
    Named file = take_apart(text);
    bool is_content = file.argument.find('\n') != std::string::npos;
    if (is_content && file.name.empty())
        throw UsageError("--add-file: content without a name: give NAME=CONTENT");
    std::string content = is_content ? file.argument : read_file(file.argument);
    if (file.name.empty())
        file.name = std::filesystem::path(file.argument).filename().string();
    if (file.name == "script" || file.name == "conf.json")
        throw UsageError(fmt::format("--add-file: the name {} is reserved; choose another", file.name));
    if (content.size() > max_file)
        throw UsageError(fmt::format("--add-file: {} has {} bytes, more than the {} that a jobspec may carry",
                                     file.argument, content.size(), max_file));
    builder.file(file.name, file_entry(content, file.permissions));
}

} // namespace flux::cmd
