#include "common/client/follow_service.hpp"

namespace flux {

namespace {

Task<> converse_once(const std::function<Task<>()> &converse)
{
    try {
        co_await converse();
    } catch (const Error &error) {
        if (error.errnum() != ENOSYS && error.errnum() != ECANCELED)
            throw;
    }
}

} // namespace

Task<> follow_service(Handle &handle, std::string service, std::function<Task<>()> converse,
                      std::function<void()> gone)
{
    Json args {{"service", service}};
    auto watch = handle.stream("service.watch", args, {}, "service.watch-cancel");
    while (auto news = co_await watch.next()) {
        bool there = news->json().get<bool>("there");
        if (there)
            co_await converse_once(converse);
        else if (gone)
            gone();
    }
}

} // namespace flux
