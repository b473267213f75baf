// flux ping: how long a message to a service and back takes, and through which hops.
#include <cmath>
#include <ctime>

#include "cmd/commands.hpp"
#include "cmd/print.hpp"
#include "common/runtime/sync.hpp"
#include "common/types/hostlist.hpp"

namespace flux::cmd {

namespace {

struct Target {
    std::string service = "broker";
    uint32_t nodeid = nodeid_any;
    bool upstream = false;
    std::string label;
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
    target.label = text;
    size_t bang = text.find('!');
    if (bang != std::string::npos) {
        set_node(target, text.substr(0, bang), flux);
        target.service = text.substr(bang + 1);
    } else if (args.has("rank")) {
        set_node(target, args.value("rank"), flux);
        target.service = text;
        target.label = fmt::format("{}!{}", args.value("rank"), text);
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
    print("{}.ping{} pad={} seq={} time={:.3f} ms ({})\n", target.label, who, pad_size,
          answer.get<int64_t>("seq"), to_seconds(elapsed) * 1000, answer.value<std::string>("route", ""));
    std::fflush(stdout);
}

Task<> ping_all(Handle &handle, const Target &target, int64_t count, Duration interval, size_t pad_size,
                bool batch, bool with_userid)
{
    for (int64_t seq = 0; count < 0 || seq < count; seq++) {
        if (seq > 0 && !batch)
            co_await sleep_for(handle.loop(), interval);
        timespec now;
        ::clock_gettime(CLOCK_MONOTONIC, &now);
        Json request {{"seq", seq},
                      {"time.tv_sec", int64_t(now.tv_sec)},
                      {"time.tv_nsec", int64_t(now.tv_nsec)},
                      {"pad", std::string(pad_size, 'p')}};
        RpcOptions options {.nodeid = target.nodeid,
                            .flags = target.upstream ? message_flag::upstream : uint8_t(0)};
        Duration start = handle.loop().now();
        Message answer = co_await handle.rpc(target.service + ".ping", request, options);
        if (answer.json().get<int64_t>("seq") != seq)
            throw Error(EPROTO, "{}.ping: the answer is to another question", target.label);
        report(target, answer.json(), handle.loop().now() - start, pad_size, with_userid);
    }
}

int run_ping(const Args &args, Session &flux)
{
    Target target = parse_target(args, flux);
    int64_t pad_size = args.integer("pad", 0);
    if (pad_size < 0)
        throw UsageError("--pad must not be negative");
    flux.run(ping_all(flux.handle(), target, args.integer("count", -1), seconds(args.duration("interval", 1)),
                      size_t(pad_size), args.has("batch"), args.has("userid")));
    return 0;
}

} // namespace

const Command ping {
    .name = "ping",
    .args = "TARGET",
    .summary = "Measure the way to a service and back; TARGET is RANK, SERVICE, RANK!SERVICE or HOST!SERVICE",
    .options = {{"-r,--rank=RANK", "the broker whose service is asked"},
                {"-p,--pad=N", "add N bytes to the message"},
                {"-i,--interval=FSD", "time between two requests (default 1s)"},
                {"-c,--count=N", "stop after N answers"},
                {"-b,--batch", "do not wait between requests"},
                {"-u,--userid", "show the credentials with which the request arrived"}},
    .min_args = 1,
    .max_args = 1,
    .run = run_ping,
};

} // namespace flux::cmd
