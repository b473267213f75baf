#include <algorithm>
#include <charconv>
#include <chrono>
#include <sstream>

#include "cmd/resource_query.hpp"
#include "common/base/text.hpp"
#include "common/graph/changes.hpp"
#include "common/graph/find.hpp"
#include "common/graph/formats/formats.hpp"
#include "common/graph/readers.hpp"

namespace flux::cmd {

using graph::MatchOp;
using graph::VertexId;

namespace {

constexpr char frame[] = "INFO: =============================\n";

// Prints to stderr as the tool always did.
template <class... Args>
void complain(fmt::format_string<Args...> format, Args &&...args)
{
    std::fputs((fmt::format(format, std::forward<Args>(args)...) + "\n").c_str(), stderr);
}

std::optional<int64_t> number(const std::string &text)
{
    int64_t value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size())
        return std::nullopt;
    return value;
}

graph::MatcherOptions matcher_options(const QueryOptions &options)
{
    graph::MatcherOptions out;
    out.policy = value_or_throw(graph::Policy::parse(options.policy));
    out.subsystems = matcher_subsystems(options.subsystems);
    out.or_slots = options.traverser == "flexible";
    out.thorough = true;
    if (options.prune_filters)
        out.prune_filters = *options.prune_filters;
    for (std::string_view word : split_words(options.divisible, ","))
        out.divisible.emplace(word);
    return out;
}

} // namespace

ResourceQuery::ResourceQuery(const QueryOptions &options, graph::Graph graph, std::FILE *out)
    : options_(options), matcher_(std::move(graph), matcher_options(options)),
      format_(graph::parse_match_format(options.match_format).value()), out_(out)
{
}

const std::vector<ResourceQuery::CommandEntry> &ResourceQuery::commands()
{
    static const std::vector<CommandEntry> table {
        {"match", "m", "OP JOBSPEC",
         "OP: allocate, allocate_with_satisfiability, allocate_orelse_reserve, "
         "satisfiability, without_allocating, without_allocating_future",
         &ResourceQuery::match},
        {"multi-match", "M", "OP JOBSPEC...",
         "the same for several, until one does not match; files that are not there are passed over",
         &ResourceQuery::multi_match},
        {"update", "u", "allocate|reserve jgf|jgf_shorthand|rv1exec FILE JOBID START DURATION",
         "restore an allocation", &ResourceQuery::update},
        {"attach", "j", "FILE", "add the subgraph of a JGF file", &ResourceQuery::attach},
        {"remove", "r", "PATH|RANKS true|false", "remove a subgraph by path, or (false) by ranks",
         &ResourceQuery::remove},
        {"find", "f", "CRITERIA...", "status=up and (sched-now=free or property=ssd) ...",
         &ResourceQuery::find},
        {"cancel", "c", "JOBID [stats]", "give back what a job has", &ResourceQuery::cancel},
        {"partial-cancel", "pc", "JOBID jgf|rv1exec FILE [stats]", "give back a part",
         &ResourceQuery::partial_cancel},
        {"set-property", "p", "PATH PROPERTY=VALUE", "", &ResourceQuery::set_property},
        {"get-property", "g", "PATH", "", &ResourceQuery::get_property},
        {"set-status", "t", "PATH up|down", "", &ResourceQuery::set_status},
        {"get-status", "e", "PATH", "", &ResourceQuery::get_status},
        {"list", "l", "", "all jobs", &ResourceQuery::list},
        {"info", "i", "JOBID", "one job", &ResourceQuery::info},
        {"stat", "s", "", "numbers of matches and their times", &ResourceQuery::stat},
        {"cat", "a", "FILE", "print a file", &ResourceQuery::cat},
        {"help", "h", "", "this list", &ResourceQuery::help},
    };
    return table;
}

bool ResourceQuery::run_line(const std::string &line)
{
    std::istringstream stream(line);
    Words words;
    for (std::string word; stream >> word;)
        words.push_back(word);
    if (words.empty())
        return true;
    if (words[0] == "quit" || words[0] == "q")
        return false;
    for (const auto &command : commands()) {
        if (words[0] != command.name && words[0] != command.abbreviation)
            continue;
        try {
            (this->*command.run)(words);
        } catch (const Error &error) {
            complain("ERROR: {}", error.text());
        }
        std::fflush(out_);
        break;
    }
    return true;
}

