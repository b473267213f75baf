// follow_service: one conversation after another with a service of this broker that may be unloaded and
// loaded again while whoever needs it stays. Who keeps something that the service knows of (jobs that run,
// resources in use) tells it anew each time; who follows what the service tells takes it up again.
//
//     std::function<Task<>()> meet = [this] { return meet_job_manager(); };
//     std::function<void()> gone = [this] { job_manager_gone(); };
//     co_await follow_service(handle(), "job-manager", meet, gone);
//
// The broker says when the service is there (service.watch): nobody asks again and again.
#pragma once
#include "common/client/handle.hpp"

namespace flux {

// Runs `converse` whenever the service is there (again). It may return as soon as everything is said, or last
// until the service goes: that ends it by an error, ENOSYS or ECANCELED, which is none here. Any other error
// ends the following. `gone` is called when the service is not there: at the beginning, or when it has gone.
// Each of `converse` and `gone` comes to its end before the next one is called.
Task<> follow_service(Handle &handle, std::string service, std::function<Task<>()> converse,
                      std::function<void()> gone = {});

} // namespace flux
