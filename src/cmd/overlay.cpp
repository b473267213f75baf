// flux overlay: the tree of brokers, how it is and what it is made of.
#include <chrono>
#include <set>

#include "cmd/commands.hpp"
#include "cmd/print.hpp"
#include "cmd/terminal.hpp"
#include "cmd/trace.hpp"
#include "common/types/duration.hpp"
#include "common/types/hostlist.hpp"

namespace flux::cmd {

namespace {

constexpr double default_timeout = 0.5; // seconds, of each question

// Ranks of a TARGET that is an idset or a hostlist. EINVAL names it.
Idset ranks_of(const std::string &target, const Hostlist &hosts)
{
    Idset out;
    if (auto ids = Idset::parse(target); ids && !ids->empty()) {
        out = *ids;
    } else {
        auto names = Hostlist::parse(target);
        if (!names)
            throw Error(EINVAL, "{} is neither ranks nor hosts: {}", target, names.error().text());
        for (size_t i = 0; i < names->size(); i++) {
            bool found = false;
            for (uint32_t rank = 0; rank < hosts.size(); rank++)
                if (hosts.nth(rank) == names->nth(i)) {
                    out.add(rank);
                    found = true;
                }
            if (!found)
                throw Error(EINVAL, "there is no host {} in this instance", names->nth(i));
        }
    }
    if (auto last = out.last(); last && *last >= hosts.size())
        throw Error(EINVAL, "there is no rank {}: this instance has {} brokers", *last, hosts.size());
    return out;
}

// The tree of an instance, asked broker by broker.
class TreeView {
public:
    TreeView(Session &flux, const Args &args)
        : flux_(flux), hosts_(value_or_throw(Hostlist::parse(flux.attribute("hostlist")))),
          down_only_(args.has("down")), summary_(args.has("summary")), pretty_(!args.has("no-pretty")),
          ghosts_(!args.has("no-ghost")), color_(wants_color(args)), verbose_(args.level("verbose")),
          timeout_(seconds(args.duration("timeout", default_timeout)))
    {
        for (auto &target : args.all("highlight"))
            for (uint32_t rank : ranks_of(target, hosts_))
                highlighted_.insert(rank);
    }
    void show(uint32_t rank, const std::string &wait_for)
    {
        topology_ = flux_.rpc("overlay.topology", Json {{"rank", rank}}, {.nodeid = 0});
        auto options = RpcOptions {.nodeid = rank, .timeout = wait_for.empty() ? timeout_ : Duration::zero()};
        auto begin = std::chrono::steady_clock::now();
        Json health =
            flux_.rpc("overlay.health", wait_for.empty() ? Json() : Json {{"wait", wait_for}}, options);
        line(health, since(begin), "");
        if (!summary_)
            children(health, topology_, "");
    }

private:
    static double since(std::chrono::steady_clock::time_point begin)
    {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    }
    std::string host_of(uint32_t rank) const { return rank < hosts_.size() ? hosts_.nth(rank) : "?"; }
    // Whether the rank or one below it is to stand out.
    bool is_highlighted(const Json &subtree) const
    {
        if (highlighted_.contains(subtree.get<uint32_t>("rank")))
            return true;
        for (auto child : subtree["children"].elements())
            if (is_highlighted(child))
                return true;
        return false;
    }
    void line(const Json &health, double round_trip, const std::string &before, const Json *subtree = nullptr)
    {
        auto status = health.get<std::string>("status");
        if (down_only_ && status == "full")
            return;
        auto rank = health.get<uint32_t>("rank");
        auto name = fmt::format("{} {}", rank, host_of(rank));
        auto shown = status;
        if (!highlighted_.empty() && is_highlighted(subtree ? *subtree : topology_))
            name = color_ ? fmt::format("{}{}{}", color::bold_blue, name, color::plain)
                          : fmt::format("<<{}>>", name);
        if (color_ && status != "full")
            shown =
                fmt::format("{}{}{}", status == "lost" || status == "degraded" ? color::red : color::yellow,
                            status, color::plain);
        std::string more;
        if (verbose_ > 0 && health["duration"])
            more += " for " + format_duration(health.get<double>("duration"));
        if (verbose_ > 1 && round_trip > 0)
            more += fmt::format(" ({:.3f} ms)", round_trip * 1e3);
        print("{}{}: {}{}\n", pretty_ ? before : "", name, shown, more);
    }
    const Json find_below(const Json &topology, uint32_t rank) const
    {
        for (auto child : topology["children"].elements())
            if (child.get<uint32_t>("rank") == rank)
                return child;
        return Json {{"rank", rank}, {"children", Json::array()}};
    }
    void children(const Json &health, const Json &topology, const std::string &prefix)
    {
        Json list = health["children"];
        for (size_t i = 0; i < list.size(); i++) {
            bool last = i + 1 == list.size();
            auto before = prefix + (last ? "└─ " : "├─ ");
            auto below = prefix + (last ? "   " : "│  ");
            auto rank = list[i].get<uint32_t>("rank");
            auto subtree = find_below(topology, rank);
            auto status = list[i].get<std::string>("status");
            bool gone = status == "lost" || status == "offline";
            bool leaf = subtree["children"].size() == 0;
            if (gone || (leaf && verbose_ < 2)) {
                line(list[i], 0, before, &subtree);
                if (gone && ghosts_)
                    ghosts(subtree, status, below);
                continue;
            }
            ask(list[i], subtree, before, below);
        }
    }
    void ask(const Json &known, const Json &subtree, const std::string &before, const std::string &below)
    {
        auto begin = std::chrono::steady_clock::now();
        Json health = known; // what its parent says of it
        double round_trip = 0;
        try {
            health =
                flux_.rpc("overlay.health", {}, {.nodeid = known.get<uint32_t>("rank"), .timeout = timeout_});
            round_trip = since(begin);
        } catch (const Error &) {
            line(known, 0, before, &subtree);
            return;
        }
        line(health, round_trip, before, &subtree);
        children(health, subtree, below);
    }
    // Nobody can say how these are; they are gone as the one above them is.
    void ghosts(const Json &subtree, const std::string &status, const std::string &prefix)
    {
        Json list = subtree["children"];
        for (size_t i = 0; i < list.size(); i++) {
            bool last = i + 1 == list.size();
            Json child = list[i];
            line(Json {{"rank", child["rank"]}, {"status", status}}, 0, prefix + (last ? "└─ " : "├─ "),
                 &child);
            ghosts(child, status, prefix + (last ? "   " : "│  "));
        }
    }

