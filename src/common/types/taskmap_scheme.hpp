// TaskmapScheme: how a job's tasks are spread over its nodes, as --taskmap=SCHEME[:VALUE] and the shell
// option "taskmap" say it.
#pragma once
#include "common/types/taskmap.hpp"

namespace flux {

struct TaskmapScheme {
    enum class Kind { block, cyclic, manual, hostfile };
    Kind kind = Kind::block;
    uint32_t stride = 1; // cyclic: tasks at a time
    Taskmap map;         // manual
    std::string path;    // hostfile: a host name a line

    // EINVAL with a sentence that begins with the scheme.
    static Expected<TaskmapScheme> parse(std::string_view scheme, const std::string &value);
};

} // namespace flux
