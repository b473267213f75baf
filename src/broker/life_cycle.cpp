#include "broker/life_cycle.hpp"

#include <algorithm>
#include <charconv>
#include <csignal>
#include <sys/wait.h>

#include "common/base/text.hpp"
#include "common/types/duration.hpp"

namespace flux {

std::vector<ModuleSpec> parse_module_list(std::string_view text, std::string_view file_name)
{
    std::vector<ModuleSpec> specs;
    size_t line_number = 0;
    for (std::string_view line : split(text, '\n')) {
        line_number++;
        auto words = split_words(line.substr(0, line.find('#')));
        if (words.empty())
            continue;
        ModuleSpec spec {std::string(words[0])};
        size_t arguments = 1;
        for (; arguments < words.size(); arguments++)
            if (words[arguments] == "rank0")
                spec.rank0_only = true;
            else if (words[arguments] == "thread")
                spec.own_thread = true;
            else
                break;
        spec.arguments.assign(words.begin() + long(arguments), words.end());
        for (auto &other : specs)
            if (other.name == spec.name)
                throw Error(EINVAL, "{}:{}: module {} is listed twice", file_name, line_number, spec.name);
        specs.push_back(std::move(spec));
    }
    return specs;
}

namespace {

// The states in which a broker is not, or no longer, of use to the ones below it.
constexpr Duration farewell = std::chrono::milliseconds(50);
constexpr std::string_view over_states[] = {"shutdown", "finalize"};

int exit_status(int wait_status)
{
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

// Attributes with a duration, or "none".
struct TimeLimit {
    const char *attribute;
    const char *fallback;
};
constexpr const char *content_module = "content";
constexpr TimeLimit limits[] = {{"broker.quorum-warn", "1m"},
                                {"broker.cleanup-timeout", "none"},
                                {"broker.shutdown-warn", "1m"},
                                {"broker.shutdown-timeout", "none"}};

} // namespace

LifeCycle::LifeCycle(Broker &broker, Overlay &overlay, Plan plan)
    : broker_(broker), overlay_(overlay), plan_(std::move(plan)), changed_(*broker.platform().loop),
      gate_(*broker.platform().loop)
{
    broker_.on_shutdown_request = [this] {
        stop(0);
    };
    // What is wrong with these is said now and not when they are needed.
    auto &attributes = broker_.attributes();
    quorum_size_ = parse_quorum(attributes.get_or_set("broker.quorum", std::to_string(broker_.size())));
    for (auto &limit : limits)
        limits_[limit.attribute] =
            parse_limit(limit.attribute, attributes.get_or_set(limit.attribute, limit.fallback));
    gate_.spawn(relay(overlay_.changed()));
    gate_.spawn(relay(broker_.groups().changed()));
}

Task<> LifeCycle::relay(Condition &from)
{
    for (;;) {
        co_await from.wait();
        changed_.notify_all();
    }
}

Task<int> LifeCycle::run()
{
    int status = 1;
    std::optional<Error> failure;
    try {
        co_await live(status);
    } catch (const Error &error) {
        failure = error;
    }
    if (failure) {
        complain(fmt::format("in state {}: {}", broker_.state(), failure->text()));
        status = status == 0 ? 1 : status;
    }
    co_await end_log_streams();
    overlay_.leave();
    co_return status;
}

// flux shutdown and flux dmesg --follow are told that there is no more. Existing clients do not read what
// comes together with the end of the connection: they get time to do so before.
Task<> LifeCycle::end_log_streams()
{
    if (broker_.logger().ring().close() > 0)
        co_await sleep_for(*broker_.platform().loop, farewell);
}

Task<> LifeCycle::live(int &status)
{
    broker_.enter_state("join");
    bool joined = co_await join();
    if (!joined)
        co_return;
    broker_.enter_state("init");
    if (co_await init()) {
        broker_.enter_state("quorum");
        co_await quorum();
        if (!leaving()) {
            broker_.enter_state("run");
            status = co_await run_state();
        } else if (!overlay_.parent_lost())
            status = 0;
    }
    broker_.enter_state("cleanup");
    co_await cleanup();
    broker_.enter_state("shutdown");
    co_await shutdown();
    broker_.enter_state("finalize");
    co_await finalize();
}

// What the task has come to may outlive who waits for it: it is cancelled from the top of the loop.
Task<> LifeCycle::note_outcome(Task<> task, std::shared_ptr<Outcome> outcome)
{
    try {
        co_await std::move(task);
    } catch (const Error &error) {
        outcome->failure = error;
    }
    outcome->over = true;
    changed_.notify_all();
}

Task<LifeCycle::Outcome> LifeCycle::attempt(Task<> task, std::function<bool()> enough)
{
    auto outcome = std::make_shared<Outcome>();
    auto id = gate_.spawn(note_outcome(std::move(task), outcome));
    while (!outcome->over && !enough())
        co_await changed_.wait();
    gate_.cancel(id);
    while (outcome.use_count() > 1) // until its frame is gone
        co_await sleep_for(*broker_.platform().loop, Duration::zero());
    co_return *outcome;
}

void LifeCycle::complain(const std::string &text)
{
    broker_.log(LogLevel::crit, "broker", text);
}

Task<bool> LifeCycle::join()
{
    // The parent may not be there yet, or be busy: that can last.
    std::function<bool()> enough = [this] { return stopping_; };
    auto joined = co_await attempt(overlay_.join(), enough);
    if (joined.failure)
        complain(fmt::format("joining the instance: {}", joined.failure->text()));
    else if (!joined.over)
        complain("told to end before the parent has answered");
    if (joined.failure || !joined.over)
        co_return false;
    if (broker_.rank() != 0)
        gate_.spawn(follow_parent());
    co_return true;
}

Task<> LifeCycle::follow_parent()
{
    auto stream = broker_.handle().stream("state-machine.monitor", Json::object(),
                                          {.nodeid = *broker_.router().topology().parent()});
    try {
        while (auto answer = co_await stream.next()) {
            parent_state_ = answer->json().get<std::string>("state");
            changed_.notify_all();
        }
    } catch (const Error &) {
        // the link is lost: the overlay tells
    }
}

bool LifeCycle::parent_says_over() const
{
    return std::ranges::find(over_states, parent_state_) != std::end(over_states);
}

// A module that does not come up is waited for until somebody loses patience.
Task<bool> LifeCycle::init()
{
    std::function<bool()> enough = [this] { return impatient_ || overlay_.parent_lost(); };
    auto [over, failure] = co_await attempt(bring_up(), enough);
    if (failure)
        complain(failure->text());
    if (plan_.recovery)
        co_return !impatient_;
    if (failure || !over)
        co_return false;
    overlay_.admit_children();
    co_return true;
}

Task<> LifeCycle::bring_up()
{
    co_await load_modules();
    for (auto &command : plan_.rc1)
        if (int status = co_await run_program(command); status != 0)
            throw Error(EINVAL, "the rc1 script {} ended with status {}", command[0], exit_status(status));
}

Task<> LifeCycle::load_modules()
{
    for (auto &spec : plan_.modules) {
        if (spec.rank0_only && broker_.rank() != 0)
            continue;
        std::optional<Error> failure;
        try {
            co_await load_module(spec);
        } catch (const Error &error) {
            failure = error;
        }
        if (failure && !plan_.recovery)
            throw *failure;
        if (failure)
            complain(failure->text());
    }
}

Task<> LifeCycle::load_module(const ModuleSpec &spec)
{
    std::optional<Error> failure;
    try {
        co_await broker_.modules().load(spec.name, "", spec.arguments, spec.own_thread);
    } catch (const Error &error) {
        failure = error;
    }
    if (failure)
        throw Error(failure->errnum(), "module {} could not be loaded: {}", spec.name, failure->text());
    if (spec.name != content_module || plan_.restore.empty())
        co_return;
    if (int status = co_await run_program(plan_.restore); status != 0)
        throw Error(EIO, "\"{}\" ended with status {}", fmt::join(plan_.restore, " "), exit_status(status));
    if (plan_.restored)
        plan_.restored();
}

uint32_t LifeCycle::parse_quorum(const std::string &text) const
{
    uint32_t value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value > broker_.size())
        throw Error(EINVAL,
                    "attribute broker.quorum is \"{}\": a number of brokers from 0 to {} was expected", text,
                    broker_.size());
    return value;
}

Duration LifeCycle::parse_limit(const char *name, const std::string &text)
{
    if (text == "none")
        return Duration::zero();
    auto value = parse_duration(text);
    if (!value)
        throw Error(EINVAL, "attribute {} is \"{}\": {}", name, text, value.error().text());
    return seconds(*value);
}

// As the attribute says now; what was said at the start where that makes no sense.
Duration LifeCycle::time_limit(const char *name)
{
    if (auto text = broker_.attributes().get(name)) {
        try {
            return parse_limit(name, *text);
        } catch (const Error &error) {
            broker_.log(LogLevel::err, "broker", error.text());
        }
    }
    return limits_.at(name);
}

Task<> LifeCycle::quorum()
{
    if (plan_.recovery)
        co_return; // this broker's resources stay offline
    broker_.groups().join("broker.online");
    auto online = [this] {
        return broker_.groups().members("broker.online");
    };
    Timer slow;
    if (broker_.rank() == 0)
        if (auto warn = time_limit("broker.quorum-warn"); warn > Duration::zero())
            slow = Timer(*broker_.platform().loop, warn, [this, online] {
                auto missing = Idset::iota(broker_.size()) - online();
                broker_.log(LogLevel::err, "broker",
                            fmt::format("the quorum of {} brokers is not there yet: waiting for ranks {}",
                                        quorum_size_, missing.format()));
            });
    auto complete = [&] {
        return broker_.rank() == 0 ? online().count() >= quorum_size_ : parent_state_ == "run";
    };
    while (!leaving() && !complete())
        co_await changed_.wait();
}

Task<int> LifeCycle::run_state()
{
    if (broker_.rank() == 0)
        co_return co_await run_initial_program();
    while (!leaving())
        co_await changed_.wait();
    co_return overlay_.parent_lost() ? 1 : 0;
}

Task<int> LifeCycle::run_initial_program()
{
    if (plan_.initial_program.empty()) {
        while (!leaving())
            co_await changed_.wait();
        co_return 0;
    }
    std::optional<Error> failure;
    try {
        int status = co_await run_program(plan_.initial_program);
        co_return exit_status(status);
    } catch (const Error &error) {
        failure = error;
    }
    complain(failure->text());
    co_return failure->errnum() == ENOENT ? 127 : 126; // as a shell reports it
}

Task<int> LifeCycle::run_program(CommandLine command)
{
    ProcessSpec spec;
    spec.argv = std::move(command);
    spec.environment = plan_.environment;
    spec.new_process_group = false;
    spec.capture_output = false;
    spec.inherit_stdin = true;
    ProcessCallbacks callbacks;
    callbacks.on_exit = [this](int status) {
        wait_status_ = status;
        changed_.notify_all();
    };
    wait_status_.reset();
    program_ = broker_.platform().spawner->spawn(std::move(spec), std::move(callbacks));
    while (!wait_status_ && !impatient_)
        co_await changed_.wait();
    program_.reset();
    co_return wait_status_.value_or(SIGKILL);
}

Task<> LifeCycle::cleanup()
{
    if (broker_.rank() != 0 || !plan_.cancel_jobs)
        co_return;
    auto timed_out = std::make_shared<bool>(false);
    Timer timeout;
    if (auto limit = time_limit("broker.cleanup-timeout"); limit > Duration::zero())
        timeout = Timer(*broker_.platform().loop, limit, [timed_out, this] {
            *timed_out = true;
            changed_.notify_all();
        });
    std::function<bool()> enough = [timed_out, this] { return *timed_out || impatient_; };
    auto stopped = co_await attempt(stop_jobs(), enough);
    if (stopped.failure && stopped.failure->errnum() != ENOSYS) // no job manager, no jobs
        broker_.log(LogLevel::err, "broker", fmt::format("stopping jobs: {}", stopped.failure->text()));
}

// No new jobs start, running ones are cancelled and awaited; pending ones stay, for an instance that starts
// again.
Task<> LifeCycle::stop_jobs()
{
    constexpr uint32_t state_run = 16; // RFC 21 state bits, as job-manager.raiseall takes them
    auto &handle = broker_.handle();
    Json stop {{"start", false}, {"all", true}, {"nocheckpoint", true}};
    co_await handle.rpc("job-manager.queue-start", stop);
    Json cancel {{"dry_run", false}, {"userid", -1},     {"states", state_run},
                 {"severity", 0},    {"type", "cancel"}, {"note", "the instance is shutting down"}};
    co_await handle.rpc("job-manager.raiseall", cancel);
    Json ending {{"ending", true}};
    co_await handle.rpc("job-manager.idle", ending);
}

Task<> LifeCycle::shutdown()
{
    bool give_up = false;
    auto &loop = *broker_.platform().loop;
    Timer warn, timeout;
    if (auto limit = time_limit("broker.shutdown-warn"); limit > Duration::zero())
        warn = Timer(loop, limit, [this] {
            broker_.log(LogLevel::err, "broker",
                        "some children have not left yet: flux overlay status shows them");
        });
    if (auto limit = time_limit("broker.shutdown-timeout"); limit > Duration::zero())
        timeout = Timer(loop, limit, [&] {
            give_up = true;
            changed_.notify_all();
        });
    while (overlay_.has_children() && !give_up && !impatient_)
        co_await changed_.wait();
}

Task<> LifeCycle::finalize()
{
    std::optional<Error> failure;
    try {
        for (auto &command : plan_.rc3)
            if (int status = co_await run_program(command); status != 0)
                broker_.log(
                    LogLevel::err, "broker",
                    fmt::format("the rc3 script {} ended with status {}", command[0], exit_status(status)));
    } catch (const Error &error) {
        failure = error;
    }
    if (failure)
        broker_.log(LogLevel::err, "broker", failure->text());
    co_await write_dump();
    co_await broker_.modules().remove_all();
}

// When nobody changes the KVS any more: only the content store is left.
Task<> LifeCycle::write_dump()
{
    auto command = plan_.dump ? plan_.dump() : CommandLine();
    if (command.empty() || !broker_.modules().is_loaded(content_module))
        co_return;
    std::optional<Error> failure;
    try {
        co_await broker_.modules().remove_after(content_module);
        if (int status = co_await run_program(command); status != 0)
            throw Error(EIO, "\"{}\" ended with status {}", fmt::join(command, " "), exit_status(status));
    } catch (const Error &error) {
        failure = error;
    }
    if (failure)
        broker_.log(LogLevel::err, "broker", fmt::format("writing the dump: {}", failure->text()));
}

void LifeCycle::stop(int signum)
{
    impatient_ = stopping_;
    stopping_ = true;
    if (program_ && broker_.state() == "run")
        program_->signal(signum ? signum : SIGHUP);
    changed_.notify_all();
}

} // namespace flux
