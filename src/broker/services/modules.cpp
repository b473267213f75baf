// module.load, module.remove, module.list.
#include "broker/broker.hpp"

namespace flux {

namespace {

Task<Json> load(Broker &broker, Request request)
{
    co_await broker.modules().load(
        request.get<std::string>("path"), request.find<std::string>("name").value_or(""),
        request.find<std::vector<std::string>>("args").value_or(std::vector<std::string>()));
    co_return Json();
}

Task<> remove_for(Broker &broker, std::string name, Promise<bool> done)
{
    std::optional<Error> failed;
    try {
        co_await broker.modules().remove(std::move(name));
    } catch (const Error &error) {
        failed = error;
    }
    if (failed)
        done.fail(*failed);
    else
        done.set(true);
}

// A module that has begun to stop comes to the end of that also when nobody waits for the answer any more.
Task<Json> remove(Broker &broker, Request request)
{
    Promise<bool> done(broker.handle().loop());
    auto removed = done.future();
    broker.handle().gate().spawn(remove_for(broker, request.get<std::string>("name"), std::move(done)));
    co_await removed;
    co_return Json();
}

} // namespace

void serve_modules(Broker &broker)
{
    auto &handle = broker.handle();
    handle.serve("module.load", role::none, Handle::CoroutineHandler([&broker](Request request) {
                     return load(broker, std::move(request));
                 }));
    handle.serve("module.remove", role::none, Handle::CoroutineHandler([&broker](Request request) {
                     return remove(broker, std::move(request));
                 }));
    handle.serve("module.list", role::user, Handle::PlainHandler([&broker](Request &) -> Json {
                     return Json {{"mods", broker.modules().list()}};
                 }));
}

} // namespace flux
