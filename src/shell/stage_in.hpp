// StageInRun: extracts the archives of the option stage-in, one after the other, before a node's tasks start.
// The shell is no client of the broker: it runs flux archive extract with the job's environment, as the job's
// user.
#pragma once
#include <functional>
#include <memory>
#include <optional>

#include "common/runtime/spawner.hpp"
#include "shell/job.hpp"

namespace flux::shell {

class StageInRun {
public:
    static constexpr size_t max_complaint = 2048; // bytes of what the program says on standard error

    // done: nothing, or why not all of it is there. May be called from inside start().
    StageInRun(Spawner &spawner, const Job &job, std::function<void(std::optional<Error>)> done)
        : spawner_(spawner), job_(job), done_(std::move(done))
    {
    }
    void start(); // throws Error where the destination cannot be made
    void kill();

private:
    void next();
    void exited(int wait_status);
    void failed_because(const std::string &why);

    Spawner &spawner_;
    const Job &job_;
    std::function<void(std::optional<Error>)> done_;
    std::string destination_;
    size_t started_ = 0; // archives
    std::string complaint_;
    std::vector<std::unique_ptr<Process>> processes_; // none goes in its own callback
};

} // namespace flux::shell