void ResourceQuery::print_elapse(double seconds, std::FILE *to)
{
    if (!options_.elapse)
        return;
    fmt::print(to, "INFO: ELAPSE={:.6f}\n", seconds);
    fmt::print("INFO: PREORDER VISIT COUNT={}\n", matcher_.visited());
    fmt::print("INFO: POSTORDER VISIT COUNT={}\n", matcher_.visited());
}

void ResourceQuery::print_matched(const graph::JobUse &use, const char *state)
{
    say("{}", graph::emit(matcher_.graph(), use.allocation, use.start, use.end, format_));
    say("{}INFO: JOBID={}\nINFO: RESOURCES={}\n", frame, use.id, state);
    if (use.start == 0)
        say("INFO: SCHEDULED AT=Now\n");
    else
        say("INFO: SCHEDULED AT={}\n", use.start);
    say("{}", frame);
}

void ResourceQuery::print_unmatched(const Error &error, MatchOp op, const graph::JobRequest &request)
{
    bool never = error.errnum() == ENODEV || error.errnum() == ENOENT;
    say("{}", frame);
    if (op != MatchOp::satisfiability)
        say("INFO: No matching resources found\n");
    if (never)
        say("INFO: Unsatisfiable request\n");
    if (options_.why)
        say("INFO: WHY: {}\n", never ? matcher_.explain_never(request, 0) : matcher_.explain(request, 0));
    if (op != MatchOp::satisfiability)
        say("INFO: JOBID={}\n", next_id_);
    say("{}", frame);
}

bool ResourceQuery::print_bad_jobspec(const Error &error, MatchOp op)
{
    complain("match_allocate: ERROR: Jobspec error for {}: {}", next_id_, error.text());
    if (op == MatchOp::satisfiability)
        say("{0}INFO: Unsatisfiable request\n{0}", frame);
    else
        say("{0}INFO: No matching resources found\nINFO: JOBID={1}\n{0}", frame, next_id_);
    return false;
}

bool ResourceQuery::match_one(MatchOp op, const std::string &file)
{
    std::string text;
    try {
        text = read_text_file(file);
    } catch (const Error &) {
        complain("ERROR: can't open {}", file);
        return true; // others go on
    }
    auto yaml = graph::parse_yaml(text);
    auto jobspec = yaml ? Jobspec::parse(*yaml) : std::unexpected(yaml.error());
    auto request =
        jobspec ? graph::compile_request(*jobspec, matcher_.graph()) : std::unexpected(jobspec.error());
    if (!request)
        return print_bad_jobspec(request.error(), op);
    auto begin = std::chrono::steady_clock::now();
    auto matched = matcher_.match(op, next_id_, *request, 0);
    double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (!matched && matched.error().errnum() == EINVAL)
        return print_bad_jobspec(matched.error(), op);
    bool keeps = graph::allocates(op);
    if (!matched) {
        print_unmatched(matched.error(), op, *request);
    } else if (op == MatchOp::satisfiability) {
        say("{}INFO: Satisfiable request\n{}", frame, frame);
    } else {
        const char *state = !keeps ? "MATCHED" : matched->use.reserved ? "RESERVED" : "ALLOCATED";
        print_matched(matched->use, state);
        if (keeps)
            jobs_[next_id_] = {state, matched->use.start, file, seconds};
    }
    print_elapse(seconds, matched ? stdout : out_);
    if (keeps)
        next_id_++;
    return matched.has_value();
}

void ResourceQuery::match(const Words &words)
{
    if (words.size() != 3)
        return complain("ERROR: malformed command");
    auto op = graph::parse_match_op(words[1]);
    if (!op)
        return complain("ERROR: unknown subcmd {}", words[1]);
    match_one(*op, words[2]);
}

void ResourceQuery::multi_match(const Words &words)
{
    if (words.size() < 3)
        return complain("ERROR: malformed command");
    auto op = graph::parse_match_op(words[1]);
    if (!op)
        return complain("ERROR: unknown subcmd {}", words[1]);
    for (size_t i = 2; i < words.size() && match_one(*op, words[i]); i++) {
    }
}

std::optional<Json> ResourceQuery::read_graph_file(const std::string &path)
{
    try {
        return Json::parse_or_throw(read_text_file(path));
    } catch (const Error &error) {
        complain("ERROR: can't open {}{}", path, error.errnum() == EPROTO ? ": " + error.text() : "");
        return std::nullopt;
    }
}

