#include "cmd/log_entry.hpp"

#include <algorithm>
#include <cstdlib>
#include <ctime>

#include "common/base/format.hpp"
#include "common/base/log_priority.hpp"

namespace flux::cmd {

namespace {

constexpr std::string_view severities[] {"emerg",   "alert",  "crit", "err",
                                         "warning", "notice", "info", "debug"};

std::string_view next_word(std::string_view &rest)
{
    size_t end = std::min(rest.find(' '), rest.size());
    std::string_view word = rest.substr(0, end);
    rest.remove_prefix(std::min(rest.size(), end + 1));
    return word;
}

} // namespace

LogEntry LogEntry::parse(std::string_view line)
{
    LogEntry entry;
    size_t close = line.find('>');
    if (!line.starts_with('<') || close == std::string_view::npos) {
        entry.text = line;
        return entry;
    }
    entry.severity = severity_of_priority(std::atoi(std::string(line.substr(1, close - 1)).c_str()));
    std::string_view rest = line.substr(close + 1);
    next_word(rest); // version
    entry.time = next_word(rest);
    entry.rank = next_word(rest);
    entry.application = next_word(rest);
    for (int i = 0; i < 3; i++) // process, message id, structured data: "-"
        next_word(rest);
    entry.text = rest;
    return entry;
}

std::string_view LogEntry::severity_name() const
{
    return severities[severity & 7];
}

double LogEntry::seconds() const
{
    tm parts {};
    const char *rest = ::strptime(time.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
    if (!rest)
        return 0;
    double fraction = *rest == '.' ? std::strtod(rest, nullptr) : 0;
    return double(::timegm(&parts)) + fraction;
}

std::string LogEntry::line() const
{
    if (time.empty())
        return text;
    return fmt::format("{} {}.{}[{}]: {}", time, application, severity_name(), rank, text);
}

int parse_severity(std::string_view text)
{
    for (int i = 0; i < 8; i++)
        if (text == severities[i] || text == fmt::format("{}", i))
            return i;
    return -1;
}

std::string severity_names()
{
    return fmt::format("{}", fmt::join(severities, ", "));
}

} // namespace flux::cmd
