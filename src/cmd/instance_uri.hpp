// Where another instance is: the parent, a job that is an instance.
#pragma once
#include <string>
#include <sys/types.h>

#include "cmd/command.hpp"

namespace flux::cmd {

// "local://PATH" of a URI that is local, or of "ssh://HOST/PATH" when HOST is this one. EHOSTUNREACH
// otherwise.
std::string local_uri(const std::string &uri);
// The URI of a running job that is an instance; "ID/ID/..." goes further down. ENOENT or EINVAL says why not.
std::string job_uri(Session &flux, const std::string &jobs);
// The session that TARGET of a command names: a URI, or a job as above; FLUX_URI when it is empty.
std::string target_uri(const std::string &target);

// Runs a program (a shell, when it is empty) whose flux commands talk to that instance; its exit code.
int run_in_instance(const std::string &uri, std::vector<std::string> command);
// The same without waiting for its end. From now on this process ignores SIGINT, SIGHUP and SIGQUIT.
pid_t start_in_instance(const std::string &uri, std::vector<std::string> command);

} // namespace flux::cmd
