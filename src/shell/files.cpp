#include "shell/files.hpp"

#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/encoding.hpp"

namespace flux::shell {

namespace {

namespace fs = std::filesystem;

constexpr mode_t permissions = 07777;

[[noreturn]] void cannot_write(const std::string &path)
{
    throw Error(errno, "cannot write the job's file {}: {}", path, errno_text(errno));
}

fs::path checked(std::string_view name, const std::string &directory)
{
    fs::path path(name);
    bool inside = !path.empty() && path.is_relative();
    for (const auto &part : path)
        inside &= part != ".." && part != ".";
    if (!inside)
        throw Error(EINVAL,
                    "the job's file \"{}\" would not be in its temporary directory: give a plain name", name);
    return fs::path(directory) / path;
}

std::string content_of(std::string_view name, const Json &entry)
{
    auto encoding = entry.find<std::string>("encoding");
    Json data = entry["data"];
    if (!encoding) // JSON as it stands, or an empty file
        return data ? data.dump() + "\n" : std::string();
    if (*encoding == "utf-8")
        return entry.get<std::string>("data");
    if (*encoding == "base64")
        return value_or_throw(base64_decode(entry.get<std::string>("data")));
    throw Error(EINVAL, "the job's file \"{}\" has the encoding {}: utf-8 and base64 are known here", name,
                *encoding);
}

void write_file(const std::string &path, std::string_view content, mode_t mode)
{
    int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        cannot_write(path);
    while (!content.empty()) {
        ssize_t n = ::write(fd, content.data(), content.size());
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int errnum = errno;
            ::close(fd);
            errno = errnum;
            cannot_write(path);
        }
        content.remove_prefix(size_t(n));
    }
    ::fchmod(fd, mode & permissions);
    ::close(fd);
}

} // namespace

void extract_files(const Json &files, const std::string &directory)
{
    for (auto [name, entry] : files.members()) {
        fs::path path = checked(name, directory);
        std::error_code failed;
        fs::create_directories(path.parent_path(), failed);
        auto mode = entry.get<mode_t>("mode");
        if (S_ISDIR(mode)) {
            fs::create_directories(path, failed);
        } else if (S_ISLNK(mode)) {
            fs::create_symlink(entry.get<std::string>("data"), path, failed);
        } else if (S_ISREG(mode)) {
            write_file(path.string(), content_of(name, entry), mode);
        } else {
            throw Error(EINVAL, "the job's file \"{}\" is neither a file, a directory nor a link", name);
        }
        if (failed)
            throw Error(failed.value(), "cannot make the job's file {}: {}", path.string(), failed.message());
    }
}

} // namespace flux::shell
