#include "modules/job-manager/perilog.hpp"

#include <algorithm>
#include <csignal>
#include <utility>

#include "common/base/encoding.hpp"
#include "common/job/job_exit.hpp"
#include "common/types/duration.hpp"

namespace flux {

namespace {

constexpr double default_prolog_timeout = 1800; // seconds
constexpr int want_output = 3;                  // flags of rexec.exec: stdout and stderr
constexpr const char *safe_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

template <class... Args>
[[noreturn]] void bad(std::string_view name, std::string_view key, fmt::format_string<Args...> format,
                      Args &&...args)
{
    throw Error(EINVAL, "job-manager.{}.{}: {}", name, key, fmt::format(format, std::forward<Args>(args)...));
}

bool flag_at(const Json &value, std::string_view name, std::string_view key)
{
    if (!value.is_boolean())
        bad(name, key, "{} is neither true nor false", value.dump());
    return value == Json(true);
}

// Seconds; 0 for none.
double timeout_at(const Json &value, std::string_view name, std::string_view key)
{
    if (value.string_view() == "none" || value.string_view() == "infinity" || value.string_view() == "inf")
        return 0;
    auto seconds =
        value.is_number() ? Expected<double>(value.as<double>()) : parse_duration(value.string_view());
    if (!seconds || *seconds < 0)
        bad(name, key, "{} is no duration such as 30m, or 0 for none", value.dump());
    return *seconds;
}

std::vector<std::string> words_at(const Json &value, std::string_view name, std::string_view key)
{
    std::vector<std::string> out;
    if (!value.is_array())
        bad(name, key, "{} is no array of strings", value.dump());
    for (auto word : value.elements()) {
        if (!word.is_string())
            bad(name, key, "{} is no array of strings", value.dump());
        out.emplace_back(word.string_view());
    }
    return out;
}

std::optional<PerilogConfig> read(const Json &config, Perilog which)
{
    auto *name = perilog_name(which);
    Json table = config["job-manager"][name];
    if (!table)
        return {};
    if (!table.is_object())
        throw Error(EINVAL, "[job-manager.{}]: expected a table, found {}", name, table.type_name());
    PerilogConfig out;
    out.timeout = which == Perilog::prolog ? default_prolog_timeout : 0;
    out.cancel_on_exception = which == Perilog::prolog;
    bool house = which == Perilog::housekeeping;
    out.per_rank = house;
    if (Json imp = config["exec"]["imp"]; imp.is_string())
        out.command = {std::string(imp.string_view()), "run", name};
    for (auto [key, value] : table.members()) {
        if (key == "command")
            out.command = words_at(value, name, key);
        else if (key == "exit-on-first-error")
            flag_at(value, name, key); // for the systemd service that the command may start
        else if (house && key == "release-after")
            out.release_after = value.string_view().starts_with("inf") ? -1 : timeout_at(value, name, key);
        else if (house)
            bad(name, key, "unknown key; known are command, release-after, exit-on-first-error");
        else if (key == "per-rank")
            out.per_rank = flag_at(value, name, key);
        else if (key == "timeout")
            out.timeout = timeout_at(value, name, key);
        else if (key == "kill-timeout")
            out.kill_timeout = timeout_at(value, name, key);
        else if (key == "cancel-on-exception")
            out.cancel_on_exception = flag_at(value, name, key);
        else
            bad(name, key,
                "unknown key; known are command, per-rank, timeout, kill-timeout, cancel-on-exception, "
                "exit-on-first-error");
    }
    if (out.command.empty() || out.command[0].empty())
        throw Error(EINVAL, "job-manager.{}.command is not set, and neither is exec.imp: say what to run",
                    name);
    return out;
}

} // namespace

PerilogConfigs PerilogConfigs::from(const Json &config)
{
    PerilogConfigs out {read(config, Perilog::prolog),
                        read(config, Perilog::epilog),
                        read(config, Perilog::housekeeping),
                        {}};
    Json ignore = config["job-manager"]["perilog"]["log-ignore"];
    if (!ignore)
        return out;
    for (const auto &pattern : words_at(ignore, "perilog", "log-ignore"))
        try {
            out.log_ignore.emplace_back(pattern, std::regex::extended);
        } catch (const std::regex_error &error) {
            bad("perilog", "log-ignore", "\"{}\" is no regular expression: {}", pattern, error.what());
        }
    return out;
}

PerilogRun::PerilogRun(Handle &handle, Gate &gate, PerilogConfig config, Hooks hooks)
    : handle_(handle), gate_(gate), config_(std::move(config)), hooks_(std::move(hooks)),
      changed_(handle.loop())
{
}

Task<PerilogRun::Outcome> PerilogRun::run(JobId id, uint32_t userid, uint32_t owner, Idset job_ranks,
                                          Idset ranks)
{
    Json command {{"cmdline", Json::array_of(config_.command)},
                  {"cwd", "/"},
                  {"env", Json {{"PATH", safe_path},
                                {"FLUX_JOB_ID", id.f58(F58Prefix::ascii)},
                                {"FLUX_JOB_USERID", fmt::format("{}", userid)},
                                {"FLUX_JOB_RANKS", job_ranks.format()},
                                {"FLUX_OWNER_USERID", fmt::format("{}", owner)}}},
                  {"opts", Json::object()},
                  {"channels", Json::array()}};
    for (uint32_t rank : ranks)
        running_[rank];
    if (terminating_) // before it began
        running_.clear();
    for (uint32_t rank : ranks)
        if (running_.contains(rank))
            gate_.spawn(on_rank(shared_from_this(), rank, command));
    if (config_.timeout > 0)
        limit_ = Timer(handle_.loop(), seconds(config_.timeout), [this] {
            outcome_.timed_out = true;
            outcome_.note = fmt::format("timed out after {}", format_duration(config_.timeout));
            terminate();
        });
    while (!running_.empty() && !given_up_)
        co_await changed_.wait();
    limit_.cancel();
    kill_.cancel();
    for (const auto &[rank, target] : running_)
        outcome_.left.add(rank);
    if (!outcome_.left.empty())
        outcome_.status = std::max(outcome_.status, wait_status_of_signal(SIGKILL));
    co_return outcome_;
}

// Once given up, nobody asks about what still runs. A subprocess server that was stopped has ended what it
// ran: that begins anew when there is one again.
Task<> PerilogRun::on_rank(std::shared_ptr<PerilogRun> self, uint32_t rank, Json command)
{
    std::optional<int> status;
    std::optional<Error> failed;
    for (bool again = true; again;) {
        failed.reset();
        try {
            status = co_await self->execute(rank, command);
        } catch (const Error &error) {
            failed = error;
        }
        again =
            failed && !self->terminating_ && (failed->errnum() == ENOSYS || failed->errnum() == ECANCELED);
        if (again)
            self->running_[rank].pid = -1;
        if (again)
            co_await sleep_for(self->handle_.loop(), seconds(begin_again_after));
    }
    self->ended(rank, status, failed ? failed->text() : "");
}

Task<int> PerilogRun::execute(uint32_t rank, Json command)
{
    Json args {{"cmd", command}, {"flags", want_output}, {"local_flags", 0}};
    auto stream = handle_.stream("rexec.exec", args, {.nodeid = rank});
    std::optional<int> status;
    while (auto message = co_await stream.next())
        hear(rank, stream.matchtag(), message->json(), status);
    if (!status)
        throw Error(EPROTO, "rexec.exec: its end was not told");
    co_return *status;
}

void PerilogRun::hear(uint32_t rank, uint32_t matchtag, const Json &message, std::optional<int> &status)
{
    auto type = message["type"].string_view();
    if (type == "started") {
        running_[rank].pid = message.get<int>("pid");
        Json end {{"stream", "stdin"}, {"rank", fmt::format("{}", rank)}, {"eof", true}};
        handle_.notify("rexec.write", Json {{"matchtag", matchtag}, {"io", end}}, {.nodeid = rank});
        for (int signum : std::exchange(running_[rank].early, {}))
            signal(rank, signum);
        if (terminating_)
            signal(rank, SIGTERM);
    } else if (type == "output") {
        hear_output(rank, message["io"]);
    } else if (type == "finished") {
        status = message.get<int>("status");
    }
}

void PerilogRun::hear_output(uint32_t rank, const Json &io)
{
    auto stream = io.value<std::string>("stream", "");
    auto data = io.value<std::string>("data", "");
    if (io.value<std::string>("encoding", "") == "base64")
        data = base64_decode(data).value_or("");
    std::string &line = running_[rank].partial[stream];
    line += data;
    size_t begin = 0;
    for (size_t end; (end = line.find('\n', begin)) != std::string::npos; begin = end + 1)
        hooks_.output(rank, stream, std::string_view(line).substr(begin, end - begin));
    line.erase(0, begin);
    if (!line.empty() && (io.value("eof", false) || line.size() > max_line))
        hooks_.output(rank, stream, std::exchange(line, {}));
}

void PerilogRun::ended(uint32_t rank, std::optional<int> status, const std::string &problem)
{
    running_.erase(rank);
    if (given_up_)
        return;
    if (int code = status.value_or(wait_status_of_exit(1)); code != 0) {
        outcome_.status = std::max(outcome_.status, code);
        outcome_.failed.add(rank);
        if (outcome_.note.empty() && !outcome_.canceled)
            outcome_.note = fmt::format("failed on rank {}: {}", rank,
                                        status ? "it " + describe_wait_status(*status) : problem);
    }
    changed_.notify_all();
    if (hooks_.ended)
        hooks_.ended(rank, status == 0);
}

void PerilogRun::kill(const Idset &ranks, int signum)
{
    for (auto &[rank, target] : running_) {
        if (!ranks.contains(rank))
            continue;
        if (target.pid > 0)
            signal(rank, signum);
        else
            target.early.push_back(signum);
    }
}

void PerilogRun::cancel()
{
    if (terminating_)
        return;
    outcome_.canceled = outcome_.note.empty(); // else it has failed somewhere already
    terminate();
}

void PerilogRun::terminate()
{
    if (std::exchange(terminating_, true))
        return;
    for (const auto &[rank, target] : running_)
        if (target.pid > 0)
            signal(rank, SIGTERM);
    kill_ = Timer(handle_.loop(), seconds(config_.kill_timeout), [this] {
        given_up_ = true;
        changed_.notify_all();
    });
}

void PerilogRun::signal(uint32_t rank, int signum)
{
    handle_.notify("rexec.kill", Json {{"pid", running_[rank].pid}, {"signum", signum}}, {.nodeid = rank});
}

} // namespace flux
