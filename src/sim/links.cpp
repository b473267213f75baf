#include "sim/links.hpp"

namespace flux::sim {

namespace {

uint64_t place(uint32_t child_rank, bool up)
{
    return uint64_t(child_rank) << 1 | uint64_t(up);
}

} // namespace

Network::~Network()
{
    FLUX_ASSERT(listening_.empty());
}

Network::Link *Network::find(uint32_t child_rank) const
{
    for (auto &link : links_)
        if (link->child_rank == child_rank && link->made && !link->lost)
            return link.get();
    return nullptr;
}

bool Network::is_linked(uint32_t child_rank) const
{
    return find(child_rank) != nullptr;
}

bool Network::break_link(uint32_t child_rank)
{
    auto *link = find(child_rank);
    if (link)
        lose(*link, "the connection broke");
    return link != nullptr;
}

bool Network::stall_link(uint32_t child_rank, Duration how_long)
{
    auto *link = find(child_rank);
    if (link) {
        link->up->stall_until(physics_.loop.now() + how_long);
        link->down->stall_until(physics_.loop.now() + how_long);
    }
    return link != nullptr;
}

bool Network::set_link_delay(uint32_t child_rank, Delay delay)
{
    auto *link = find(child_rank);
    if (link) {
        link->up->set_delay(delay);
        link->down->set_delay(delay);
    }
    return link != nullptr;
}

Network::Link *Network::connect(SimLinks &child, uint32_t parent_rank)
{
    sweep();
    auto *link = links_.emplace_back(std::make_unique<Link>()).get();
    link->serial = next_serial_++;
    link->child = &child;
    link->child_rank = child.rank_;
    link->parent_rank = parent_rank;
    link->child_id = child.id_;
    link->up = std::make_unique<Pipe>(physics_, place(child.rank_, true), delay, [link](Message message) {
        if (link->parent && link->parent->receiver_)
            link->parent->receiver_->from_child(link->child_id, std::move(message));
    });
    link->down = std::make_unique<Pipe>(physics_, place(child.rank_, false), delay, [link](Message message) {
        if (link->child && link->child->receiver_)
            link->child->receiver_->from_parent(std::move(message));
    });
    link->up->hold();
    if (auto there = listening_.find(parent_rank); there != listening_.end())
        listen(*there->second);
    return link;
}

void Network::listen(SimLinks &parent)
{
    listening_[parent.rank_] = &parent;
    for (auto &link : links_) {
        if (link->parent_rank != parent.rank_ || link->made || link->lost)
            continue;
        link->made = true;
        link->parent = &parent;
        parent.down_[link->child_id] = link.get();
        link->up->open();
    }
}

void Network::lose(Link &link, const std::string &why)
{
    if (std::exchange(link.lost, true))
        return;
    link.up->cut();
    link.down->cut();
    if (auto *child = std::exchange(link.child, nullptr)) {
        child->up_ = nullptr;
        physics_.loop.after(detection.draw(physics_.random), [child, alive = child->alive_, why] {
            if (*alive && child->receiver_)
                child->receiver_->parent_lost(why);
        });
    }
    if (auto *parent = std::exchange(link.parent, nullptr)) {
        parent->down_.erase(link.child_id);
        physics_.loop.after(detection.draw(physics_.random),
                            [parent, alive = parent->alive_, id = link.child_id, why] {
                                if (*alive && parent->receiver_)
                                    parent->receiver_->child_lost(id, why);
                            });
    }
}

// One end goes. Gracefully: what it sent still arrives, then the other end hears of the loss.
void Network::leave(SimLinks &end, bool gracefully)
{
    if (auto here = listening_.find(end.rank_); here != listening_.end() && here->second == &end)
        listening_.erase(here);
    for (auto &link : links_) {
        bool child = link->child == &end, parent = link->parent == &end;
        if (!child && !parent)
            continue;
        (child ? link->child : link->parent) = nullptr;
        if (!link->made) {
            link->lost = true;
            link->up->cut();
        } else if (gracefully || physics_.random.chance(0.5)) {
            lose_when_drained(*link, child ? *link->up : *link->down, "the peer closed the connection");
        } else {
            lose(*link, "the peer is gone");
        }
    }
    end.up_ = nullptr;
    end.down_.clear();
}

void Network::lose_when_drained(Link &link, Pipe &out, std::string why)
{
    out.drain([this, serial = link.serial, why = std::move(why)] {
        for (auto &other : links_)
            if (other->serial == serial)
                return lose(*other, why);
    });
}

// Links that are lost for good; not from inside their pipes' deliveries.
void Network::sweep()
{
    physics_.loop.post([this] { std::erase_if(links_, [](const auto &link) { return link->lost; }); });
}

SimLinks::SimLinks(Network &network, uint32_t rank, RouteId id, std::optional<uint32_t> parent)
    : network_(network), rank_(rank), id_(id)
{
    if (parent)
        up_ = network_.connect(*this, *parent);
    network_.listen(*this);
}

SimLinks::~SimLinks()
{
    *alive_ = false;
    network_.leave(*this, false);
}

void SimLinks::send_to_parent(const Message &message)
{
    if (up_)
        up_->up->send(message);
}

void SimLinks::send_to_child(const RouteId &child, const Message &message)
{
    if (auto found = down_.find(child); found != down_.end())
        found->second->down->send(message);
}

void SimLinks::drop_child(const RouteId &child)
{
    auto found = down_.find(child);
    if (found == down_.end())
        return;
    auto *link = found->second;
    down_.erase(found);
    link->parent = nullptr;
    network_.lose_when_drained(*link, *link->down, "the parent ended the connection");
}

void SimLinks::close()
{
    receiver_ = nullptr;
    network_.leave(*this, true);
}

} // namespace flux::sim
