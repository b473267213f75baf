// PmiExchange: the key value store that a job's tasks share by PMI. Each shell keeps all of it; what its
// tasks put goes to the other shells at each barrier, through the channel.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "common/pmi/pmi_server.hpp"
#include "shell/channel.hpp"
#include "shell/job.hpp"

namespace flux::shell {

class PmiExchange {
public:
    using AbortHandler = std::function<void(uint32_t task, int exit_code, std::string_view message)>;
    using SendHandler = std::function<void(uint32_t task, std::string_view bytes)>;
    using CloseHandler = std::function<void(uint32_t task, const Error &)>;

    PmiExchange(const Job &job, ShellChannel &channel, SendHandler send, AbortHandler abort,
                CloseHandler close);
    void add_task(uint32_t task);
    void receive(uint32_t task, std::string_view bytes);
    // The other shells' pairs. EPROTO when no barrier waits for this one.
    Expected<void> finish(const shell_channel::PmiExchangeResult &result);

private:
    void enter_barrier();
    void complete();

    const Job &job_;
    ShellChannel &channel_;
    SendHandler send_;
    AbortHandler abort_;
    CloseHandler close_;
    std::map<uint32_t, std::unique_ptr<PmiServer>> servers_;
    std::map<std::string, std::string, std::less<>> pairs_;
    std::map<std::string, std::string, std::less<>> put_; // since the last barrier
    uint64_t seq_ = 0;
    uint32_t entered_ = 0;
    bool waiting_ = false;
};

} // namespace flux::shell
