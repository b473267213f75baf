#include "broker/module_actor.hpp"

#include <sys/resource.h>

namespace flux {

namespace {

int rusage_target(const std::string &who)
{
    if (who == "self")
        return RUSAGE_SELF;
    if (who == "children")
        return RUSAGE_CHILDREN;
    if (who == "thread")
        return RUSAGE_THREAD;
    throw Error(EINVAL, "rusage: \"{}\" is none of self, children, thread", who);
}

double in_seconds(const timeval &time)
{
    return double(time.tv_sec) + double(time.tv_usec) * 1e-6;
}

// {"who"?}: what getrusage(2) says of the process, of those that it waited for, or of the module's thread.
Json resource_usage(Request &request)
{
    rusage usage {};
    if (::getrusage(rusage_target(request.find<std::string>("who").value_or("self")), &usage) != 0)
        throw Error(errno);
    return Json {{"utime", in_seconds(usage.ru_utime)}, {"stime", in_seconds(usage.ru_stime)},
                 {"maxrss", usage.ru_maxrss},           {"ixrss", usage.ru_ixrss},
                 {"idrss", usage.ru_idrss},             {"isrss", usage.ru_isrss},
                 {"minflt", usage.ru_minflt},           {"majflt", usage.ru_majflt},
                 {"nswap", usage.ru_nswap},             {"inblock", usage.ru_inblock},
                 {"oublock", usage.ru_oublock},         {"msgsnd", usage.ru_msgsnd},
                 {"msgrcv", usage.ru_msgrcv},           {"nsignals", usage.ru_nsignals},
                 {"nvcsw", usage.ru_nvcsw},             {"nivcsw", usage.ru_nivcsw}};
}

} // namespace

ModuleActor::ModuleActor(Setup setup)
    : setup_(std::move(setup)), handle_(*setup_.platform.loop, [this](Message message) { setup_.send(std::move(message)); })
{
}

Task<> ModuleActor::start()
{
    // Before the module is made: one that serves it itself has its own way.
    handle_.serve(name() + ".config-reload", role::owner,
                  Handle::PlainHandler([this](Request &request) { return reload_config(request); }));
    module_ = setup_.info->make(*this);
    handle_.serve(name() + ".stats-get", role::any,
                  Handle::PlainHandler([this](Request &) { return module_->stats(); }));
    handle_.serve(name() + ".debug", role::none,
                  Handle::PlainHandler([this](Request &request) { return change_debug_flags(request); }));
    handle_.serve(name() + ".rusage", role::user, Handle::PlainHandler(resource_usage));
    handle_.serve(name() + ".ping", role::user,
                  Handle::PlainHandler([this](Request &request) { return setup_.answer_ping(request); }));
    co_await module_->start();
    running_ = true;
    for (auto &message : std::exchange(waiting_, {}))
        handle_.receive(std::move(message));
}

Json ModuleActor::reload_config(const Request &request)
{
    Json before = std::exchange(setup_.config, request.json());
    try {
        module_->config_changed();
    } catch (...) {
        setup_.config = before;
        throw;
    }
    return {};
}

// {"op": "setbit"|"clrbit"|"set"|"clr", "flags"} -> {"flags"}; without op they stay as they are.
Json ModuleActor::change_debug_flags(const Request &request)
{
    auto op = request.find<std::string>("op").value_or("");
    uint32_t flags = op.empty() || op == "clr" ? 0 : request.get<uint32_t>("flags");
    if (op == "setbit")
        debug_flags_ |= flags;
    else if (op == "clrbit")
        debug_flags_ &= ~flags;
    else if (op == "set" || op == "clr")
        debug_flags_ = flags;
    else if (!op.empty())
        throw Error(EINVAL, "op: \"{}\" is none of setbit, clrbit, set, clr", op.substr(0, 60));
    return Json {{"flags", debug_flags_}};
}

Task<> ModuleActor::stop()
{
    co_await module_->stop();
}

void ModuleActor::receive(Message message)
{
    if (running_ || message.is_response())
        handle_.receive(std::move(message));
    else
        waiting_.push_back(std::move(message));
}

} // namespace flux
