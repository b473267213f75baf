#include "cmd/commands.hpp"

#include <algorithm>

namespace flux::cmd {

const std::vector<CommandGroup> &command_groups()
{
    static const std::vector<CommandGroup> groups {
        {"Start an instance, and end it", {&start, &shutdown, &uptime, &startlog}},
        {"Submit jobs", {&run, &submit, &bulksubmit, &batch, &alloc, &proxy}},
        {"Watch and change jobs", {&jobs, &watch, &cancel, &job, &pgrep, &pkill, &update}},
        {"Queues and resources", {&queue, &resource, &housekeeping, &overlay, &hostlist}},
        {"Run programs beside jobs", {&exec, &sproc}},
        {"Store and tell", {&kvs, &archive, &content, &event, &logger, &dmesg}},
        {"Look inside", {&getattr, &setattr, &lsattr, &config, &module, &jobtap, &ping, &pmi}},
        {"About the commands", {&help, &version, &env, &completion}},
    };
    return groups;
}

const std::vector<const Command *> &all_commands()
{
    static const std::vector<const Command *> sorted = [] {
        std::vector<const Command *> out;
        for (const auto &group : command_groups())
            out.insert(out.end(), group.commands.begin(), group.commands.end());
        std::sort(out.begin(), out.end(), [](auto a, auto b) { return a->name < b->name; });
        return out;
    }();
    return sorted;
}

const Command *find_command(std::string_view name)
{
    auto found = std::ranges::find(all_commands(), name, &Command::name);
    return found == all_commands().end() ? nullptr : *found;
}

} // namespace flux::cmd
