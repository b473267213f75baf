#include "common/subprocess/program_path.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include "common/base/error.hpp"

namespace flux {

namespace {

constexpr std::string_view default_path = "/usr/local/bin:/usr/bin:/bin";

std::string below(std::string_view cwd, std::string path)
{
    if (cwd.empty() || (!path.empty() && path[0] == '/'))
        return path;
    return std::string(cwd) + "/" + path;
}

// 0, ENOENT or EACCES.
int executable(const std::string &path)
{
    struct stat info;
    if (stat(path.c_str(), &info) < 0)
        return errno == EACCES ? EACCES : ENOENT;
    if (!S_ISREG(info.st_mode) || access(path.c_str(), X_OK) < 0)
        return EACCES;
    return 0;
}

} // namespace

std::string find_program(std::string_view program, const std::vector<std::string> &environment,
                         std::string_view cwd)
{
    if (program.empty())
        throw Error(ENOENT, "cannot run a command whose first word is empty");
    if (program.find('/') != program.npos) {
        std::string path(program);
        if (int errnum = executable(below(cwd, path)))
            throw Error(errnum, "cannot run {}: {}", program, errno_text(errnum));
        return path; // relative to the child's directory, which it enters first
    }
    std::string_view path = default_path;
    for (const auto &entry : environment)
        if (entry.starts_with("PATH="))
            path = std::string_view(entry).substr(5);
    int worst = ENOENT;
    while (true) {
        auto colon = path.find(':');
        auto directory = path.substr(0, colon);
        std::string candidate = directory.empty() ? std::string("./") : std::string(directory) + "/";
        candidate += program;
        int errnum = executable(below(cwd, candidate));
        if (!errnum)
            return candidate;
        if (errnum == EACCES)
            worst = EACCES;
        if (colon == path.npos)
            break;
        path.remove_prefix(colon + 1);
    }
    if (worst == EACCES)
        throw Error(EACCES, "cannot run {}: it is in PATH but not executable", program);
    throw Error(ENOENT, "cannot run {}: no such program in PATH", program);
}

} // namespace flux
