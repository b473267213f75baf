// Keys of the KVS as paths in an archive: dots become slashes, and a slash that is part of a name "%2F".
#pragma once
#include <string>

namespace flux::cmd {

inline std::string path_of_key(const std::string &key)
{
    std::string out;
    for (char c : key)
        out += c == '.' ? "/" : c == '/' ? "%2F" : std::string(1, c);
    return out;
}

// One part of such a path.
inline std::string name_of_part(std::string part)
{
    for (size_t at = 0; (at = part.find("%2F", at)) != std::string::npos; at++)
        part.replace(at, 3, "/");
    return part;
}

} // namespace flux::cmd
