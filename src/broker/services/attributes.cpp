// attr.get, attr.list, attr.set, attr.rm: the broker's attributes.
#include "broker/broker.hpp"

namespace flux {

void serve_attributes(Broker &broker)
{
    auto &handle = broker.handle();
    handle.serve("attr.get", role::any, Handle::PlainHandler([&broker](Request &request) -> Json {
                     auto name = request.get<std::string>("name");
                     auto *value = broker.attributes().find(name);
                     if (!value)
                         throw Error(ENOENT, "there is no attribute {}", name);
                     return Json {{"value", value->text}, {"flags", value->flags}};
                 }));
    handle.serve("attr.list", role::any, Handle::PlainHandler([&broker](Request &) -> Json {
                     Json names = Json::array();
                     for (auto &[name, value] : broker.attributes().all())
                         names.append(name);
                     return Json {{"names", names}};
                 }));
    handle.serve("attr.set", role::none, Handle::PlainHandler([&broker](Request &request) -> Json {
                     broker.attributes().change(request.get<std::string>("name"),
                                                request.get<std::string>("value"));
                     return {};
                 }));
    handle.serve("attr.rm", role::none, Handle::PlainHandler([&broker](Request &request) -> Json {
                     broker.attributes().remove(request.get<std::string>("name"));
                     return {};
                 }));
}

} // namespace flux
