#include "broker/router.hpp"

#include <algorithm>

#include "common/message/codec.hpp"

namespace flux {

Router::PeerState *Router::find(const RouteId &id)
{
    auto found = peers_.find(id);
    return found == peers_.end() ? nullptr : found->second.get();
}

const Peer *Router::peer(const RouteId &id) const
{
    auto found = peers_.find(id);
    return found == peers_.end() ? nullptr : &found->second->peer;
}

Router::PeerState *Router::local_service(std::string_view name)
{
    auto service = services_.find(name);
    return service == services_.end() ? nullptr : find(service->second);
}

void Router::add_peer(Peer peer)
{
    auto id = peer.id;
    auto [at, added] = peers_.try_emplace(id, std::make_unique<PeerState>());
    if (!added)
        throw Error(EEXIST, "a peer with the identity {} is already connected", id.text());
    auto *state = at->second.get();
    state->peer = std::move(peer);
    if (state->peer.kind == PeerKind::parent) {
        parent_ = &state->peer;
        parent_state_ = state;
    } else if (state->peer.kind == PeerKind::child) {
        children_[state->peer.rank] = state;
    }
}

void Router::remove_peer(const RouteId &id)
{
    auto found = peers_.extract(id);
    if (!found)
        return;
    auto state = std::move(found.mapped());
    if (parent_state_ == state.get()) {
        parent_state_ = nullptr;
        parent_ = nullptr;
    }
    if (auto child = children_.find(state->peer.rank);
        child != children_.end() && child->second == state.get())
        children_.erase(child);
    std::erase(listeners_, state.get());
    auto served = services_of(id);
    for (const auto &name : served)
        services_.erase(name);

    bool module = state->peer.kind == PeerKind::module || state->peer.kind == PeerKind::client;
    for (auto &[key, request] : state->expected) {
        note_answered(request);
        refuse(request, module ? Error(ENOSYS, "No service matching {} is registered", request.topic)
                               : Error(EHOSTUNREACH, "the connection to rank {} was lost", state->peer.rank));
    }
    for (auto &[service, nodeid] : state->used_services)
        send_disconnect(id, service, nodeid);
    if (state->peer.kind == PeerKind::child)
        disconnect_senders_beyond(id);
    if (on_service_)
        for (const auto &name : served)
            on_service_(name, false);
}

void Router::send_disconnect(const RouteId &sender, const std::string &service, uint32_t nodeid)
{
    auto request = Message::request(service + ".disconnect", {}, nodeid);
    request.flags = message_flag::noresponse;
    request.credentials = {userid_unknown, role::owner};
    request.route.push_back(sender);
    route_request(sender, std::move(request));
}

// Whoever asked through a broker that is gone cannot be answered: what it left open here or further on ends.
void Router::disconnect_senders_beyond(const RouteId &child)
{
    std::set<std::tuple<RouteId, std::string, uint32_t>> left;
    for (auto &[id, peer] : peers_)
        std::erase_if(peer->expected, [&](const auto &entry) {
            auto &request = entry.second;
            if (std::ranges::find(request.route, child) == request.route.end())
                return false;
            left.emplace(request.sender(), request.service(),
                         request.has(message_flag::upstream) ? nodeid_any : request.nodeid);
            return true;
        });
    for (auto &[sender, service, nodeid] : left)
        send_disconnect(sender, service, nodeid);
}

void Router::add_service(const std::string &name, const RouteId &owner)
{
    if (name.size() > max_service_length)
        throw Error(EINVAL, "a service's name has at most {} bytes, this one {}", max_service_length,
                    name.size());
    if (!find(owner))
        throw Error(ENOENT, "service {}: its provider is not connected", name);
    if (!services_.emplace(name, owner).second)
        throw Error(EEXIST, "a service named {} is already registered on this broker", name);
    if (on_service_)
        on_service_(name, true);
}

void Router::remove_service(const std::string &name, const RouteId &owner)
{
    auto found = services_.find(name);
    if (found == services_.end())
        throw Error(ENOENT, "no service named {} is registered on this broker", name);
    if (found->second != owner)
        throw Error(EPERM, "the service {} belongs to somebody else", name);
    services_.erase(found);
    if (on_service_)
        on_service_(name, false);
}

std::vector<std::string> Router::services_of(const RouteId &owner) const
{
    std::vector<std::string> names;
    for (auto &[name, id] : services_)
        if (id == owner)
            names.push_back(name);
    return names;
}

void Router::subscribe(const RouteId &id, const std::string &prefix)
{
    auto *state = find(id);
    if (!state)
        return;
    if (prefix.size() > max_topic_length)
        throw Error(EINVAL, "a subscription's topic has at most {} bytes, this one {}", max_topic_length,
                    prefix.size());
    if (state->peer.kind == PeerKind::client && state->subscriptions.size() >= max_subscriptions &&
        !state->subscriptions.contains(prefix))
        throw Error(ENOSPC,
                    "this client has {} subscriptions, more are not possible: a shorter topic matches all "
                    "events that start with it",
                    state->subscriptions.size());
    if (state->subscriptions.empty())
        listeners_.push_back(state);
    state->subscriptions[prefix]++;
}

void Router::unsubscribe(const RouteId &id, const std::string &prefix)
{
    auto *state = find(id);
    auto found = state ? state->subscriptions.find(prefix) : std::map<std::string, int>::iterator();
    if (!state || found == state->subscriptions.end())
        throw Error(ENOENT, "there is no subscription to \"{}\"", prefix);
    if (--found->second == 0)
        state->subscriptions.erase(found);
    if (state->subscriptions.empty())
        std::erase(listeners_, state);
}

void Router::receive(const RouteId &from, Message message)
{
    switch (message.type) {
    case MessageType::request:
        message.route.push_back(from);
        route_request(from, std::move(message));
        break;
    case MessageType::response:
        route_response(from, std::move(message));
        break;
    case MessageType::event:
        route_event(from, std::move(message));
        break;
    case MessageType::control:
        break; // between direct peers: the overlay has dealt with it
    }
}

void Router::route_request(const RouteId &from, Message request)
{
    uint32_t here = topology_.rank();
    // The next broker would take more hops for garbage, and end the link.
    if (request.route.size() > max_route_hops)
        return refuse(request,
                      Error(ELOOP, "the request {} has come through more than {} brokers and clients",
                            request.topic.substr(0, max_service_length), max_route_hops));
    if (request.service().size() > max_service_length)
        return refuse(request, Error(ENOSYS, "a service's name has at most {} bytes, this one {}",
                                     max_service_length, request.service().size()));
    bool upstream = request.has(message_flag::upstream) && request.nodeid != nodeid_any;
    bool any = request.nodeid == nodeid_any;
    auto deliver = [&](PeerState &to) {
        auto *sender = find(from);
        bool local = sender && sender->peer.kind <= PeerKind::client;
        if (local && sender->peer.kind == PeerKind::client && sender->under_way >= max_under_way)
            return refuse(request, Error(EAGAIN,
                                         "this client has {} requests under way, more are not possible: wait for "
                                         "answers, or connect once more",
                                         max_under_way));
        if (local && !note_use(*sender, request.service(), upstream ? nodeid_any : request.nodeid))
            return refuse(request, Error(ENOSPC,
                                         "this client has used {} services, more are not possible: connect "
                                         "once more for others",
                                         max_used_services));
        deliver_request(to, std::move(request));
    };

    if (any || (upstream && request.nodeid != here) || (!upstream && request.nodeid == here)) {
        if (auto *service = local_service(request.service()))
            return deliver(*service);
    }
    if (any || upstream) {
        if (parent_state_)
            return deliver(*parent_state_);
        return refuse(request, Error(ENOSYS, "No service matching {} is registered", request.topic));
    }
    if (request.nodeid == here)
        return refuse(request, Error(ENOSYS, "No service matching {} is registered", request.topic));
    if (request.nodeid >= topology_.size())
        return refuse(request, Error(EHOSTUNREACH, "there is no rank {}: this instance has {} brokers",
                                     request.nodeid, topology_.size()));
    PeerState *next = parent_state_;
    if (auto child = topology_.child_toward(request.nodeid)) {
        auto found = children_.find(*child);
        next = found == children_.end() ? nullptr : found->second;
    }
    if (!next)
        return refuse(request,
                      Error(EHOSTUNREACH, "rank {} cannot be reached from rank {}", request.nodeid, here));
    deliver(*next);
}

bool Router::note_use(PeerState &peer, std::string_view service, uint32_t nodeid)
{
    if (peer.used_services.contains(UseView {service, nodeid}))
        return true;
    if (peer.peer.kind == PeerKind::client && peer.used_services.size() >= max_used_services)
        return false;
    peer.used_services.insert({std::string(service), nodeid});
    return true;
}

void Router::expect(PeerState &to, const Message &request)
{
    Message remembered = request;
    remembered.payload = {};
    auto [at, fresh] =
        to.expected.insert_or_assign(Origin {request.sender(), request.matchtag}, std::move(remembered));
    if (auto *from = fresh ? find(request.route.back()) : nullptr)
        from->under_way++;
}

void Router::note_answered(const Message &request)
{
    if (auto *from = find(request.route.back()))
        from->under_way--;
}

void Router::deliver_request(PeerState &to, Message request)
{
    if (request.wants_response())
        expect(to, request);
    if (to.peer.kind == PeerKind::child || to.peer.kind == PeerKind::parent)
        request.credentials.rolemask &= ~role::local;
    to.peer.send(std::move(request));
}

void Router::refuse(const Message &request, const Error &error)
{
    if (!request.wants_response())
        return;
    auto response = Message::error_response_to(request, error);
    response.credentials = {userid_unknown, role::owner}; // clients ignore what comes from nobody
    pass_back(std::move(response));
}

// Only whoever was asked answers, and to nobody but who asked: else anybody could answer for a service.
void Router::route_response(const RouteId &from, Message response)
{
    auto *sender = find(from);
    if (!sender)
        return;
    auto expected = sender->expected.find(Origin {response.sender(), response.matchtag});
    if (expected == sender->expected.end() || expected->second.route != response.route)
        return;
    if (response.errnum != 0 || !response.has(message_flag::streaming)) {
        note_answered(expected->second);
        sender->expected.erase(expected);
    }
    pass_back(std::move(response));
}

void Router::pass_back(Message response)
{
    if (response.route.empty())
        return;
    auto *next = find(response.route.back());
    if (!next)
        return; // whoever asked is gone
    response.route.pop_back();
    next->peer.send(std::move(response));
}

void Router::route_event(const RouteId &from, Message event)
{
    if (parent_state_ && from == parent_state_->peer.id) {
        event_sequence_ = event.sequence;
        return distribute(event);
    }
    if (event.route.empty())
        event.route.push_back(from); // of an event, the route names its publisher
    try {
        publish(std::move(event));
    } catch (const Error &) {
        // An event is answered by nobody: what is none goes nowhere.
    }
}

void Router::publish(Message event)
{
    require_encodable(event);
    if (parent_state_)
        parent_state_->peer.send(std::move(event));
    else if (topology_.rank() == 0)
        publish_at_root(std::move(event));
}

uint32_t Router::publish_at_root(Message event)
{
    FLUX_ASSERT(topology_.rank() == 0);
    require_encodable(event);
    event.sequence = ++event_sequence_;
    distribute(event);
    return event.sequence;
}

void Router::distribute(const Message &event)
{
    for (auto &[rank, child] : children_)
        child->peer.send(event);
    for (auto *listener : listeners_)
        for (auto &[prefix, count] : listener->subscriptions)
            if (event.matches(prefix)) {
                listener->peer.send(event);
                break;
            }
}

} // namespace flux
