// --env, --env-remove, --env-file: which variables a job gets.
#include <cstdlib>
#include <fnmatch.h>
#include <map>
#include <regex>

#include "cmd/print.hpp"
#include "cmd/submit_options.hpp"

namespace flux::cmd {

namespace {

constexpr int max_file_depth = 8; // rule files that name rule files

using Environment = std::map<std::string, std::string>;

class Rules {
public:
    explicit Rules(const Environment &all) : all_(all), out_(all) {}

    void apply(const std::string &rule)
    {
        if (rule.starts_with('-'))
            return remove(rule.substr(1));
        if (rule.starts_with('^'))
            return read(rule.substr(1));
        if (size_t at = rule.find('='); at != std::string::npos && !rule.starts_with('/')) {
            if (at == 0)
                throw UsageError(fmt::format("--env: '{}' names no variable", rule));
            out_[rule.substr(0, at)] = expand(rule.substr(at + 1));
            return;
        }
        auto matches = matcher(rule);
        for (const auto &[name, value] : all_)
            if (!out_.contains(name) && matches(name))
                out_[name] = value;
    }

    void remove(const std::string &pattern)
    {
        auto matches = matcher(pattern);
        std::erase_if(out_, [&](const auto &entry) { return matches(entry.first); });
    }

    void read(std::string path)
    {
        if (++depth_ > max_file_depth)
            throw UsageError(fmt::format("--env: {} is nested over {} files deep", path, max_file_depth));
        if (path.starts_with("~/"))
            if (const char *home = std::getenv("HOME"))
                path = home + path.substr(1);
        std::string text = read_file(path);
        for (size_t begin = 0; begin < text.size();) {
            size_t end = std::min(text.find('\n', begin), text.size());
            std::string line = text.substr(begin, end - begin);
            if (!line.empty() && line[0] != '#')
                apply(line);
            begin = end + 1;
        }
        depth_--;
    }

    const Environment &result() const { return out_; }

private:
    // A glob, or a regular expression between slashes (the second may be missing).
    static std::function<bool(const std::string &)> matcher(const std::string &pattern)
    {
        if (!pattern.starts_with('/'))
            return [pattern](const std::string &name) {
                return ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
            };
        std::string inside = pattern.substr(1);
        if (inside.ends_with('/'))
            inside.pop_back();
        try {
            std::regex regex(inside);
            return [regex](const std::string &name) {
                return std::regex_search(name, regex);
            };
        } catch (const std::regex_error &error) {
            throw UsageError(fmt::format("--env: '{}' is no regular expression: {}", inside, error.what()));
        }
    }

    // "$NAME" and "${NAME}" become the values set so far, else those of this process; "$$" a dollar sign.
    std::string expand(const std::string &text) const
    {
        std::string result;
        for (size_t i = 0; i < text.size(); i++) {
            if (text[i] != '$') {
                result += text[i];
                continue;
            }
            if (text.compare(i, 2, "$$") == 0) {
                result += text[++i];
                continue;
            }
            bool braces = text.compare(i, 2, "${") == 0;
            size_t begin = i + 1 + braces;
            size_t end = begin;
            while (end < text.size() && (std::isalnum(uint8_t(text[end])) || text[end] == '_'))
                end++;
            if (end == begin || (braces && (end == text.size() || text[end] != '}')))
                throw UsageError(
                    fmt::format("--env: '{}': only $NAME, ${{NAME}} and $$ are understood", text));
            result += value_of(text.substr(begin, end - begin), text);
            i = end - !braces;
        }
        return result;
    }

    const std::string &value_of(const std::string &name, const std::string &text) const
    {
        auto found = out_.find(name);
        if (found != out_.end())
            return found->second;
        found = all_.find(name);
        if (found == all_.end())
            throw UsageError(fmt::format("--env: '{}' uses {}, which is not set", text, name));
        return found->second;
    }

    const Environment &all_;
    Environment out_;
    int depth_ = 0;
};

} // namespace

Json filtered_environment(const Args &args, const char *const *environment)
{
    Environment all;
    for (; *environment; environment++) {
        std::string_view entry = *environment;
        size_t at = entry.find('=');
        if (at != std::string_view::npos)
            all.emplace(entry.substr(0, at), entry.substr(at + 1));
    }
    all.erase("FLUX_PROXY_REMOTE"); // of this terminal, not of the job
    Rules rules(all);
    for (const auto &[option, value] : args.in_order()) {
        if (option == "env")
            rules.apply(value);
        else if (option == "env-remove")
            rules.remove(value);
        else if (option == "env-file")
            rules.read(value);
    }
    Json json = Json::object();
    for (const auto &[name, value] : rules.result())
        json.set(name, value);
    return json;
}

} // namespace flux::cmd
