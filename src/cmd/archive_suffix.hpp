// The archives that flux dump writes and flux restore reads, told by the name of the file.
#pragma once
#include <algorithm>
#include <string_view>

namespace flux::cmd {

inline constexpr std::string_view archive_suffixes[] = {
    ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".zip", ".jar", ".7z", ".cpio", ".iso", ".a", ".ar"};
inline constexpr const char *unknown_suffix =
    "{}: the suffix says no archive format that is known: use .tar, .tgz, "
    ".tar.bz2, .tar.xz, .zip, .cpio or .iso";

inline bool names_archive(std::string_view path)
{
    return std::ranges::any_of(archive_suffixes,
                               [=](std::string_view suffix) { return path.ends_with(suffix); });
}

} // namespace flux::cmd
