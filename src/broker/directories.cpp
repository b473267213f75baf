#include "broker/directories.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace flux {

OwnDirectory::OwnDirectory(Attributes &attributes, const std::string &name, std::optional<std::string> path)
    : path_(path.value_or(""))
{
    struct stat info {};
    bool exists = path && stat(path_.c_str(), &info) == 0;
    if (exists && !S_ISDIR(info.st_mode))
        throw Error(ENOTDIR, "{} {} is not a directory: choose another with -S{}=PATH", name, path_, name);
    if (!path) {
        const char *parent = std::getenv("TMPDIR");
        make_inside(parent && *parent ? parent : "/tmp", name);
    } else if (exists && (info.st_mode & S_ISVTX)) {
        make_inside(path_, name);
    } else if (exists) {
        if (info.st_uid != geteuid())
            throw Error(EPERM, "{} {} belongs to user {}, not to the one who starts this instance", name,
                        path_, info.st_uid);
    } else {
        if (mkdir(path_.c_str(), 0700) != 0)
            throw Error(errno, "cannot make the {} {}: {}", name, path_, errno_text(errno));
        made_ = true;
    }
    attributes.set(name, path_);
    auto cleanup = attributes.get(name + "-cleanup");
    remove_ = cleanup ? *cleanup == "1" : made_;
    attributes.set(name + "-cleanup", remove_ ? "1" : "0");
}

void OwnDirectory::make_inside(const std::string &parent, const std::string &name)
{
    path_ = parent + "/flux-XXXXXX";
    if (!mkdtemp(path_.data()))
        throw Error(errno, "cannot make a directory {} for {}: {}", path_, name, errno_text(errno));
    made_ = true;
}

OwnDirectory::~OwnDirectory()
{
    std::error_code ignored;
    if (remove_)
        std::filesystem::remove_all(path_, ignored);
}

} // namespace flux
