// The files that a jobspec carries (attributes.system.files, in the form of RFC 37): a batch script, a
// configuration, what --add-file took along. They are put into the job's temporary directory before its tasks
// start.
#pragma once
#include <string>

#include "common/json/json.hpp"

namespace flux::shell {

// Throws Error that names the file: EINVAL for a name that leads out of the directory or an unknown encoding,
// else the errno of the system.
void extract_files(const Json &files, const std::string &directory);

} // namespace flux::shell
