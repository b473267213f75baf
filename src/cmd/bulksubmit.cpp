// flux bulksubmit: one job for each combination of inputs, which fill in the fields of the command and of the
// options.
#include <algorithm>
#include <random>
#include <sys/wait.h>

#include "cmd/bulk.hpp"
#include "cmd/bulk_inputs.hpp"
#include "cmd/commands.hpp"
#include "cmd/print.hpp"
#include "common/types/idset.hpp"

namespace flux::cmd {

namespace {

constexpr const char *own_options[] {"define", "shuffle", "sep", "dry-run", "cc", "bcc"};

bool is_delimiter(const std::string &word)
{
    return word == ":::" || word == ":::+" || word == "::::" || word == "::::+";
}

// The command line parted: the template, and the lists of inputs behind it, or standard input.
struct Inputs {
    std::vector<std::string> command;
    std::vector<InputList> lists;

    explicit Inputs(const Args &args)
    {
        std::string separator = args.value("sep", "\n");
        if (separator.empty())
            throw UsageError("--sep is empty: give the text that parts inputs, or none for blanks");
        const auto &words = args.positional();
        auto at = std::find_if(words.begin(), words.end(), is_delimiter);
        command.assign(words.begin(), at);
        if (command.empty())
            command = {"{}"};
        if (at == words.end())
            lists.push_back({split_inputs(read_stdin(), separator)});
        while (at != words.end()) {
            const std::string &delimiter = *at++;
            auto end = std::find_if(at, words.end(), is_delimiter);
            InputList list {.linked = delimiter.ends_with('+')};
            if (delimiter.starts_with("::::")) {
                for (; at != end; ++at)
                    for (auto &word : split_inputs(read_file(*at), separator))
                        list.words.push_back(std::move(word));
            } else {
                list.words.assign(at, end);
            }
            lists.push_back(std::move(list));
            at = end;
        }
    }
};

// --define NAME=CODE: all that CODE makes of each input, asked of Python once.
std::map<std::string, std::string> evaluated(const std::string &name, const std::string &code,
                                             const std::vector<InputList> &lists)
{
    Json inputs = Json::array();
    for (const auto &list : lists)
        for (const auto &word : list.words)
            inputs.append(word);
    char path[] = "/tmp/flux-bulksubmit-XXXXXX";
    int fd = ::mkstemp(path);
    if (fd < 0)
        throw Error(errno, "--define={}: a file in /tmp cannot be made: {}", name, errno_text(errno));
    std::unique_ptr<char, int (*)(const char *)> remove(
        path, +[](const char *p) { return ::unlink(p); });
    FILE *file = ::fdopen(fd, "w");
    fmt::print(file, "{}", Json {{"code", code}, {"inputs", inputs}}.dump());
    if (std::fclose(file) != 0)
        throw Error(errno, "{}: {}", path, errno_text(errno));
    std::string program = fmt::format(
        "python3 -c 'import json; a = json.load(open(\"{}\")); f = eval(\"lambda x: \" + a[\"code\"]); "
        "print(json.dumps({{x: str(f(x)) for x in a[\"inputs\"]}}))'",
        path);
    FILE *pipe = ::popen(program.c_str(), "re");
    if (!pipe)
        throw Error(errno, "--define={}: python3 cannot be run: {}", name, errno_text(errno));
    std::string text;
    char buffer[4096];
    for (size_t n; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;)
        text.append(buffer, n);
    if (::pclose(pipe) != 0)
        throw UsageError(
            fmt::format("--define={}={}: python3 does not take this expression of x", name, code));
    std::map<std::string, std::string> out;
    Json answer = Json::parse_or_throw(text);
    for (auto [input, value] : answer.members())
        out.emplace(std::string(input), value.as<std::string>());
    return out;
}

class BulkJobs : public CopySource {
public:
    BulkJobs(const Args &args, Inputs inputs)
        : args_(args), command_(std::move(inputs.command)), combinations_(inputs.lists)
    {
        for (const auto &text : args.all("define")) {
            size_t equals = text.find('=');
            if (equals == text.npos || equals == 0)
                throw UsageError(fmt::format("--define: '{}' is not NAME=CODE", text));
            auto values = evaluated(text.substr(0, equals), text.substr(equals + 1), inputs.lists);
            defined_[text.substr(0, equals)] = [values](const std::string &input) {
                return values.at(input);
            };
        }
        if (args.has("cc") && args.has("bcc"))
            throw UsageError("--cc and --bcc exclude each other");
        if (combinations_.size() > max_copies)
            throw too_many(combinations_.size());
        for (size_t number = 0; number < combinations_.size(); number++)
            add(number);
        if (args.has("shuffle"))
            std::ranges::shuffle(jobs_, std::mt19937_64(std::random_device()()));
    }
    const char *command() const override { return "flux-bulksubmit"; }
    size_t size() const override { return jobs_.size(); }
    Copy make(size_t number) const override
    {
        Args args = arguments(number);
        if (jobs_[number].has_id)
            return make_copy(args, fmt::format("{}", jobs_[number].id), args.has("cc"));
        return Copy {make_submission(args), args.value("log"), args.value("log-stderr")};
    }
    // The options and the command, as they would be given to flux submit.
    std::string describe(size_t number) const
    {
        Args args = arguments(number);
        std::string out;
        for (const auto &[name, value] : args.in_order_)
            if (std::ranges::find(own_options, name) == std::end(own_options))
                out += " " + as_given(name, value);
        for (const auto &word : args.positional())
            out += " " + word;
        std::string id = jobs_[number].has_id ? fmt::format("{}", jobs_[number].id) : "";
        for (size_t at = 0; (at = out.find("{cc}", at)) != out.npos; at += id.size())
            out.replace(at, 4, id);
        return out;
    }

private:
    struct Job {
        uint32_t combination = 0;
        uint32_t id = 0; // of --cc or --bcc
        bool has_id = false;
    };

