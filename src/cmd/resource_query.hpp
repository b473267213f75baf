// What the parts of flux-resource-query share: the tool that matches jobspecs against a graph without an
// instance.
#pragma once
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/graph/emit.hpp"
#include "common/graph/matcher.hpp"

namespace flux::cmd {

struct QueryOptions {
    std::string load_file = "conf/default";
    std::string load_format = "grug";
    std::string allowlist;
    std::string subsystems = "CA";
    std::string policy = "first";
    std::string match_format = "simple";
    std::string traverser = "simple";
    std::optional<graph::PruneFilters> prune_filters; // else the usual ones
    std::string test_output;
    std::string graph_format = "dot";
    std::string graph_output;
    std::string divisible;
    bool elapse = false;
    bool prompt = true;
    bool why = false;
};

// The subsystems that a name such as "C+PA" stands for; empty when it is unknown.
std::vector<std::string> matcher_subsystems(std::string name);
std::string read_text_file(const std::string &path); // throws Error

// The commands. Results go to `out`, mistakes to stderr.
class ResourceQuery {
public:
    ResourceQuery(const QueryOptions &options, graph::Graph graph, std::FILE *out);
    // False when the line says quit.
    bool run_line(const std::string &line);

private:
    using Words = std::vector<std::string>;
    struct Job {
        std::string state;
        int64_t at = 0;
        std::string file;
        double overhead = 0;
    };
    struct CommandEntry {
        const char *name;
        const char *abbreviation;
        const char *arguments;
        const char *help;
        void (ResourceQuery::*run)(const Words &words);
    };
    static const std::vector<CommandEntry> &commands();

    void match(const Words &words);
    void multi_match(const Words &words);
    void update(const Words &words);
    void attach(const Words &words);
    void remove(const Words &words);
    void find(const Words &words);
    void cancel(const Words &words);
    void partial_cancel(const Words &words);
    void set_property(const Words &words);
    void get_property(const Words &words);
    void set_status(const Words &words);
    void get_status(const Words &words);
    void list(const Words &words);
    void info(const Words &words);
    void stat(const Words &words);
    void cat(const Words &words);
    void help(const Words &words);

    bool print_bad_jobspec(const Error &error, graph::MatchOp op); // false
    size_t listed(int64_t id) const;                               // vertices of the job
    bool match_one(graph::MatchOp op, const std::string &file);
    void print_matched(const graph::JobUse &use, const char *state);
    void print_unmatched(const Error &error, graph::MatchOp op, const graph::JobRequest &request);
    void print_elapse(double seconds, std::FILE *to);
    void print_job(int64_t id, const Job &job);
    void print_cancel(bool partial, size_t before, size_t after);
    std::optional<Json> read_graph_file(const std::string &path);
    template <class... Args>
    void say(fmt::format_string<Args...> format, Args &&...args)
    {
        fmt::print(out_, format, std::forward<Args>(args)...);
    }

    QueryOptions options_;
    graph::Matcher matcher_;
    graph::MatchFormat format_;
    std::FILE *out_;
    int64_t next_id_ = 1;
    std::map<int64_t, Job> jobs_;
};

} // namespace flux::cmd
