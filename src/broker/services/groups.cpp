// groups.get (rank 0), groups.join, groups.leave, groups.update.
#include "broker/groups.hpp"

#include "broker/broker.hpp"

namespace flux {

namespace {
constexpr size_t max_group_name = 256; // bytes
}

Groups::Groups(Broker &broker) : broker_(broker), changed_(*broker.platform().loop) {}

void Groups::serve()
{
    auto &handle = broker_.handle();
    handle.serve("groups.get", role::user,
                 Handle::StreamHandler([this](Request request) { return get(std::move(request)); }));
    handle.serve("groups.join", role::none,
                 Handle::PlainHandler([this](Request &request) { return join_request(request); }));
    handle.serve("groups.leave", role::none,
                 Handle::PlainHandler([this](Request &request) { return leave_request(request); }));
    handle.serve("groups.update", role::none,
                 Handle::KeepingHandler([this](Request request) { update(std::move(request)); }));
    handle.on_disconnect([this](const RouteId &client) { forget(client); });
}

Idset Groups::members(std::string_view name) const
{
    auto found = groups_.find(name);
    return found == groups_.end() ? Idset() : found->second;
}

void Groups::change(const std::string &name, const Idset &join, const Idset &leave)
{
    auto &group = groups_[name];
    auto before = group;
    group |= join;
    group -= leave;
    if (group == before)
        return;
    changed_.notify_all();
    if (broker_.rank() != 0)
        tell_parent();
}

void Groups::join(const std::string &name)
{
    change(name, Idset {broker_.rank()}, {});
}

void Groups::leave(const std::string &name)
{
    change(name, {}, Idset {broker_.rank()});
}

void Groups::leave_all(uint32_t child_rank)
{
    auto gone = broker_.router().topology().subtree(child_rank);
    for (auto &[name, unused] : groups_)
        change(name, {}, gone);
}

// All that changed in one turn goes up in one message.
void Groups::tell_parent()
{
    if (std::exchange(telling_, true))
        return;
    broker_.handle().gate().spawn([](Groups &self) -> Task<> {
        co_await sleep_for(*self.broker_.platform().loop, Duration::zero());
        self.telling_ = false;
        if (!self.broker_.router().parent())
            co_return; // it hears of all when this broker has joined
        Json update = Json::object();
        for (auto &[name, members] : self.groups_) {
            auto &told = self.told_[name];
            Idset join = members - told, leave = told - members;
            if (!join.empty() || !leave.empty())
                update.set(name, Json {{"join", join.format()}, {"leave", leave.format()}});
            told = members;
        }
        if (!update.empty())
            self.broker_.handle().notify("groups.update", Json {{"update", update}},
                                         {.nodeid = self.broker_.rank(), .flags = message_flag::upstream});
    }(*this));
}

// A child that was lost while its update waited here has left every group already: what it said is out of date.
void Groups::update(Request request)
{
    auto *sender = broker_.router().peer(request.message().route.back());
    if (!sender)
        return;
    if (sender->kind != PeerKind::child)
        throw Error(EPERM, "groups.update is what a broker tells its parent: use groups.join and groups.leave");
    for (auto [name, change] : request.get<Json>("update").members())
        this->change(std::string(name), value_or_throw(Idset::parse(change.get<std::string>("join"))),
                     value_or_throw(Idset::parse(change.get<std::string>("leave"))));
    request.respond();
}

Task<> Groups::get(Request request)
{
    if (broker_.rank() != 0)
        throw Error(EPROTO, "groups.get goes to rank 0, this is rank {}", broker_.rank());
    auto name = request.get<std::string>("name");
    auto last = members(name);
    request.respond(Json {{"members", last.format()}});
    // A streaming request hears of every change until it is cancelled.
    while (request.is_streaming()) {
        co_await changed_.wait();
        if (auto now = members(name); now != last) {
            last = now;
            request.respond(Json {{"members", last.format()}});
        }
    }
}

Json Groups::join_request(Request &request)
{
    auto name = request.get<std::string>("name");
    if (name.empty() || name.size() > max_group_name)
        throw Error(EINVAL, "a group's name has 1 to {} bytes, this one {}", max_group_name, name.size());
    if (name.starts_with("broker."))
        throw Error(EINVAL, "group {}: names that begin with \"broker.\" are the broker's own", name);
    if (!clients_[name].insert(request.sender()).second)
        throw Error(EEXIST, "group {} was joined already", name);
    join(name);
    return {};
}

Json Groups::leave_request(Request &request)
{
    auto name = request.get<std::string>("name");
    auto found = clients_.find(name);
    if (found == clients_.end() || !found->second.erase(request.sender()))
        throw Error(ENOENT, "group {} was not joined", name);
    if (found->second.empty())
        leave(name);
    return {};
}

void Groups::forget(const RouteId &client)
{
    for (auto &[name, clients] : clients_)
        if (clients.erase(client) && clients.empty())
            leave(name);
}

} // namespace flux
