#include "broker/overlay.hpp"

#include "broker/groups.hpp"
#include "broker/tbon_setting.hpp"

namespace flux {

namespace {

constexpr const char *hello_topic = "overlay.hello";
constexpr Duration shortest_check = std::chrono::milliseconds(100); // between two looks at who is torpid

} // namespace

std::string_view status_name(SubtreeStatus status)
{
    static constexpr std::string_view names[] = {"full", "partial", "degraded", "lost", "offline"};
    return names[size_t(status)];
}

const std::vector<std::string> &Overlay::inherited_attributes()
{
    static const std::vector<std::string> names {"hostlist",   "broker.mapping", "instance-level", "jobid",
                                                 "jobid-path", "content.hash",   "broker.starttime"};
    return names;
}

OverlayLimits OverlayLimits::from(const Attributes &attributes, const Json &config)
{
    OverlayLimits limits;
    limits.torpid_min = tbon_duration(attributes, config, "torpid_min", limits.torpid_min);
    limits.torpid_max = tbon_duration(attributes, config, "torpid_max", limits.torpid_max);
    return limits;
}

Overlay::Overlay(Broker &broker, std::unique_ptr<Links> links, OverlayLimits limits)
    : broker_(broker), links_(std::move(links)), limits_(limits), since_(broker.platform().loop->now()),
      changed_(std::make_shared<Condition>(*broker.platform().loop))
{
    for (uint32_t rank : broker.router().topology().children())
        children_.push_back({rank, SubtreeStatus::offline, since_});
    told_ = status();
    serve();
    if (links_)
        links_->set_receiver(this);
    if (links_ && limits_.torpid_min > Duration::zero())
        keep_alive();
}

Overlay::~Overlay()
{
    if (links_)
        links_->set_receiver(nullptr);
    // The router is told, and what it still has to say goes nowhere.
    links_.reset();
    if (parent_id_)
        broker_.router().remove_peer(*parent_id_);
    for (auto &[id, child] : connected_)
        broker_.router().remove_peer(id);
}

// --- the way up

Task<> Overlay::join()
{
    auto parent = broker_.router().topology().parent();
    if (!parent)
        co_return;
    auto hello = Message::request(hello_topic, Json {{"rank", broker_.rank()},
                                                     {"version", broker_.attributes().get("version").value_or("")}});
    hello.matchtag = 1;
    hello.credentials = {broker_.owner(), role::owner};
    send_to_parent(hello);
    while (!hello_answer_ && !parent_lost_)
        co_await changed_->wait();
    if (!hello_answer_)
        throw Error(ECONNRESET, "the link to rank {} was lost before it took this broker in: {}", *parent,
                    *parent_lost_);
    auto answer = value_or_throw(std::move(*hello_answer_));
    parent_id_ = RouteId(answer.json().get<std::string>("uuid"));
    for (auto [name, value] : answer.json()["attributes"].members())
        broker_.attributes().set(std::string(name), value.as<std::string>(), Attributes::immutable);
    if (Json config = answer.json()["config"])
        broker_.set_config(config);
    broker_.router().add_peer(
        {*parent_id_, PeerKind::parent, [this](Message message) { send_to_parent(message); }, *parent});
    tell_parent_status();
    broker_.groups().parent_joined();
}

void Overlay::trace(std::optional<uint32_t> peer, Tracer::Way way, const Message &message)
{
    broker_.overlay_tracer().note(std::to_string(peer ? *peer : *broker_.router().topology().parent()), way,
                                  message);
}

void Overlay::from_parent(Message message)
{
    if (tracing()) [[unlikely]]
        trace({}, Tracer::Way::received, message);
    if (!parent_id_) {
        if (message.is_response() && message.topic == hello_topic) {
            hello_answer_ = message.errnum ? Expected<Message>(std::unexpected(message.to_error()))
                                           : Expected<Message>(std::move(message));
            changed_->notify_all();
        }
        return;
    }
    if (message.type == MessageType::control) {
        if (message.control_type == uint32_t(overlay_control::disconnect))
            parent_lost("the parent ended the link");
        return;
    }
    broker_.router().receive(*parent_id_, std::move(message));
}

void Overlay::parent_lost(const std::string &why)
{
    if (parent_lost_ || leaving_)
        return;
    parent_lost_ = why;
    if (parent_id_) {
        broker_.log(LogLevel::crit, "overlay",
                    fmt::format("lost the parent, rank {}: {}", *broker_.router().topology().parent(), why));
        broker_.router().remove_peer(*parent_id_);
    }
    changed_->notify_all();
}

void Overlay::send_to_parent(const Message &message)
{
    last_sent_ = broker_.platform().loop->now();
    if (tracing()) [[unlikely]]
        trace({}, Tracer::Way::sent, message);
    if (links_)
        links_->send_to_parent(message);
}

void Overlay::send_to_child(const RouteId &id, uint32_t rank, const Message &message)
{
    if (tracing()) [[unlikely]]
        trace(rank, Tracer::Way::sent, message);
    if (links_)
        links_->send_to_child(id, message);
}

void Overlay::leave()
{
    if (!links_ || std::exchange(leaving_, true))
        return;
    keepalive_.cancel();
    if (parent_id_ && !parent_lost_) {
        send_to_parent(Message::control(uint32_t(overlay_control::goodbye), 0));
        broker_.router().remove_peer(*parent_id_);
    }
    links_->close();
}

// --- the way down

Overlay::Child *Overlay::child_of_rank(uint32_t rank)
{
    auto found = std::ranges::lower_bound(children_, rank, {}, &Child::rank);
    return found != children_.end() && found->rank == rank ? &*found : nullptr;
}

void Overlay::admit_children()
{
    admitting_ = true;
    for (auto &[id, hello] : std::exchange(waiting_, {}))
        admit(id, hello);
}

void Overlay::from_child(const RouteId &id, Message message)
{
    auto found = connected_.find(id);
    if (found == connected_.end())
        return hello(id, std::move(message));
    auto &child = *found->second;
    if (tracing()) [[unlikely]]
        trace(child.rank, Tracer::Way::received, message);
    child.last_heard = broker_.platform().loop->now();
    if (child.torpid)
        set_torpid(child, false);
    if (message.type == MessageType::control)
        return control(child, message);
    broker_.router().receive(id, std::move(message));
}

void Overlay::hello(const RouteId &id, Message message)
{
    if (!message.is_request() || message.topic != hello_topic || leaving_)
        return; // the rest of a child that was dropped, or a stranger
    if (admitting_)
        admit(id, message);
    else
        waiting_.emplace_back(id, std::move(message));
}

void Overlay::admit(const RouteId &id, const Message &hello)
{
    auto refuse = [&](const Error &error) {
        broker_.log(LogLevel::err, "overlay", fmt::format("refused {}: {}", id.text(), error.text()));
        links_->send_to_child(id, Message::error_response_to(hello, error));
    };
    try {
        auto rank = hello.json().get<uint32_t>("rank");
        auto version = hello.json().get<std::string>("version");
        auto own_version = broker_.attributes().get("version").value_or("");
        auto *child = child_of_rank(rank);
        if (!child)
            return refuse(Error(EINVAL, "rank {} is no child of rank {} in this tree: do all brokers have the same "
                                        "configuration?",
                                rank, broker_.rank()));
        if (version != own_version)
            return refuse(Error(EINVAL, "rank {} runs version {}, its parent runs {}", rank, version, own_version));
        if (child->id) { // it came back before its old link was noticed to be dead
            auto old = *child->id;
            remove_child(*child, SubtreeStatus::lost, "replaced by a new connection of the same rank");
            links_->drop_child(old);
        }
        child->id = id;
        child->error.clear();
        child->last_heard = broker_.platform().loop->now();
        connected_[id] = child;
        Json attributes = Json::object();
        for (auto &name : inherited_attributes())
            if (auto value = broker_.attributes().get(name))
                attributes.set(name, *value);
        Json answer {{"uuid", *broker_.attributes().get("broker.uuid")}, {"attributes", attributes}};
        if (broker_.config_changed())
            answer.set("config", broker_.config());
        send_to_child(id, rank, Message::response_to(hello, answer));
        broker_.router().add_peer({id, PeerKind::child,
                                   [this, id, rank](Message message) { send_to_child(id, rank, message); },
                                   rank});
        set_status(*child, SubtreeStatus::partial); // until it says more
    } catch (const Error &error) {
        refuse(error);
    }
}

void Overlay::control(Child &child, const Message &message)
{
    switch (overlay_control(message.control_type)) {
    case overlay_control::status:
        if (message.control_status <= uint32_t(SubtreeStatus::degraded))
            set_status(child, SubtreeStatus(message.control_status));
        break;
    case overlay_control::goodbye: {
        auto id = *child.id;
        remove_child(child, SubtreeStatus::offline, "");
        links_->drop_child(id);
        break;
    }
    case overlay_control::keepalive:
    case overlay_control::disconnect:
        break;
    }
}

void Overlay::child_lost(const RouteId &id, const std::string &why)
{
    std::erase_if(waiting_, [&](const auto &entry) { return entry.first == id; });
    auto found = connected_.find(id);
    if (found == connected_.end())
        return;
    auto &child = *found->second;
    broker_.log(LogLevel::err, "overlay", fmt::format("lost rank {}: {}", child.rank, why));
    // It may be there still, and have said what is no message: then it hears that it is on its own.
    send_to_child(id, child.rank, Message::control(uint32_t(overlay_control::disconnect), 0));
    remove_child(child, SubtreeStatus::lost, "lost connection");
}

void Overlay::remove_child(Child &child, SubtreeStatus status, const std::string &why)
{
    auto id = *std::exchange(child.id, std::nullopt);
    child.error = why;
    child.torpid = false;
    connected_.erase(id);
    broker_.router().remove_peer(id);
    broker_.groups().leave_all(child.rank);
    set_status(child, status);
}

void Overlay::disconnect(uint32_t child_rank)
{
    auto *child = child_of_rank(child_rank);
    if (!child || !child->id)
        throw Error(ENOENT, "rank {} is not a connected child of rank {}", child_rank, broker_.rank());
    auto id = *child->id;
    links_->send_to_child(id, Message::control(uint32_t(overlay_control::disconnect), 0));
    remove_child(*child, SubtreeStatus::lost, "administratively disconnected");
    links_->drop_child(id);
}

// --- how the subtree is

SubtreeStatus Overlay::status() const
{
    auto status = SubtreeStatus::full;
    for (auto &child : children_) {
        if (child.status == SubtreeStatus::degraded || child.status == SubtreeStatus::lost)
            return SubtreeStatus::degraded;
        if (child.status != SubtreeStatus::full)
            status = SubtreeStatus::partial;
    }
    return status;
}

void Overlay::set_status(Child &child, SubtreeStatus status)
{
    if (child.status == status)
        return;
    child.status = status;
    child.since = broker_.platform().loop->now();
    if (this->status() != told_)
        tell_parent_status();
    changed_->notify_all();
}

void Overlay::tell_parent_status()
{
    auto now = status();
    if (now != told_)
        since_ = broker_.platform().loop->now();
    told_ = now;
    if (parent_id_ && !parent_lost_ && !leaving_)
        send_to_parent(Message::control(uint32_t(overlay_control::status), uint32_t(now)));
}

void Overlay::set_torpid(Child &child, bool torpid)
{
    child.torpid = torpid;
    broker_.log(LogLevel::err, "overlay",
                torpid ? fmt::format("rank {} is torpid: nothing was heard of it for {} s", child.rank,
                                     to_seconds(limits_.torpid_max))
                       : fmt::format("rank {} is no longer torpid", child.rank));
    broker_.groups().change("broker.torpid", torpid ? Idset {child.rank} : Idset(),
                            torpid ? Idset() : Idset {child.rank});
}

// Looks every torpid_min who was not heard of, and lets the parent hear of this broker.
void Overlay::keep_alive()
{
    auto now = broker_.platform().loop->now();
    if (parent_id_ && !parent_lost_ && now - last_sent_ >= limits_.torpid_min)
        send_to_parent(Message::control(uint32_t(overlay_control::keepalive), 0));
    if (limits_.torpid_max > Duration::zero())
        for (auto &child : children_)
            if (child.id && !child.torpid && now - child.last_heard > limits_.torpid_max)
                set_torpid(child, true);
    keepalive_ = Timer(*broker_.platform().loop, std::max(limits_.torpid_min / 2, shortest_check),
                       [this] { keep_alive(); });
}

Json Overlay::health() const
{
    auto now = broker_.platform().loop->now();
    Json children = Json::array();
    for (auto &child : children_) {
        Json entry {{"rank", child.rank},
                    {"status", status_name(child.status)},
                    {"duration", to_seconds(now - child.since)}};
        if (!child.error.empty())
            entry.set("error", child.error);
        children.append(entry);
    }
    return Json {{"rank", broker_.rank()},
                 {"status", status_name(status())},
                 {"duration", to_seconds(now - since_)},
                 {"children", children}};
}

// {"wait": STATUS}: answered when this subtree has that status.
Task<Json> Overlay::health_request(Request request)
{
    auto wait_for = request.json() ? request.find<std::string>("wait") : std::nullopt;
    auto changed = changed_;
    while (wait_for && *wait_for != status_name(status()))
        co_await changed->wait();
    co_return health();
}

namespace {

Json topology_below(const Topology &topology, uint32_t rank, uint32_t &size)
{
    Json children = Json::array();
    size = 1;
    for (uint32_t child : topology.children_of(rank)) {
        uint32_t below = 0;
        children.append(topology_below(topology, child, below));
        size += below;
    }
    return Json {{"rank", rank}, {"size", size}, {"children", children}};
}

} // namespace

void Overlay::serve()
{
    auto &handle = broker_.handle();
    handle.serve("overlay.health", role::user, Handle::CoroutineHandler([this](Request request) {
                     return health_request(std::move(request));
                 }));
    handle.serve("overlay.topology", role::user, Handle::PlainHandler([this](Request &request) -> Json {
                     auto rank = request.get<uint32_t>("rank");
                     auto &topology = broker_.router().topology();
                     if (rank >= topology.size())
                         throw Error(EINVAL, "there is no rank {}: this instance has {} brokers", rank,
                                     topology.size());
                     uint32_t size = 0;
                     return topology_below(topology, rank, size);
                 }));
    handle.serve("overlay.disconnect-subtree", role::none, Handle::PlainHandler([this](Request &request) -> Json {
                     disconnect(request.get<uint32_t>("rank"));
                     return {};
                 }));
    handle.serve("overlay.stats-get", role::user, Handle::PlainHandler([this](Request &) -> Json {
                     size_t torpid = std::ranges::count_if(children_, &Child::torpid);
                     return Json {{"child-connected", connected_.size()},
                                  {"child-count", children_.size()},
                                  {"child-torpid", torpid},
                                  {"parent-count", parent_id_ && !parent_lost_ ? 1 : 0}};
                 }));
}

} // namespace flux
