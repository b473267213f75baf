// Command: what a command of `flux` is, as one table entry. Parsing, --help and the search for near misses
// all come from the table; run() says only what the command itself does.
#pragma once
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"
#include "common/base/format.hpp"
#include "common/client/session.hpp"
#include "common/types/job_id.hpp"

namespace flux::cmd {

// "-n,--count=N": takes a value. "-v,--verbose": a switch. "--color[=WHEN]": a switch that may be given a
// value.
struct Option {
    std::string_view spec;
    std::string_view help;
    std::string short_name() const; // "n", or empty
    std::string name() const;       // "count"; for an option that has only a letter, the letter
    std::string value_name() const; // "N", or empty
    bool takes_value() const;       // must have one
    bool may_take_value() const;    // may have one, with '='
};

class Args {
public:
    // By name, without dashes ("count"). An unknown name is a mistake in the command itself and aborts.
    bool has(std::string_view option) const { return !all(option).empty(); }
    // Whether the command has this option at all, for what several commands share.
    bool knows(std::string_view option) const { return options_.find(option) != options_.end(); }
    size_t times(std::string_view option) const { return all(option).size(); }
    const std::vector<std::string> &all(std::string_view option) const;
    std::string value(std::string_view option, std::string_view fallback = {}) const; // the last one given
    // EINVAL names the option when its value is not a number (or not in the range of one).
    int64_t integer(std::string_view option, int64_t fallback) const;
    // Of "-v,--verbose[=LEVEL]": LEVEL, else how often it was given.
    size_t level(std::string_view option) const;
    // "10", "1.5k", "2M", "1G": bytes, at most `most`.
    size_t bytes(std::string_view option, size_t fallback, size_t most) const;
    double number(std::string_view option, double fallback) const;
    double duration(std::string_view option, double fallback) const; // seconds, from an FSD (RFC 23)

    const std::vector<std::string> &positional() const { return positional_; }
    size_t size() const { return positional_.size(); }
    const std::string &operator[](size_t index) const { return positional_.at(index); }
    std::vector<std::string> from(size_t index) const; // the positional arguments from this one
    std::string joined(size_t index) const;            // the same, separated by blanks
    JobId job_id(size_t index) const;                  // EINVAL
    // How many of the positional arguments come before "--"; all, if there is none.
    size_t before_dashes() const { return before_dashes_; }

    // Each option that was given, by name, with its value, in the order of the command line.
    const std::vector<std::pair<std::string, std::string>> &in_order() const { return in_order_; }

    std::map<std::string, std::vector<std::string>, std::less<>> options_;
    std::vector<std::pair<std::string, std::string>> in_order_;
    std::vector<std::string> positional_;
    size_t before_dashes_ = 0;
};

struct Command {
    static constexpr size_t any_number = size_t(-1);

    std::string_view name;
    std::string_view args; // for the synopsis: "JOBID [KEY...]"
    std::string_view summary;
    std::vector<Option> options {};
    size_t min_args = 0;
    size_t max_args = any_number;
    bool runs_program = false; // options end at the first positional argument: the rest is somebody else's
    int (*run)(const Args &args, Session &flux) = nullptr; // the exit status
    std::vector<const Command *> subcommands {};
    int usage_status = 1; // the exit status when the command line is wrong
};

// What is wrong with a command line. The driver adds how to get help about the command, which run_command
// fills in.
class UsageError : public Error {
public:
    explicit UsageError(const std::string &text, std::string command = {})
        : Error(with_text(EINVAL, text)), command_(std::move(command))
    {
    }
    const std::string &command() const { return command_; } // "flux kvs get"; empty: not known

private:
    std::string command_;
};

// The value of an option as it was parsed, or a mistake that names the option.
template <class T>
T option_value(std::string_view option, Expected<T> parsed)
{
    if (!parsed)
        throw UsageError(fmt::format("--{}: {}", option, parsed.error().text()));
    return std::move(*parsed);
}

struct CommandGroup {
    std::string_view title;
    std::vector<const Command *> commands;
};
// Every command that is compiled in, as the overview has them, and by name.
const std::vector<CommandGroup> &command_groups();
const std::vector<const Command *> &all_commands();
const Command *find_command(std::string_view name); // nullptr when there is none

// options.cpp: the only place where an argument list is taken apart. Throws UsageError.
Args parse_options(const Command &command, const std::string &full_name,
                   const std::vector<std::string> &arguments);

// help.cpp
std::string usage_line(const Command &command, const std::string &full_name);
std::string help_text(const Command &command, const std::string &full_name);
std::string overview(); // of all commands
// The candidate that `word` was probably meant to be, or empty: at most a third of its letters differ.
std::string nearest(std::string_view word, const std::vector<std::string> &candidates);
// " (did you mean X?)" or nothing.
std::string did_you_mean(std::string_view word, const std::vector<std::string> &candidates);

// Finds the subcommand that the arguments name, parses the rest and runs it.
int run_command(const Command &command, const std::string &full_name, std::vector<std::string> arguments,
                Session &flux);
// What a user is told of an error: its text, or for a service that nobody answers for the module that is missing.
std::string told(const std::exception &error);
// The whole of a program flux-NAME that is one command: its exit status, with mistakes told on stderr.
int run_program(const Command &command, const std::string &called, const std::vector<std::string> &arguments);

} // namespace flux::cmd
