#include "sim/world.hpp"

#include <ranges>

#include "common/job/resource_set.hpp"

namespace flux::sim {

namespace {

constexpr size_t max_violations = 10; // remembered; more say nothing new
constexpr Duration boot_limit = 600s; // virtual
constexpr Duration shutdown_limit = 600s;
constexpr uint64_t random_of_physics = 0x5bd1e995; // mixed into the seed

void print_message(Duration when, uint64_t where, const Message &message)
{
    const char *kind = message.is_request() ? "request" : message.is_response() ? "response" : "event";
    auto payload = message.payload.string().substr(0, 300);
    bool printable = std::ranges::all_of(payload, [](unsigned char c) { return c >= ' '; });
    fmt::print("{:.6f} {:x} {} {}{} {}\n", to_seconds(when), where, kind, message.topic,
               message.is_response() && message.errnum ? fmt::format(" errno {}", message.errnum) : "",
               printable ? payload : "(bytes)");
}

std::string last_complaint(Broker &broker)
{
    for (const auto &line : std::views::reverse(broker.logger().ring().lines()))
        if (auto parts = LogRing::parse(line); parts && parts->severity <= int(LogLevel::err))
            return fmt::format("{}: {}", parts->application, parts->text);
    return "its log has no error";
}

} // namespace

World::World(Run &run, Setup setup)
    : run_(run), setup_(std::move(setup)), random_(run.seed),
      physics_random_(run.seed ^ random_of_physics), processes_ {physics(), cores_, [this](std::string what) {
                                                                     violated(std::move(what));
                                                                 }}
{
    if (setup_.modules.empty())
        setup_.modules = parse_module_list(default_modules, "etc/flux/modules");
    ResourceSet R;
    for (uint32_t rank = 0; rank < size(); rank++)
        R.add_node(rank, host(rank), Idset::iota(setup_.cores));
    resources_ = R.encode();
    gate_ = std::make_unique<Gate>(loop_);
    if (run.print_messages)
        trace_.set_printer(print_message);
}

World::~World()
{
    gate_.reset();
    while (!nodes_.empty())
        nodes_.erase(std::prev(nodes_.end()));
    run_.trace_hash = run_.trace_hash * 31 + trace_.hash();
    run_.messages += trace_.count();
    run_.steps += loop_.steps();
    run_.virtual_time += loop_.now();
}

std::string World::hosts() const
{
    return size() == 1 ? "node0" : fmt::format("node[0-{}]", size() - 1);
}

// ---- brokers

void World::boot()
{
    for (uint32_t rank = 0; rank < size(); rank++)
        start(rank);
    bool booted = run_until(
        [this] {
            for (auto &[rank, node] : nodes_)
                if (node->broker().state() != "run" || node->exit_status())
                    return false;
            return true;
        },
        boot_limit);
    if (booted)
        return;
    for (auto &[rank, node] : nodes_)
        if (node->broker().state() != "run")
            violated(fmt::format("broker {} is in state {} and does not come up: {}", rank,
                                 node->broker().state(), last_complaint(node->broker())));
    throw Stuck();
}

void World::shutdown()
{
    node(0).life_cycle().stop(0);
    bool ended = run_until(
        [this] {
            return std::all_of(nodes_.begin(), nodes_.end(),
                               [](const auto &entry) { return entry.second->exit_status().has_value(); });
        },
        shutdown_limit);
    for (auto &[rank, node] : nodes_)
        if (!node->exit_status())
            violated(fmt::format("broker {} is in state {} {} s after the instance was told to end", rank,
                                 node->broker().state(), to_seconds(shutdown_limit)));
        else
            expect(*node->exit_status() == 0, "broker {} ended with status {}", rank, *node->exit_status());
    if (!ended)
        throw Stuck();
    while (!nodes_.empty())
        nodes_.erase(std::prev(nodes_.end()));
    expect(processes_.running == 0, "{} processes outlive the instance", processes_.running);
}

void World::crash()
{
    while (!nodes_.empty())
        nodes_.erase(nodes_.begin());
    stores_.crash();
}

void World::kill(uint32_t rank)
{
    nodes_.erase(rank);
}

void World::start(uint32_t rank)
{
    FLUX_ASSERT(!nodes_.contains(rank));
    auto &node = nodes_[rank] = std::make_unique<Node>(*this, rank, lives_[rank]++);
    node->start();
}

// ---- clients

ClientPtr World::connect(uint32_t rank, Credentials who)
{
    auto found = nodes_.find(rank);
    if (found == nodes_.end())
        throw Error(ECONNREFUSED, "broker {} is down", rank);
    return ClientPtr(new Client(*this, *found->second, who));
}

void World::spawn(std::string what, Task<> task)
{
    auto number = next_task_++;
    tasks_[number] = std::move(what);
    gate_->spawn(follow(number, std::move(task)));
}

Task<> World::follow(uint64_t number, Task<> task)
{
    try {
        co_await std::move(task);
    } catch (const Error &error) {
        violated(fmt::format("{}: {} (errno {})", tasks_[number], error.text(), error.errnum()));
    }
    tasks_.erase(number);
}

void World::finish_clients(Duration within)
{
    auto last = next_task_;
    auto done = [&] {
        return tasks_.empty() || tasks_.begin()->first >= last;
    };
    if (run_until(done, within))
        return;
    for (auto &[number, what] : tasks_)
        violated(fmt::format("{}: not finished after {} s", what, to_seconds(within)));
    throw Stuck();
}

void World::run(std::string what, Task<> task, Duration within)
{
    auto number = next_task_;
    spawn(what, std::move(task));
    if (run_until([&] { return !tasks_.contains(number); }, within))
        return;
    violated(fmt::format("{}: not finished after {} s", what, to_seconds(within)));
    throw Stuck();
}

bool World::run_until(const std::function<bool()> &done, Duration within)
{
    return loop_.run_until(done, loop_.now() + within);
}

void World::violated(std::string what)
{
    if (run_.violations.size() < max_violations)
        run_.violations.push_back(fmt::format("[{:.6f} s] {}", to_seconds(loop_.now()), what));
}

} // namespace flux::sim
