// flux ping: how long a message to a service and back takes, and through which hops.
#include <cmath>
#include <ctime>

#include "cmd/commands.hpp"
#include "cmd/print.hpp"
#include "common/runtime/sync.hpp"
#include "common/types/hostlist.hpp"

namespace flux::cmd {

namespace {

constexpr size_t max_pad = 1u << 30; // bytes

struct Target {
    std::string service = "broker";
    uint32_t nodeid = nodeid_any;
    bool upstream = false;
    // "any!kvs", "0!broker"
    std::string label() const
    {
        return fmt::format("{}!{}",
                           upstream               ? "upstream"
                           : nodeid == nodeid_any ? "any"
                                                  : std::to_string(nodeid),
                           service);
    }
};

uint32_t parse_rank(const std::string &text)
{
    char *end = nullptr;
    unsigned long rank = std::strtoul(text.c_str(), &end, 10);
    if (text.empty() || *end || rank >= nodeid_any)
        throw UsageError(fmt::format("'{}' is no rank", text));
    return uint32_t(rank);
}

void set_node(Target &target, const std::string &text, Session &flux)
{
    if (text == "any")
        return;
    if (text == "upstream") {
        target.upstream = true;
        target.nodeid = flux.rank();
        return;
    }
    auto hosts = value_or_throw(Hostlist::parse(flux.attribute("hostlist")));
    if (auto rank = hosts.find(text))
        target.nodeid = uint32_t(*rank);
    else
        target.nodeid = parse_rank(text);
}

bool is_node(const std::string &text, Session &flux)
{
    if (text == "any" || text == "upstream")
        return true;
    if (!text.empty() && text.find_first_not_of("0123456789") == std::string::npos)
        return true;
    return value_or_throw(Hostlist::parse(flux.attribute("hostlist"))).contains(text);
}

// RANK, SERVICE, RANK!SERVICE or HOST!SERVICE.
Target parse_target(const Args &args, Session &flux)
{
    Target target;
    const std::string &text = args[0];
    size_t bang = text.find('!');
    if (bang != std::string::npos) {
        set_node(target, text.substr(0, bang), flux);
        target.service = text.substr(bang + 1);
    } else if (args.has("rank")) {
        set_node(target, args.value("rank"), flux);
        target.service = text;
    } else if (is_node(text, flux)) {
        set_node(target, text, flux);
    } else {
        target.service = text;
    }
    return target;
}

void report(const Target &target, const Json &answer, Duration elapsed, size_t pad_size, bool with_userid)
{
    std::string who;
    if (with_userid)
        who = fmt::format(" userid={} rolemask={:#x}", answer.get<uint32_t>("userid"),
                          answer.get<uint32_t>("rolemask"));
    print("{}!{}.ping{} pad={} seq={} time={:.3f} ms ({})\n", answer.get<int64_t>("rank"), target.service,
          who, pad_size, answer.get<int64_t>("seq"), to_seconds(elapsed) * 1000,
          answer.value<std::string>("route", ""));
    std::fflush(stdout);
}

class Pinger {
public:
    Pinger(Handle &handle, const Args &args, Target target, size_t pad_size)
        : handle_(handle), args_(args), target_(std::move(target)), pad_(pad_size, 'p'),
          changed_(handle.loop()), gate_(handle.loop(), [this](const Error &error) { failed(error); })
    {
    }

    // One request per interval, whether or not those before it are answered.
    Task<> run()
    {
        int64_t count = args_.integer("count", -1);
        Duration interval = seconds(args_.duration("interval", 1));
        for (int64_t seq = 0; (count < 0 || seq < count) && !failure_; seq++) {
            if (seq > 0 && !args_.has("batch"))
                co_await sleep_for(handle_.loop(), interval);
            under_way_++;
            gate_.spawn(ping_once(seq));
            while (!args_.has("batch") && interval == Duration::zero() && under_way_ > 0 && !failure_)
                co_await changed_.wait(); // no delay: one after the other, as quick as they come
        }
        while (under_way_ > 0 && !failure_)
            co_await changed_.wait();
        if (failure_)
            throw *failure_;
    }

private:
    Task<> ping_once(int64_t seq)
    {
        timespec now;
        ::clock_gettime(CLOCK_MONOTONIC, &now);
        Json request {{"seq", seq},
                      {"time.tv_sec", int64_t(now.tv_sec)},
                      {"time.tv_nsec", int64_t(now.tv_nsec)},
                      {"pad", pad_}};
        RpcOptions options {.nodeid = target_.nodeid,
                            .flags = target_.upstream ? message_flag::upstream : uint8_t(0)};
        Duration start = handle_.loop().now();
        Message answer = co_await handle_.rpc(target_.service + ".ping", request, options);
        if (answer.json().get<int64_t>("seq") != seq)
            throw Error(EPROTO, "{}.ping: the answer is to another question", target_.service);
        report(target_, answer.json(), handle_.loop().now() - start, pad_.size(), args_.has("userid"));
        under_way_--;
        changed_.notify_all();
    }

    void failed(const Error &error)
    {
        failure_ = Error(error.errnum(), "{}.ping: {}", target_.service, error.what());
        changed_.notify_all();
    }

    Handle &handle_;
    const Args &args_;
    Target target_;
    std::string pad_;
    size_t under_way_ = 0;
    std::optional<Error> failure_;
    Condition changed_;
    Gate gate_;
};

Task<> ping_all(Handle &handle, const Args &args, Target target, size_t pad_size)
{
    Pinger pinger(handle, args, std::move(target), pad_size);
    co_await pinger.run();
}

int run_ping(const Args &args, Session &flux)
{
    Target target = parse_target(args, flux);
    if (args.has("batch") && !args.has("count"))
        throw UsageError("--batch needs --count: it answers when all requests are sent");
    print("flux-ping {}\n", target.label());
    flux.run(ping_all(flux.handle(), args, target, args.bytes("pad", 0, max_pad)));
    return 0;
}

} // namespace

const Command ping {
    .name = "ping",
    .args = "TARGET",
    .summary = "Measure the way to a service and back; TARGET is RANK, SERVICE, RANK!SERVICE or HOST!SERVICE",
    .options = {{"-r,--rank=N", "the broker whose service is asked"},
                {"-p,--pad=N", "add N bytes to the message (N may end in k, M, G)"},
                {"-i,--interval=N", "time between two requests (default 1s)"},
                {"-c,--count=N", "stop after N answers"},
                {"-b,--batch", "send all requests before the first answer is looked at"},
                {"-u,--userid", "show the credentials with which the request arrived"}},
    .min_args = 1,
    .max_args = 1,
    .run = run_ping,
};

} // namespace flux::cmd
