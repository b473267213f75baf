// What flux module trace and flux overlay trace share: options, and a line for each message as it is told.
#pragma once
#include "cmd/command.hpp"

namespace flux::cmd {

std::vector<Option> trace_options();
// service: "module" or "overlay"; peers: only those (module names, ranks), all when there are none; topic: a
// glob, or empty. Until it is interrupted.
int show_trace(const Args &args, Session &flux, const std::string &service,
               const std::vector<std::string> &peers, const std::string &topic);

} // namespace flux::cmd