    Session &flux_;
    Hostlist hosts_;
    bool down_only_, summary_, pretty_, ghosts_, color_;
    size_t verbose_;
    Duration timeout_;
    std::set<uint32_t> highlighted_;
    Json topology_;
};

int run_overlay_status(const Args &args, Session &flux)
{
    static constexpr std::string_view states[] = {"full", "partial", "degraded", "lost", "offline"};
    auto wait_for = args.value("wait");
    if (!wait_for.empty() && std::ranges::find(states, wait_for) == std::end(states))
        throw Error(EINVAL, "--wait={}: use {}", wait_for, fmt::join(states, ", "));
    TreeView(flux, args).show(uint32_t(args.integer("rank", 0)), wait_for);
    return 0;
}

// Every error that a parent knows of a child, with those behind it.
void collect_errors(Session &flux, uint32_t rank, const Json &topology, Duration timeout,
                    std::map<std::string, Idset> &errors)
{
    Json health;
    try {
        health = flux.rpc("overlay.health", {}, {.nodeid = rank, .timeout = timeout});
    } catch (const Error &error) {
        errors[error.text()].add(rank);
        return;
    }
    auto below = [](auto &self, const Json &subtree, Idset &out) -> void {
        for (auto child : subtree["children"].elements()) {
            out.add(child.get<uint32_t>("rank"));
            self(self, child, out);
        }
    };
    Json list = health["children"];
    for (size_t i = 0; i < list.size(); i++) {
        auto child = list[i].get<uint32_t>("rank");
        Json subtree = topology["children"][i];
        auto status = list[i].get<std::string>("status");
        if (status == "lost" || status == "offline") {
            if (auto error = list[i].find<std::string>("error")) {
                errors[*error].add(child);
                below(below, subtree, errors["lost parent"]);
            }
        } else if (subtree["children"].size() > 0) {
            collect_errors(flux, child, subtree, timeout, errors);
        }
    }
}

int run_overlay_errors(const Args &args, Session &flux)
{
    auto hosts = value_or_throw(Hostlist::parse(flux.attribute("hostlist")));
    Json topology = flux.rpc("overlay.topology", Json {{"rank", 0}}, {.nodeid = 0});
    std::map<std::string, Idset> errors;
    collect_errors(flux, 0, topology, seconds(args.duration("timeout", default_timeout)), errors);
    for (auto &[text, ranks] : errors) {
        if (ranks.empty())
            continue;
        Hostlist names;
        for (uint32_t rank : ranks)
            names.append_name(hosts.nth(rank));
        print("{}: {}\n", names.encode(), text);
    }
    return 0;
}

int run_overlay_lookup(const Args &args, Session &flux)
{
    auto hosts = value_or_throw(Hostlist::parse(flux.attribute("hostlist")));
    auto ranks = ranks_of(args[0], hosts);
    if (!Idset::parse(args[0])) {
        print("{}\n", ranks.format());
        return 0;
    }
    Hostlist names;
    for (uint32_t rank : ranks)
        names.append_name(hosts.nth(rank));
    print("{}\n", names.encode());
    return 0;
}

uint32_t rank_argument(const Args &args, size_t index, const Hostlist &hosts)
{
    auto ranks = ranks_of(args[index], hosts);
    if (ranks.count() != 1)
        throw Error(EINVAL, "{}: one broker was expected, these are {}", args[index], ranks.count());
    return *ranks.first();
}

std::optional<uint32_t> parent_of(const Json &topology, uint32_t rank)
{
    for (auto child : topology["children"].elements()) {
        if (child.get<uint32_t>("rank") == rank)
            return topology.get<uint32_t>("rank");
        if (auto found = parent_of(child, rank))
            return found;
    }
    return std::nullopt;
}

int run_overlay_parentof(const Args &args, Session &flux)
{
    auto hosts = value_or_throw(Hostlist::parse(flux.attribute("hostlist")));
    auto rank = rank_argument(args, 0, hosts);
    auto parent = parent_of(flux.rpc("overlay.topology", Json {{"rank", 0}}, {.nodeid = 0}), rank);
    if (!parent)
        throw Error(EINVAL, "rank {} is the root: it has no parent", rank);
    print("{}\n", *parent);
    return 0;
}

int run_overlay_disconnect(const Args &args, Session &flux)
{
    auto hosts = value_or_throw(Hostlist::parse(flux.attribute("hostlist")));
    auto rank = rank_argument(args, 0, hosts);
    auto parent = args.has("parent")
                      ? std::optional(uint32_t(args.integer("parent", 0)))
                      : parent_of(flux.rpc("overlay.topology", Json {{"rank", 0}}, {.nodeid = 0}), rank);
    if (!parent)
        throw Error(EINVAL, "rank {} is the root: flux shutdown ends the instance", rank);
    warn("flux-overlay: asking {} (rank {}) to disconnect child {} (rank {})", hosts.nth(*parent), *parent,
         hosts.nth(rank), rank);
    flux.rpc("overlay.disconnect-subtree", Json {{"rank", rank}}, {.nodeid = *parent});
    return 0;
}

int run_overlay_trace(const Args &args, Session &flux)
{
    std::vector<std::string> peers;
    if (args.has("rank"))
        peers.push_back(std::to_string(args.integer("rank", 0)));
    return show_trace(args, flux, "overlay", peers, args.size() > 0 ? args[0] : "");
}

const Command overlay_status {
    .name = "status",
    .summary = "Show the tree of brokers and which are well",
    .options = {{"-r,--rank=RANK", "below this broker (0)"},
                {"-v,--verbose[=LEVEL]", "show for how long; twice: and how long the answer took"},
                {"-t,--timeout=FSD", "of each question; 0: none (0.5s)"},
                {"--summary", "only the broker itself"},
                {"--down", "only those that are not well"},
                {"--no-pretty", "no indentation and no lines"},
                {"--no-ghost", "leave out what is behind a lost or offline broker"},
                {"-L,--color[=WHEN]", "always, never or auto"},
                {"-H,--highlight=TARGET", "let these ranks or hosts, and those above them, stand out"},
                {"-w,--wait=STATE",
                 "until the broker's subtree is full, partial, degraded, lost or offline"}},
    .max_args = 0,
    .run = run_overlay_status,
};
const Command overlay_errors {
    .name = "errors",
    .summary = "Show why brokers were lost",
    .options = {{"-t,--timeout=FSD", "of each question; 0: none (0.5s)"}},
    .max_args = 0,
    .run = run_overlay_errors,
};
const Command overlay_lookup {
    .name = "lookup",
    .args = "TARGET",
    .summary = "Say which hosts ranks are on, or which ranks hosts have",
    .min_args = 1,
    .max_args = 1,
    .run = run_overlay_lookup,
};
const Command overlay_parentof {
    .name = "parentof",
    .args = "TARGET",
    .summary = "Say which rank a broker hangs under",
    .min_args = 1,
    .max_args = 1,
    .run = run_overlay_parentof,
};
const Command overlay_disconnect {
    .name = "disconnect",
    .args = "TARGET",
    .summary = "Cut a broker, and all below it, off the tree",
    .options = {{"-r,--parent=RANK", "the broker it hangs under"}},
    .min_args = 1,
    .max_args = 1,
    .run = run_overlay_disconnect,
};

const Command overlay_trace {
    .name = "trace",
    .args = "[GLOB]",
    .summary = "Show messages that this broker receives from and sends to its neighbours",
    .options =
        [] {
            auto options = trace_options();
            options.insert(options.begin() + 1, {"-r,--rank=RANK", "only from and to this neighbour"});
            return options;
        }(),
    .max_args = 1,
    .run = run_overlay_trace,
};

} // namespace

const Command overlay {
    .name = "overlay",
    .summary = "Look at the tree of brokers",
    .subcommands = {&overlay_status, &overlay_errors, &overlay_lookup, &overlay_parentof, &overlay_disconnect,
                    &overlay_trace},
};

} // namespace flux::cmd