void ResourceQuery::update(const Words &words)
{
    if (words.size() != 7)
        return complain("ERROR: malformed command");
    if (words[1] != "allocate" && words[1] != "reserve")
        return complain("ERROR: unknown subcmd {}", words[1]);
    if (words[2] != "jgf" && words[2] != "jgf_shorthand" && words[2] != "rv1exec")
        return complain("ERROR: unsupported reader {}", words[2]);
    auto id = number(words[4]), start = number(words[5]), duration = number(words[6]);
    if (!id || !start || !duration || *id < 0 || *start < 0 || *duration <= 0 ||
        *duration > graph::Graph::max_duration)
        return complain("ERROR: malformed command");
    auto json = read_graph_file(words[3]);
    if (!json)
        return;
    if (matcher_.find(*id))
        return complain("ERROR: existing job {}", *id);
    auto begin = std::chrono::steady_clock::now();
    auto picks =
        words[2] == "rv1exec"
            ? graph::rv1_picks(matcher_.graph(), *json)
            : graph::jgf_picks(matcher_.graph(), json->contains("scheduling") ? (*json)["scheduling"] : *json,
                               words[2] == "jgf_shorthand");
    bool reserved = words[1] == "reserve";
    Expected<void> restored = picks ? matcher_.restore(*id, *picks, *start, *start + *duration, reserved)
                                    : std::unexpected(picks.error());
    if (!restored) {
        complain("ERROR: update: {}", restored.error().text());
        return say("{0}INFO: No matching resources found\nINFO: JOBID={1}\n{0}", frame, *id);
    }
    double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const char *state = reserved ? "RESERVED" : "ALLOCATED";
    print_matched(*matcher_.find(*id), state);
    jobs_[*id] = {state, *start, words[3], seconds};
    print_elapse(seconds, stdout);
    next_id_ = *id + 1;
}

void ResourceQuery::attach(const Words &words)
{
    if (words.size() != 2)
        return complain("ERROR: malformed command");
    auto json = read_graph_file(words[1]);
    if (!json)
        return;
    if (auto added = graph::add_subgraph(matcher_, *json); !added)
        complain("ERROR: can't attach JGF subgraph {}: {}", words[1], added.error().text());
}

void ResourceQuery::remove(const Words &words)
{
    if (words.size() != 3)
        return complain("ERROR: malformed command");
    if (words[2] != "true" && words[2] != "false")
        return complain("ERROR: invalid path boolean input");
    auto targets = graph::removable(matcher_.graph(), words[1]);
    if (!targets)
        return complain("ERROR: {}", targets.error().text());
    for (VertexId v : *targets)
        matcher_.shrink(v);
}

void ResourceQuery::find(const Words &words)
{
    if (words.size() < 2)
        return complain("ERROR: malformed command");
    std::string expression;
    for (size_t i = 1; i < words.size(); i++)
        expression += (i > 1 ? " " : "") + words[i];
    auto found = graph::find_vertices(matcher_, expression);
    if (!found)
        return complain("ERROR: {}", found.error().text());
    auto listed = graph::found_as_allocation(matcher_, *found, format_);
    say("{}", graph::emit(matcher_.graph(), listed, 0, 0, format_));
    say("{}INFO: EXPRESSION=\"{}\"\n{}", frame, expression, frame);
}

void ResourceQuery::print_cancel(bool partial, size_t before, size_t after)
{
    const char *kind = partial ? "PARTIAL CANCEL" : "CANCEL";
    say("{}INFO: {} PREORDER COUNT=\"{}\"\nINFO: {} POSTORDER COUNT=\"{}\"\n{}", frame, kind, before, kind,
        after, frame);
}

size_t ResourceQuery::listed(int64_t id) const
{
    return graph::expanded(matcher_.graph(), matcher_.find(id)->allocation).size();
}

void ResourceQuery::cancel(const Words &words)
{
    if (words.size() < 2 || words.size() > 3 || (words.size() == 3 && words[2] != "stats"))
        return complain("ERROR: malformed command");
    auto id = number(words[1]);
    if (!id || !matcher_.find(*id))
        return complain("cancel: ERROR: nonexistent job {}", words[1]);
    size_t visited = listed(*id);
    if (auto canceled = matcher_.cancel(*id); !canceled)
        throw canceled.error();
    jobs_[*id].state = "CANCELED";
    if (words.size() == 3)
        print_cancel(false, visited, visited);
}

