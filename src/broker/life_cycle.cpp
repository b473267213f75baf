#include "broker/life_cycle.hpp"

#include <csignal>
#include <cstdio>
#include <sys/wait.h>

namespace flux {

std::vector<ModuleSpec> parse_module_list(std::string_view text, std::string_view file_name)
{
    std::vector<ModuleSpec> specs;
    size_t line_number = 0;
    while (!text.empty()) {
        auto line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        line_number++;
        line = line.substr(0, line.find('#'));
        std::vector<std::string> words;
        for (size_t at = 0; (at = line.find_first_not_of(" \t\r", at)) != line.npos;) {
            auto end = std::min(line.find_first_of(" \t\r", at), line.size());
            words.emplace_back(line.substr(at, end - at));
            at = end;
        }
        if (words.empty())
            continue;
        ModuleSpec spec {words[0]};
        spec.rank0_only = words.size() > 1 && words[1] == "rank0";
        spec.arguments.assign(words.begin() + (spec.rank0_only ? 2 : 1), words.end());
        for (auto &other : specs)
            if (other.name == spec.name)
                throw Error(EINVAL, "{}:{}: module {} is listed twice", file_name, line_number, spec.name);
        specs.push_back(std::move(spec));
    }
    return specs;
}

LifeCycle::LifeCycle(Broker &broker, Plan plan)
    : broker_(broker), plan_(std::move(plan)), changed_(*broker.platform().loop)
{
    broker_.on_shutdown_request = [this] {
        stop(0);
    };
}

Task<int> LifeCycle::run()
{
    broker_.enter_state("init");
    int status = 1;
    if (co_await load_modules()) {
        broker_.enter_state("quorum");
        broker_.enter_state("run");
        if (!stopping_)
            status = co_await run_initial_program();
    }
    broker_.enter_state("cleanup");
    broker_.enter_state("shutdown");
    co_await broker_.modules().remove_all();
    broker_.enter_state("finalize");
    co_return status;
}

Task<bool> LifeCycle::load_modules()
{
    for (auto &spec : plan_.modules) {
        if (spec.rank0_only && broker_.rank() != 0)
            continue;
        try {
            co_await broker_.modules().load(spec.name, "", spec.arguments);
        } catch (const Error &error) {
            broker_.log(LogLevel::crit, "broker", fmt::format("loading {}: {}", spec.name, error.text()));
            fmt::print(stderr, "flux-broker: module {} could not be loaded: {}\n", spec.name, error.text());
            co_return false;
        }
    }
    co_return true;
}

Task<int> LifeCycle::run_initial_program()
{
    if (!plan_.initial_program.empty()) {
        ProcessSpec spec;
        spec.argv = plan_.initial_program;
        spec.environment = plan_.environment;
        spec.new_process_group = false;
        spec.capture_output = false;
        spec.inherit_stdin = true;
        ProcessCallbacks callbacks;
        callbacks.on_exit = [this](int status) {
            wait_status_ = status;
            changed_.notify_all();
        };
        try {
            program_ = broker_.platform().spawner->spawn(std::move(spec), std::move(callbacks));
        } catch (const Error &error) {
            fmt::print(stderr, "flux-broker: {}\n", error.text());
            co_return error.errnum() == ENOENT ? 127 : 126; // as a shell reports it
        }
    }
    while (!wait_status_ && (program_ || !stopping_))
        co_await changed_.wait();
    program_.reset();
    int status = wait_status_.value_or(0);
    co_return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void LifeCycle::stop(int signum)
{
    stopping_ = true;
    if (program_)
        program_->signal(signum ? signum : SIGHUP);
    changed_.notify_all();
}

} // namespace flux
