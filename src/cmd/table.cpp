#include "cmd/commands.hpp"

namespace flux::cmd {

const std::vector<const Command *> &all_commands()
{
    static const std::vector<const Command *> table {
        &cancel,   &dmesg, &env,     &event,    &exec,   &getattr, &help,   &job,
        &jobs,     &kvs,   &logger,  &lsattr,   &module, &overlay, &ping,   &pmi,  &queue,
        &resource, &run,   &setattr, &shutdown, &start,  &submit,  &uptime, &version,
    };
    return table;
}

} // namespace flux::cmd
