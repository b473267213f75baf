#include "modules/job-exec/terminal.hpp"

#include <algorithm>

#include "common/base/encoding.hpp"
#include "common/job/shell_channel.hpp"

namespace flux::job_exec {

void Terminal::send(Viewer &viewer, std::string_view bytes)
{
    if (!bytes.empty())
        viewer.request.respond(Json {{"data", base64_encode(bytes)}, {"encoding", "base64"}});
}

void Terminal::attach(Request request)
{
    request.require_streaming();
    if (viewers_.size() >= max_viewers)
        return request.fail(Error(
            ENOSPC, "{} terminals are attached to this job, and more may not be: detach one", max_viewers));
    any_came_ = true;
    viewers_.push_back({std::move(request), written_ - recent_.size()});
    send(viewers_.back(), recent_);
}

void Terminal::wrote(const Json &message)
{
    auto parsed = value_or_throw(shell_channel::parse_from_shell(message.dump()));
    const auto &bytes = std::get<shell_channel::TerminalOutput>(parsed).data;
    written_ += bytes.size();
    recent_ += bytes;
    if (any_came_)
        recent_.erase(0, recent_.size() - std::min(recent_.size(), max_recent));
    for (auto &viewer : viewers_)
        send(viewer, bytes);
}

void Terminal::took(const RouteId &sender, uint64_t bytes)
{
    for (auto &viewer : viewers_)
        if (viewer.request.sender() == sender)
            viewer.taken = std::max(viewer.taken, std::min(bytes, written_ - viewer.begin));
}

bool Terminal::leave(const RouteId &sender, std::optional<uint32_t> matchtag)
{
    return std::erase_if(viewers_, [&](Viewer &viewer) {
        bool leaves = viewer.request.sender() == sender &&
                      (!matchtag || viewer.request.message().matchtag == *matchtag);
        if (leaves)
            viewer.request.finish();
        return leaves;
    });
}

std::optional<uint64_t> Terminal::newly_taken()
{
    if (!any_came_)
        return {};
    uint64_t taken = written_;
    for (const auto &viewer : viewers_)
        taken = std::min(taken, viewer.begin + viewer.taken);
    if (taken <= told_)
        return {};
    told_ = taken;
    return taken;
}

void Terminal::end()
{
    for (auto &viewer : viewers_)
        viewer.request.finish();
    viewers_.clear();
}

} // namespace flux::job_exec
