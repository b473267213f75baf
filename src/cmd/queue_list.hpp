// flux queue list: queues with their limits and resources.
#pragma once
#include "cmd/command.hpp"

namespace flux::cmd {

std::vector<std::string> queue_names(Session &flux);          // empty: only the anonymous queue
Json status_of_queue(Session &flux, const std::string &name); // "" is the anonymous queue
int list_queues(const Args &args, Session &flux, const std::vector<std::string> &names);

} // namespace flux::cmd