void ResourceQuery::partial_cancel(const Words &words)
{
    if (words.size() < 4 || words.size() > 5 || (words.size() == 5 && words[4] != "stats"))
        return complain("ERROR: malformed command");
    if (words[2] != "jgf" && words[2] != "rv1exec")
        return complain("ERROR: unsupported reader {}", words[2]);
    auto id = number(words[1]);
    if (!id || !matcher_.find(*id))
        return complain("ERROR: nonexistent job {}", words[1]);
    auto json = read_graph_file(words[3]);
    if (!json)
        return;
    auto picks = words[2] == "rv1exec" ? graph::rv1_picks(matcher_.graph(), *json)
                                       : graph::jgf_picks(matcher_.graph(), *json);
    if (!picks)
        return complain("ERROR: partial-cancel: {}", picks.error().text());
    size_t before = listed(*id);
    bool all = value_or_throw(graph::release_picks(matcher_, *id, *picks));
    if (!all && listed(*id) == before)
        return complain("ERROR: error encountered while removing job {}: it has nothing of what {} names",
                        *id, words[3]);
    if (all)
        jobs_[*id].state = "CANCELED";
    if (words.size() == 5)
        print_cancel(true, before - (all ? 0 : listed(*id)), picks->size());
}

void ResourceQuery::set_property(const Words &words)
{
    if (words.size() != 3)
        return complain("ERROR: malformed command");
    auto property = graph::parse_property(words[2]);
    if (!property) {
        say("Incorrect input format. \nPlease use `set-property <resource> PROPERTY=VALUE`.\n");
        return;
    }
    auto v = matcher_.graph().find_path(words[1]);
    if (!v) {
        say("Couldn't find path {} in resource graph.\n", words[1]);
        return;
    }
    matcher_.set_property(*v, property->first, property->second);
}

void ResourceQuery::get_property(const Words &words)
{
    if (words.size() != 2)
        return complain("ERROR: malformed command");
    auto v = matcher_.graph().find_path(words[1]);
    if (!v) {
        say("Could not find path {} in resource graph.\n", words[1]);
        return;
    }
    const auto &properties = matcher_.graph().properties(*v);
    if (properties.empty())
        say("No properties were found for {} (vtx's uniq_id={}).\n", words[1], matcher_.graph()[*v].uniq_id);
    for (const auto &[key, value] : properties)
        say("{}={}\n", key, value);
}

void ResourceQuery::set_status(const Words &words)
{
    if (words.size() != 3)
        return complain("ERROR: malformed command");
    auto v = matcher_.graph().find_path(words[1]);
    if (!v)
        return say("Could not find path {} in resource graph.\n", words[1]);
    if (words[2] != "up" && words[2] != "down")
        return complain("ERROR: unrecognized status");
    matcher_.set_down(*v, words[2] == "down");
}

void ResourceQuery::get_status(const Words &words)
{
    if (words.size() != 2)
        return complain("ERROR: malformed command");
    auto v = matcher_.graph().find_path(words[1]);
    if (!v)
        return say("Could not find path {} in resource graph.\n", words[1]);
    say("{} is {}\n", words[1], matcher_.graph()[*v].down ? "down" : "up");
}

void ResourceQuery::print_job(int64_t id, const Job &job)
{
    fmt::print("INFO: {}, {}, {}, {}, {:g}\n", id, job.state, job.at, job.file, job.overhead);
}

void ResourceQuery::list(const Words &)
{
    for (const auto &[id, job] : jobs_)
        print_job(id, job);
}

void ResourceQuery::info(const Words &words)
{
    if (words.size() != 2)
        return complain("ERROR: malformed command");
    auto id = number(words[1]);
    auto found = id ? jobs_.find(*id) : jobs_.end();
    if (found == jobs_.end())
        return complain("info: ERROR: nonexistent job {}", words[1]);
    print_job(found->first, found->second);
}

void ResourceQuery::stat(const Words &)
{
    const auto &times = matcher_.stats().succeeded;
    say("INFO: Num. of Jobs Matched: {}\n", times.count());
    say("INFO: Min. Match Time: {:g}\n", times.least());
    say("INFO: Max. Match Time: {:g}\n", times.most());
    say("INFO: Avg. Match Time: {:g}\n", times.mean());
}

void ResourceQuery::cat(const Words &words)
{
    if (words.size() != 2)
        return complain("ERROR: malformed command");
    try {
        say("{}INFO: Jobspec in {}\n", read_text_file(words[1]), words[1]);
    } catch (const Error &) {
        complain("ERROR: can't open {}", words[1]);
    }
}

void ResourceQuery::help(const Words &)
{
    for (const auto &command : commands())
        say("{} ({}) {}\n        {}\n", command.name, command.abbreviation, command.arguments, command.help);
    say("quit (q)\n");
}

} // namespace flux::cmd
