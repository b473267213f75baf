// The directories of a broker: rundir, where its sockets are, and statedir, where the leader keeps what must last
// (flux-broker-attributes(7)).
#pragma once
#include <optional>
#include <string>

#include "broker/attributes.hpp"

namespace flux {

// A directory that goes away with the broker, if the broker made it, or its attribute NAME-cleanup says so.
class OwnDirectory {
public:
    OwnDirectory() = default;
    // Attribute `name`: an existing directory is used (one with the sticky bit, like /tmp, gets a new one inside), a
    // missing one is made. Without a path there is a new one in $TMPDIR or /tmp. Sets the attribute to the path. Throws
    // why there can be none.
    OwnDirectory(Attributes &attributes, const std::string &name, std::optional<std::string> path);
    OwnDirectory(const OwnDirectory &) = delete;
    ~OwnDirectory();
    const std::string &path() const { return path_; }
    bool made() const { return made_; }

private:
    void make_inside(const std::string &parent, const std::string &name);
    std::string path_;
    bool made_ = false;
    bool remove_ = false;
};

} // namespace flux