    static UsageError too_many(size_t count)
    {
        return UsageError(fmt::format("{} jobs are too many: at most {} at once", count, max_copies));
    }

    void add(size_t number)
    {
        if (!args_.has("cc") && !args_.has("bcc")) {
            jobs_.push_back({uint32_t(number)});
            return;
        }
        for (uint32_t id : CopyIds::from(filled_in(number)).ids)
            jobs_.push_back({uint32_t(number), id, true});
        if (jobs_.size() > max_copies)
            throw too_many(jobs_.size());
    }

    Args arguments(size_t number) const { return filled_in(jobs_[number].combination); }

    Args filled_in(size_t combination) const
    {
        Replacements with {.inputs = combinations_.at(combination),
                           .seq = combination,
                           .keep_cc = args_.has("cc") || args_.has("bcc"),
                           .defined = defined_};
        Args out = args_;
        out.positional_ = command_;
        for (auto &word : out.positional_)
            word = fill_in(word, with);
        for (auto &[name, values] : out.options_)
            if (name != "define")
                for (auto &value : values)
                    value = fill_in(value, with);
        for (auto &[name, value] : out.in_order_)
            if (name != "define")
                value = fill_in(value, with);
        return out;
    }

    static std::string as_given(const std::string &name, const std::string &value);

    const Args &args_;
    std::vector<std::string> command_;
    InputCombinations combinations_;
    std::map<std::string, std::function<std::string(const std::string &)>> defined_;
    std::vector<Job> jobs_;
};

std::string BulkJobs::as_given(const std::string &name, const std::string &value)
{
    for (const auto &option : bulksubmit.options) {
        if (option.name() != name)
            continue;
        bool valued = option.takes_value() || (option.may_take_value() && value != "true");
        if (auto letter = option.short_name(); !letter.empty())
            return "-" + letter + (valued ? value : "");
        return "--" + name + (valued ? "=" + value : "");
    }
    return {};
}

int run_bulksubmit(const Args &args, Session &flux)
{
    BulkJobs jobs(args, Inputs(args));
    if (jobs.size() == 0)
        throw UsageError(
            "there are no inputs: give them behind :::, in files behind ::::, or on standard input");
    if (!args.has("dry-run"))
        return submit_bulk(flux, args, jobs);
    for (size_t number = 0; number < jobs.size(); number++)
        print("bulksubmit: submit{}\n", jobs.describe(number));
    return 0;
}

} // namespace

const Command bulksubmit {
    .name = "bulksubmit",
    .args = "COMMAND... [::: INPUT...] [:::: FILE...]",
    .summary = "Submit a job for each combination of inputs, which replace {} in command and options",
    .options =
        with(bulk_options(), {{"--define=NAME=CODE", "{.NAME} is this Python expression of the input x"},
                              {"--shuffle", "in random order"},
                              {"--sep=STRING", "what parts inputs in files (default: lines; none: blanks)"}}),
    .runs_program = true,
    .run = run_bulksubmit,
};

} // namespace flux::cmd
