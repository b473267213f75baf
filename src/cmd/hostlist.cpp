// flux hostlist: lists of hosts (RFC 29) from the instance, from jobs, from the command line, combined.
#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "cmd/commands.hpp"
#include "cmd/job_select.hpp"
#include "cmd/print.hpp"
#include "common/job/resource_set.hpp"
#include "common/types/hostlist.hpp"
#include "common/types/idset.hpp"

namespace flux::cmd {

namespace {

using Hosts = std::vector<std::string>;

Hosts expanded(const Hostlist &list)
{
    return list.expand();
}

Hosts parsed(const std::string &text)
{
    Hosts out;
    for (size_t begin = 0; begin < text.size();) { // one or more lists, separated by blanks
        size_t end = std::min(text.find_first_of(" \t\n", begin), text.size());
        if (end > begin)
            for (auto &host : expanded(value_or_throw(Hostlist::parse(text.substr(begin, end - begin)))))
                out.push_back(std::move(host));
        begin = end + 1;
    }
    return out;
}

Hosts of_instance(Session &flux)
{
    return parsed(flux.attribute("hostlist"));
}

Hosts available(Session &flux)
{
    Json answer = flux.rpc("resource.status", {}, {.nodeid = 0});
    auto all = value_or_throw(ResourceSet::from_json(answer.get<Json>("R")));
    Idset ranks = value_or_throw(Idset::parse(answer.value<std::string>("online", "")));
    ranks -= value_or_throw(Idset::parse(answer.value<std::string>("exclude", "")));
    for (auto [drained, entry] : answer["drain"].members())
        ranks -= value_or_throw(Idset::parse(drained));
    return expanded(all.subset(ranks).nodelist());
}

Hosts of_job(Session &flux, const std::string &id)
{
    Json job = find_job(flux, id, {"nodelist"});
    return parsed(job.value<std::string>("nodelist", ""));
}

Hosts source(const Args &args, Session &flux, const std::string &text)
{
    if (text == "stdin" || text == "-")
        return parsed(read_stdin());
    if (text == "instance")
        return of_instance(flux);
    if (text == "avail" || text == "available")
        return available(flux);
    const char *enclosing = std::getenv("FLUX_JOB_ID");
    if (text == "local" && enclosing && *enclosing)
        return of_job(flux, enclosing);
    if (text == "local")
        return of_instance(flux);
    if (JobId::parse(text)) {
        try {
            return of_job(flux, text);
        } catch (const Error &error) {
            if (error.errnum() != ENOENT || !args.has("fallback"))
                throw;
        }
    }
    return parsed(text);
}

using HostSet = std::unordered_set<std::string>;

HostSet set_of(const Hosts &hosts)
{
    return {hosts.begin(), hosts.end()};
}

bool wants_unique(const Args &args)
{
    return args.has("union") || args.has("unique");
}

Hosts unique(const Hosts &hosts)
{
    HostSet seen;
    Hosts out;
    for (const auto &host : hosts)
        if (seen.insert(host).second)
            out.push_back(host);
    return out;
}

Hosts combined(const Args &args, const std::vector<Hosts> &sources)
{
    Hosts out = sources.empty() ? Hosts() : sources[0];
    for (size_t i = 1; i < sources.size(); i++) {
        HostSet other = set_of(sources[i]);
        if (args.has("intersect")) {
            std::erase_if(out, [&](const auto &host) { return !other.contains(host); });
        } else if (args.has("minus")) {
            std::erase_if(out, [&](const auto &host) { return other.contains(host); });
        } else if (args.has("xor")) {
            Hosts fresh;
            HostSet before = set_of(out);
            for (const auto &host : sources[i])
                if (!before.contains(host))
                    fresh.push_back(host);
            std::erase_if(out, [&](const auto &host) { return other.contains(host); });
            out.insert(out.end(), fresh.begin(), fresh.end());
        } else {
            out.insert(out.end(), sources[i].begin(), sources[i].end());
        }
    }
    if (args.has("intersect") || args.has("xor") || wants_unique(args))
        out = unique(out);
    return out;
}

Hosts excluding(const Args &args, Hosts hosts)
{
    if (!args.has("exclude"))
        return hosts;
    std::string text = args.value("exclude");
    auto indices = Idset::parse(text);
    HostSet names = indices ? HostSet() : set_of(parsed(text));
    Hosts out;
    for (size_t i = 0; i < hosts.size(); i++)
        if (indices ? !indices->contains(uint32_t(i)) : !names.contains(hosts[i]))
            out.push_back(hosts[i]);
    return out;
}

// "0-1", or "-1" and "-1-2" from the end.
Hosts nth(const std::string &text, const Hosts &hosts)
{
    bool from_end = text.starts_with('-');
    auto ids = value_or_throw(Idset::parse(std::string_view(text).substr(from_end)));
    Hosts out;
    for (uint32_t id : ids) {
        if (id >= hosts.size() + from_end || (from_end && id == 0))
            throw Error(EINVAL, "--nth={}: there is no host {}{}, the list has {}", text, from_end ? "-" : "",
                        id, hosts.size());
        out.push_back(hosts[from_end ? hosts.size() - id : id]);
    }
    return out;
}

int find(const Args &args, const Hosts &hosts)
{
    std::string line;
    std::unordered_map<std::string, size_t> first;
    for (size_t i = 0; i < hosts.size(); i++)
        first.emplace(hosts[i], i);
    for (const auto &host : parsed(args.value("find"))) {
        auto at = first.find(host);
        if (at == first.end())
            throw Error(ENOENT, "--find: {} is not in the list", host);
        line += fmt::format("{}{}", line.empty() ? "" : " ", at->second);
    }
    if (!args.has("quiet"))
        print("{}\n", line);
    return 0;
}

// "\n" and "\t" as people type them in a shell.
std::string unescaped(std::string text)
{
    for (auto [from, to] : {std::pair("\\n", "\n"), std::pair("\\t", "\t")})
        for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at++)
            text.replace(at, 2, to);
    return text;
}

void show(const Args &args, const Hosts &hosts)
{
    if (args.has("count")) {
        print("{}\n", hosts.size());
    } else if (args.has("expand") || args.has("delimiter")) {
        std::string text = fmt::format("{}", fmt::join(hosts, unescaped(args.value("delimiter", " "))));
        if (!text.empty())
            print("{}\n", text);
    } else {
        Hostlist list;
        for (const auto &host : hosts)
            list.append_name(host);
        if (!list.empty())
            print("{}\n", list.encode());
    }
}

int run_hostlist(const Args &args, Session &flux)
{
    auto texts = args.positional();
    if (texts.empty())
        texts.push_back(args.has("local") ? "local" : "stdin");
    std::vector<Hosts> sources;
    for (const auto &text : texts)
        sources.push_back(source(args, flux, text));
    Hosts hosts = combined(args, sources);
    if (args.has("sort") || wants_unique(args)) {
        Hostlist list;
        for (const auto &host : hosts)
            list.append_name(host);
        list.sort();
        hosts = expanded(list);
    }
    hosts = excluding(args, std::move(hosts));
    if (args.has("nth"))
        hosts = nth(args.value("nth"), hosts);
    if (args.has("limit")) {
        int64_t limit = args.integer("limit", 0);
        size_t keep = std::min(hosts.size(), size_t(std::abs(limit)));
        if (limit < 0)
            hosts.erase(hosts.begin(), hosts.end() - long(keep));
        else
            hosts.resize(keep);
    }
    if (args.has("find"))
        return find(args, hosts);
    if (!args.has("quiet"))
        show(args, hosts);
    return args.has("quiet") && hosts.empty() ? 1 : 0;
}

} // namespace

const Command hostlist {
    .name = "hostlist",
    .args = "[SOURCE...]",
    .summary = "Show and combine host lists; SOURCE is instance, avail, local, a job id, hosts, or stdin",
    .options = {{"-e,--expand", "one host after the other"},
                {"-d,--delimiter=S", "with S between them (default: a blank)"},
                {"-c,--count", "how many there are"},
                {"-n,--nth=IDS", "only those at these positions (-IDS: from the end)"},
                {"-F,--find=HOSTS", "the positions of these"},
                {"-L,--limit=N", "at most N (-N: the last N)"},
                {"-S,--sort", "sorted"},
                {"-u,--union", "each once, sorted"},
                {"--unique", "the same"},
                {"-x,--exclude=HOSTS|IDS", "without these hosts or positions"},
                {"-i,--intersect", "those that all sources have"},
                {"-m,--minus", "the first without the others"},
                {"-X,--xor", "those that an odd number of sources has"},
                {"-f,--fallback", "what looks like a job id but is no job is a host"},
                {"-l,--local", "the default source is local"},
                {"-q,--quiet", "show nothing; exit 1 when the list is empty"}},
    .run = run_hostlist,
    .usage_status = 2,
};

} // namespace flux::cmd
