// The directories of a broker: rundir, where its sockets are, and statedir, where the leader keeps what must last
// (flux-broker-attributes(7)).
#pragma once
#include <string>

#include "broker/attributes.hpp"

namespace flux {

// A directory that goes away with the broker, if the broker made it, or its attribute NAME-cleanup says so.
class OwnDirectory {
public:
    OwnDirectory() = default;
    // Attribute `name`: an existing directory is used (one with the sticky bit, like /tmp, gets a new one inside), a
    // missing one is made. Sets the attribute to the path. Throws why there can be none.
    OwnDirectory(Attributes &attributes, const std::string &name, std::string path);
    OwnDirectory(const OwnDirectory &) = delete;
    ~OwnDirectory();
    const std::string &path() const { return path_; }
    bool made() const { return made_; }

private:
    std::string path_;
    bool made_ = false;
    bool remove_ = false;
};

// $TMPDIR or /tmp.
std::string temporary_directory();

} // namespace flux
