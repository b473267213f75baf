#include "cmd/environment.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <unistd.h>

#include "common/base/error.hpp"

namespace flux::cmd {

namespace fs = std::filesystem;

namespace {

bool has_element(const std::string &list, const std::string &element)
{
    return (":" + list + ":").find(":" + element + ":") != std::string::npos;
}

void prepend(const char *name, const std::string &element)
{
    std::string list = environment_value(name);
    if (element.empty() || has_element(list, element))
        return;
    ::setenv(name, list.empty() ? element.c_str() : (element + ":" + list).c_str(), 1);
}

} // namespace

std::string environment_value(const char *name)
{
    const char *value = std::getenv(name);
    return value ? value : "";
}

Installation Installation::find()
{
    return at(fs::read_symlink("/proc/self/exe").string());
}

Installation Installation::at(const std::string &binary)
{
    fs::path bin = fs::path(binary).parent_path();
    fs::path prefix = bin.parent_path();
    Installation out;
    out.bin = bin.string();
    fs::path libexec = prefix / "libexec/flux/cmd";
    std::error_code ignored;
    out.exec = fs::is_directory(libexec, ignored) ? libexec.string() : out.bin;
    out.modules = (prefix / "lib/flux/modules").string();
    out.man = (prefix / "share/flux/man").string();
    return out;
}

void set_up_environment(const Installation &installation)
{
    prepend("PATH", installation.bin);
    prepend("FLUX_EXEC_PATH", installation.exec);
    prepend("FLUX_MODULE_PATH", installation.modules);
}

std::string find_program(const std::string &name, const std::string &search_path)
{
    size_t begin = 0;
    while (begin <= search_path.size()) {
        size_t end = std::min(search_path.find(':', begin), search_path.size());
        std::string path = search_path.substr(begin, end - begin) + "/" + name;
        if (end > begin && ::access(path.c_str(), X_OK) == 0)
            return path;
        begin = end + 1;
    }
    return {};
}

std::vector<std::string> external_commands()
{
    constexpr std::string_view prefix = "flux-";
    constexpr std::string_view internal[] {"broker", "shell", "sim"}; // started by others, or for developers
    std::set<std::string> out;
    std::string list = environment_value("FLUX_EXEC_PATH");
    for (size_t begin = 0; begin <= list.size();) {
        size_t end = std::min(list.find(':', begin), list.size());
        std::error_code ignored;
        for (const auto &entry : fs::directory_iterator(list.substr(begin, end - begin), ignored)) {
            std::string name = entry.path().filename().string();
            bool hidden = std::find(std::begin(internal), std::end(internal),
                                    std::string_view(name).substr(std::min(name.size(), prefix.size()))) !=
                          std::end(internal);
            if (name.starts_with(prefix) && !hidden && ::access(entry.path().c_str(), X_OK) == 0)
                out.insert(name.substr(prefix.size()));
        }
        begin = end + 1;
    }
    return {out.begin(), out.end()};
}

void exec_program(const std::string &path, const std::vector<std::string> &arguments)
{
    std::vector<char *> argv;
    for (const auto &argument : arguments)
        argv.push_back(const_cast<char *>(argument.c_str()));
    argv.push_back(nullptr);
    ::execvp(path.c_str(), argv.data());
    throw Error(errno, "cannot run {}: {}", path, errno_text(errno));
}

} // namespace flux::cmd
