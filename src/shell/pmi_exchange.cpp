#include "shell/pmi_exchange.hpp"

#include <algorithm>

namespace flux::shell {

PmiExchange::PmiExchange(const Job &job, ShellChannel &channel, SendHandler send, AbortHandler abort,
                         CloseHandler close)
    : job_(job), channel_(channel), send_(std::move(send)), abort_(std::move(abort)), close_(std::move(close))
{
}

void PmiExchange::add_task(uint32_t task)
{
    if (servers_.empty()) {
        auto mapping = job_.taskmap.encode_pmi();
        pairs_["PMI_process_mapping"] = pmi::valid_value(mapping) ? mapping : ""; // "" is unknown (RFC 13)
        auto taskmap = job_.taskmap.encode();
        if (pmi::valid_value(taskmap))
            pairs_["flux.taskmap"] = taskmap;
        // By this a broker of release 0.88 knows that it is a job: how deep an instance of these tasks
        // stands.
        auto &path = job_.start.jobid_path;
        auto depth = path.size() > 1 ? std::count(path.begin(), path.end(), '/') : 0;
        pairs_["flux.instance-level"] = std::to_string(depth + 1);
    }
    PmiServer::Options options {
        .rank = task, .size = job_.taskmap.ntasks(), .kvsname = job_.start.id.f58(F58Prefix::ascii)};
    servers_[task] = std::make_unique<PmiServer>(
        std::move(options),
        PmiServer::Callbacks {
            .send = [this, task](std::string_view bytes) { send_(task, bytes); },
            .put =
                [this](std::string_view key, std::string_view value) {
                    if (!shell_channel::is_text(value)) // it could not go to the other nodes
                        return false;
                    put_[std::string(key)] = value;
                    return true;
                },
            .get = [this](std::string_view key) -> std::optional<std::string> {
                if (auto found = put_.find(key); found != put_.end())
                    return found->second;
                auto found = pairs_.find(key);
                return found == pairs_.end() ? std::nullopt : std::optional(found->second);
            },
            .barrier = [this] { enter_barrier(); },
            .abort = [this, task](int code, std::string_view message) { abort_(task, code, message); },
            .protocol_error =
                [this, task](const Error &error) {
                    close_(task, error);
                }});
}

void PmiExchange::receive(uint32_t task, std::string_view bytes)
{
    if (auto found = servers_.find(task); found != servers_.end())
        found->second->receive(bytes);
}

void PmiExchange::enter_barrier()
{
    if (++entered_ < job_.tasks.count())
        return;
    entered_ = 0;
    if (job_.start.nnodes == 1)
        return complete();
    Json pairs = Json::object();
    for (const auto &[key, value] : put_)
        pairs.set(key, value);
    waiting_ = true;
    channel_.send(shell_channel::PmiExchange {seq_, pairs});
}

Expected<void> PmiExchange::finish(const shell_channel::PmiExchangeResult &result)
{
    if (!waiting_ || result.seq != seq_)
        return fail(EPROTO, "a PMI exchange number {} came while number {} is next", result.seq, seq_);
    for (auto [key, value] : result.pairs.members())
        pairs_[std::string(key)] = value.string_view();
    waiting_ = false;
    seq_++;
    complete();
    return {};
}

void PmiExchange::complete()
{
    if (job_.start.nnodes == 1) // otherwise they came back with everybody's
        for (auto &[key, value] : put_)
            pairs_[key] = std::move(value);
    put_.clear();
    for (auto &[task, server] : servers_)
        server->barrier_complete();
}

} // namespace flux::shell
